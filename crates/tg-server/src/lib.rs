//! Everything in TasksGodzilla that touches the world: database, queue, engines, git, worker, doors.
//!
//! Floors, from the ground: base (`app config credential db failpoint feed log metrics paths process redact
//! seal secret trace wake`), adapters (`store queue engine git`), use (`flow jobs`), doors (`api worker`). A floor
//! imports only floors below it and `tg-core`; adapters never import each other; `jobs` and `flow` never import
//! each other.

pub mod api;
pub mod app;
pub mod config;
pub mod credential;
pub mod db;
pub mod engine;
pub mod failpoint;
pub mod feed;
pub mod flow;
pub mod git;
pub mod jobs;
pub mod log;
pub mod metrics;
pub mod paths;
pub mod process;
pub mod queue;
pub mod redact;
pub mod seal;
pub mod secret;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trace;
pub mod wake;
pub mod worker;
