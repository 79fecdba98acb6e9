//! The HTTP door. For now: health and readiness.
