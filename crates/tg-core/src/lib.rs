//! What exists in TasksGodzilla and what may happen to it.
//!
//! Pure by construction: no I/O, no async, no clock, no randomness. Time, ids and randomness
//! arrive as arguments. Everything that touches the world lives in `tg-server`.

#![warn(missing_docs)]

pub mod canonical;
pub mod chain;
pub mod event;
pub mod ids;
pub mod job;
pub mod layout;
pub mod lifecycle;
pub mod naming;
pub mod plain;
pub mod plan;
pub mod project;
pub mod prompt;
pub mod protocol;
pub mod review;
pub mod scope;
pub mod spec;
pub mod status;
pub mod step;
pub mod tokens;
pub mod verdict;
pub mod wire;
