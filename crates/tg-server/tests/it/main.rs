//! Integration tests of the server crate: one binary, one module per topic.

mod house;
