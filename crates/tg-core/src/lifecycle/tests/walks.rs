//! Random walks: what holds after any order of signals.
