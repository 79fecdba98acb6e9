//! Tables, stories and random walks over `decide`.

mod page;
mod simulator;
mod stories;
mod walks;
