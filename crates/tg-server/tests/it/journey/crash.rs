//! A worker dies between two effects: nothing is lost, nothing happens twice.
