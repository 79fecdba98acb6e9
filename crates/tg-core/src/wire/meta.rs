//! Bodies of `/version` and `/engines`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What this server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({ "version": "1.0.0", "schema": 12, "api": "1" })))]
pub struct Version {
    /// Version of the program.
    pub version: String,
    /// Number of the newest schema change it knows; its database has it.
    pub schema: i64,
    /// Version of the API.
    pub api: String,
}

/// An engine this server knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({
    "id": "codex", "display_name": "Codex", "kind": "cli", "default_model": null, "available": true
})))]
pub struct EngineOut {
    /// Id in specs and settings.
    pub id: String,
    /// Shown name.
    pub display_name: String,
    /// `cli` or `builtin`.
    pub kind: String,
    /// Model when nobody names one; `null` leaves it to the engine.
    pub default_model: Option<String>,
    /// It can be used.
    pub available: bool,
    /// Why it cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
