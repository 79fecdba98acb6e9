//! Tables, stories and random walks over `decide`.
