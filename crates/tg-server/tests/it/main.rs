//! Integration tests of the server crate: one binary, one module per topic.

mod codex;
mod database;
mod engine;
mod flow;
mod git;
mod git_hostile;
mod house;
mod journey;
mod paths;
mod process;
mod queue;
mod store;
mod worker;
