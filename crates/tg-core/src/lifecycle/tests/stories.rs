//! Each row of the tables and each acceptance case as a small story.

mod jobs;
mod loops;
mod pause;
mod planning;
mod remote;
mod steps;
mod triggers;
