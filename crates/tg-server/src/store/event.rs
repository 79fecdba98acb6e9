//! The timeline: append-only, totally ordered, hash-chained per project.

use serde_json::Value;
use tg_core::{
    event::Event,
    ids::{ProjectId, RunId, StepId},
    scope::Scope,
};

use super::StoreError;
use crate::db::Tx;

/// Where an event belongs and who caused it.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Project; `None` = the chain of events without one.
    pub project: Option<ProjectId>,
    /// Run.
    pub run: Option<RunId>,
    /// Person or principal.
    pub actor: Option<String>,
    /// Request that caused it.
    pub request_id: Option<String>,
    /// Job that caused it.
    pub job_id: Option<String>,
}

/// A stored event.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEvent {
    /// Total order.
    pub seq: i64,
    /// Order in its project, gapless from 1.
    pub project_seq: i64,
    /// Project.
    pub project_id: Option<ProjectId>,
    /// Run.
    pub protocol_run_id: Option<RunId>,
    /// Step.
    pub step_run_id: Option<StepId>,
    /// Wire kind, kept as text so that kinds of a newer binary survive.
    pub event_type: String,
    /// Sentence.
    pub message: String,
    /// Facts.
    pub metadata: Value,
    /// Who.
    pub actor: Option<String>,
    /// Milliseconds since the epoch, UTC.
    pub created_at: i64,
    /// Chain hash.
    pub hash: String,
}

/// Which events to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one project.
    pub project: Option<ProjectId>,
    /// Of one run.
    pub run: Option<RunId>,
    /// Of one step.
    pub step: Option<StepId>,
    /// Of one kind.
    pub event_type: Option<String>,
    /// Only older than this sequence number.
    pub before: Option<i64>,
    /// Only newer than this sequence number.
    pub after: Option<i64>,
}

/// Appends one event; the chain head is locked by the transaction. `metadata.job_id` and
/// `request_id` are filled from the context.
pub async fn append(tx: &mut Tx, context: &Context, event: &Event, now: i64) -> Result<i64, StoreError> {
    todo!()
}

/// Newest first.
pub async fn list(
    tx: &mut Tx,
    scope: &Scope,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    todo!()
}

/// What a walk over the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Events checked.
    pub checked: u64,
    /// First bad event and why.
    pub first_bad: Option<(i64, String)>,
}

/// Walks the chain of one project (or of all chains) in slices and compares it with its recorded head.
pub async fn verify(tx: &mut Tx, project: Option<ProjectId>) -> Result<Verified, StoreError> {
    todo!()
}
