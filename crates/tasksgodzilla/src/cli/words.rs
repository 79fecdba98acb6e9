//! Words that several commands say the same way: states with their reasons, engines, tasks, next steps.

use tg_core::{
    status::StatusReason,
    wire::{ProtocolRunOut, StepRunOut},
};
use tg_server::jobs::engine_choice::DUMMY_ENGINE;

/// Engine with a label where nothing real is done.
pub fn engine_label(engine: &str) -> String {
    if engine == DUMMY_ENGINE {
        "dummy (scripted, nothing real is done)".to_owned()
    } else {
        engine.to_owned()
    }
}

/// First line with something on it, at most 120 characters.
pub fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().chars().take(120).collect()
}

/// Where a run stands and, where there is one, the reason.
pub fn run_status(run: &ProtocolRunOut) -> String {
    status(&run.status, run.status_reason.as_ref())
}

/// Where a step stands and, where there is one, the reason.
pub fn step_status(step: &StepRunOut) -> String {
    status(&step.status, step.status_reason.as_ref())
}

fn status(status: &impl std::fmt::Display, reason: Option<&StatusReason>) -> String {
    reason.map_or_else(
        || status.to_string(),
        |reason| format!("{status} ({}): {}", reason.code, reason.message),
    )
}

/// A number, or nothing.
pub fn number(value: Option<i64>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// The first characters of a commit.
pub fn short_sha(sha: Option<&str>) -> String {
    sha.unwrap_or_default().chars().take(10).collect()
}

/// A JSON value on one line: a text as it is, nothing for null.
pub fn inline(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::Array(_)
        | serde_json::Value::Object(_) => value.to_string(),
    }
}
