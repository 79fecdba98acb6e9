//! What differs between the two databases, in one file: dispatch, clock, claim, locks.
