//! Bodies of the timeline's routes besides the events themselves.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a walk over the hash chain found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({ "ok": true, "checked": 1041, "first_bad_seq": null })))]
pub struct ChainCheck {
    /// Every link holds.
    pub ok: bool,
    /// Events that hold.
    pub checked: u64,
    /// First event that does not hold; for one that is gone, the last one before it (0 = none).
    pub first_bad_seq: Option<i64>,
}
