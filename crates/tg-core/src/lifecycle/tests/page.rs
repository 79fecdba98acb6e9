//! Writes `docs/lifecycle.md` and fails when it is stale.
