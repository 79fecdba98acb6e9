//! The binary as a person or script meets it: exit codes, what is printed where, what is left behind.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test ends at what it did not expect")]

mod access;
mod api;
mod bad_input;
mod cli;
mod codex;
mod containment;
mod crash;
mod demo;
mod doctor;
mod env;
mod fuzz;
mod interrupt;
mod menu;
mod run;
mod serve;
mod session;
mod steer;
mod story;
