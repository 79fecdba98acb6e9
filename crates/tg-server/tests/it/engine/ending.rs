//! Every way a call ends: nothing of it may be left, and it must not take long.
