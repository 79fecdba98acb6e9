//! Hash chain over the events of a project: link, verify, name the first bad link.
//! Knows nothing of where events are stored.

use serde_json::Value;

/// A stored event as the chain sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Link<'a> {
    /// Position in its project's chain, from 1, gapless.
    pub project_seq: i64,
    /// Project, or `None` for the chain of events without a project.
    pub project_id: Option<i64>,
    /// Run.
    pub protocol_run_id: Option<i64>,
    /// Step.
    pub step_run_id: Option<i64>,
    /// Wire kind.
    pub event_type: &'a str,
    /// Sentence.
    pub message: &'a str,
    /// Metadata.
    pub metadata: &'a Value,
    /// Person or principal that caused it.
    pub actor: Option<&'a str>,
    /// Milliseconds since the epoch, UTC.
    pub created_at: i64,
}

/// Hash before the first event.
pub const GENESIS: &str = "";

/// Hex SHA-256 over the previous hash and the canonical row.
pub fn link(previous: &str, row: &Link<'_>) -> String {
    todo!()
}
