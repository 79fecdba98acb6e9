//! Bodies that people send about runs and steps. Unknown fields are refused; which values make sense
//! (names, engines, who may change what when) is decided at the door.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{project::ModelDefaults, step::StepType};
pub use crate::{status::FirstStatus, step::FirstStepStatus};

/// A run to create. Exactly one of `protocol_name` and `short_name` is given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(
    json!({ "protocol_name": "0001-greeting", "description": "Greet the reader in their language." }),
    json!({
        "short_name": "greet the reader", "description": "Greet the reader in their language.",
        "auto_advance": true, "engine": "codex", "models": { "exec": "gpt-5-codex" }
    })
))]
pub struct NewProtocol {
    /// The whole name: branch and directory are called the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_name: Option<String>,
    /// Words for a name; the next free number of the project is put before them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_name: Option<String>,
    /// Branch to start from; the project's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_branch: Option<String>,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it begins.
    #[serde(default = "pending")]
    pub status: FirstStatus,
    /// A pass queues the next ready step.
    #[serde(default)]
    pub auto_advance: bool,
    /// Engine by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Models by role; they win over the project's.
    #[serde(default)]
    pub models: ModelDefaults,
}

const fn pending() -> FirstStatus {
    FirstStatus::Pending
}

impl Default for NewProtocol {
    fn default() -> Self {
        Self {
            protocol_name: None,
            short_name: None,
            base_branch: None,
            description: None,
            status: pending(),
            auto_advance: false,
            engine: None,
            models: ModelDefaults::default(),
        }
    }
}

/// Changes to a run; what is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "description": "Greet the reader in their language, or in English.", "auto_advance": false })))]
pub struct ProtocolChange {
    /// The task; null removes it.
    #[serde(default, deserialize_with = "stated", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Option<String>>,
    /// A pass queues the next ready step.
    #[serde(default, deserialize_with = "stated", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = bool)]
    pub auto_advance: Option<bool>,
    /// Branch to start from; only before any step ran.
    #[serde(default, deserialize_with = "stated", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String)]
    pub base_branch: Option<String>,
}

/// A step to add by hand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "step_index": 0, "step_name": "00-greeting.md", "step_type": "work",
    "summary": "Choose the greeting by language."
})))]
pub struct NewStep {
    /// Position from 0, unique in the run.
    #[schema(minimum = 0)]
    pub step_index: i64,
    /// File name of the step, unique in the run.
    pub step_name: String,
    /// What it is for.
    pub step_type: StepType,
    /// Where it begins.
    #[serde(default = "pending_step")]
    pub status: FirstStepStatus,
    /// Model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What it does, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// Engine by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_id: Option<String>,
    /// Loop and trigger entries: an object or a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Value>,
}

const fn pending_step() -> FirstStepStatus {
    FirstStepStatus::Pending
}

/// Changes to a step while it is pending, blocked or failed; what is absent stays as it is, null
/// removes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "summary": "Choose the greeting by language, English last.", "model": null })))]
pub struct StepEdit {
    /// Model.
    #[serde(default, deserialize_with = "stated", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub model: Option<Option<String>>,
    /// Engine by id.
    #[serde(default, deserialize_with = "stated", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub engine_id: Option<Option<String>>,
    /// Loop and trigger entries: an object or a list.
    #[serde(default, deserialize_with = "stated", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub policy: Option<Option<Value>>,
    /// What it does, in a line.
    #[serde(default, deserialize_with = "stated", skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub summary: Option<Option<String>>,
}

/// Why somebody pauses, resumes or cancels a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "reason": "The task has to be said better first." })))]
pub struct Reason {
    /// Recorded on the timeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What somebody says when they approve a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "note": "Looked at the changes; they are right." })))]
pub struct Note {
    /// Recorded on the timeline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What is there counts, `null` too: it removes where the field may be empty and is refused elsewhere.
pub(super) fn stated<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
