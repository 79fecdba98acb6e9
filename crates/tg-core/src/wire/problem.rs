//! The one shape of errors. Which error has which code is decided at the door.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// An error (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// URI of the kind of problem, or `about:blank`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its short name.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// Stable word for programs.
    pub code: String,
    /// Cause and remedy.
    pub detail: String,
    /// Request it answers.
    pub request_id: Option<String>,
    /// Single errors, where several apply.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Further members, e.g. both sides of an illegal transition.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// One error of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Where: path of keys and indices.
    pub loc: Vec<Value>,
    /// What.
    pub msg: String,
    /// Kind of error.
    #[serde(rename = "type")]
    pub kind: String,
}
