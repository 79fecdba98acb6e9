//! The binary as a person or script meets it: exit codes, what is printed where, what is left behind.

mod cli;
mod env;
