//! The timeline: append-only, totally ordered, hash-chained per project.

use serde_json::Value;
use tg_core::{
    event::Event,
    ids::{ProjectId, RunId, StepId},
};

use super::{StoreError, record::Record};
use crate::db::{Tx, dialect::Row, timeline::Line};

mod list;
mod verify;

const TABLE: &str = "events";

pub use self::{
    list::{Filter, Key, keys, known, list, newest, since},
    verify::{Verified, Walk, verify},
};

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
    /// Area of work; follows from the kind.
    pub category: String,
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
    /// Name of its run, where it was asked for.
    pub protocol_name: Option<String>,
    /// Name of its project, where it was asked for.
    pub project_name: Option<String>,
}

#[cfg(feature = "testing")]
pub(super) use self::{list::ALL as LIST, verify::ALL as VERIFY};

/// Tells one event: it is appended to its chain when the transaction commits. `metadata.job_id` and
/// `request_id` are filled from the context where the event does not name its own. Values are redacted
/// by the caller.
pub fn append(tx: &mut Tx, context: &Context, event: &Event, now: i64) {
    let mut event = event.clone();
    for (key, value) in [("job_id", &context.job_id), ("request_id", &context.request_id)] {
        if let Some(value) = value {
            event.metadata.entry(key).or_insert_with(|| value.as_str().into());
        }
    }
    let event = event.capped();
    tx.tell(Line {
        project_id: context.project.map(|id| id.0),
        protocol_run_id: context.run.map(|id| id.0),
        step_run_id: event.step.map(|id| id.0),
        event_type: event.kind.as_str(),
        category: event.kind.category().as_str(),
        message: event.sentence(),
        metadata: Value::Object(event.metadata).to_string(),
        actor: context.actor.clone(),
        created_at: now,
    });
}

fn read(row: Row) -> Result<StoredEvent, StoreError> {
    let row = Record::numbered(TABLE, "seq", row);
    Ok(StoredEvent {
        seq: row.int("seq")?,
        project_seq: row.int("project_seq")?,
        project_id: row.maybe_int("project_id")?.map(ProjectId),
        protocol_run_id: row.maybe_int("protocol_run_id")?.map(RunId),
        step_run_id: row.maybe_int("step_run_id")?.map(StepId),
        event_type: row.text("event_type")?,
        category: row.text("kind")?,
        message: row.text("message")?,
        metadata: row.json("metadata")?,
        actor: row.maybe_text("actor")?,
        created_at: row.int("created_at")?,
        hash: row.text("hash")?,
        protocol_name: row.maybe_text("protocol_name")?,
        project_name: row.maybe_text("project_name")?,
    })
}
