//! Tracing set-up: human or JSON lines on standard error, with the contract's fields.
