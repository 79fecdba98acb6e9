//! Test support: a scripted model provider, what a machine must have, and a whole application in a line.

pub mod api;
pub mod app;
pub mod model_server;
pub mod postgres;
pub mod require;
