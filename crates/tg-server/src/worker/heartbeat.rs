//! Renews the leases of this process on a thread, runtime and connection of its own.
