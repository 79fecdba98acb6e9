//! Integration tests of the server crate: one binary, one module per topic.

mod git;
mod git_hostile;
mod house;
