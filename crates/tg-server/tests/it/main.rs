//! Integration tests of the server crate: one binary, one module per topic.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod access;
mod api;
mod codex;
mod connections;
mod database;
mod engine;
mod flow;
mod git;
mod git_hostile;
mod house;
mod journey;
mod log;
mod metrics;
#[cfg(feature = "otlp")]
mod otlp;
mod paths;
mod process;
mod queue;
mod registry;
mod store;
mod worker;
