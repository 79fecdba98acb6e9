//! Test support.

pub mod model_server;
pub mod require;
