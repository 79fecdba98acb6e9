//! The timeline: append-only, totally ordered, hash-chained per project.

use serde_json::Value;
use tg_core::{
    chain::{GENESIS, Head, Link, link},
    event::Event,
    ids::{ProjectId, RunId, StepId},
};

use super::{StoreError, not_found, record::Record, touched};
use crate::db::{
    Tx,
    dialect::{Row, Serial, args},
};

mod list;
mod verify;

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

mod sql {
    use crate::db::dialect::statements;

    statements! {
        NEW_CHAIN = "INSERT INTO event_chains (chain, last_project_seq, last_hash) VALUES ($1, 0, $2) \
                     ON CONFLICT (chain) DO NOTHING";
        HEAD = "SELECT chain, last_project_seq, last_hash FROM event_chains WHERE chain = $1";
        HEAD_POSTGRES = "SELECT chain, last_project_seq, last_hash FROM event_chains WHERE chain = $1 FOR UPDATE";
        MOVE_HEAD = "UPDATE event_chains SET last_project_seq = last_project_seq + 1, last_hash = $1 \
                     WHERE chain = $2 AND last_project_seq = $3";
        INSERT = "INSERT INTO events (chain, project_seq, project_id, protocol_run_id, step_run_id, event_type, message, \
                  metadata, actor, created_at, hash, kind) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING seq";
    }
}
#[cfg(feature = "testing")]
pub(super) use self::{list::ALL as LIST, sql::ALL, verify::ALL as VERIFY};

const TABLE: &str = "events";
const CHAINS: &str = "event_chains";

/// Appends one event; the chain head is locked by the transaction. `metadata.job_id` and
/// `request_id` are filled from the context where the event does not name its own. Gives its
/// sequence number. Values are redacted by the caller.
pub async fn append(tx: &mut Tx, context: &Context, event: &Event, now: i64) -> Result<i64, StoreError> {
    let mut event = event.clone();
    for (key, value) in [("job_id", &context.job_id), ("request_id", &context.request_id)] {
        if let Some(value) = value {
            event.metadata.entry(key).or_insert_with(|| value.as_str().into());
        }
    }
    let event = event.capped();
    let message = event.sentence();
    let text = Value::Object(event.metadata).to_string();
    // The hash covers what a later reader gets back, so it is taken from the text and not from the value.
    let metadata: Value = serde_json::from_str(&text).expect("it was written as JSON just now");

    tx.serialize(Serial::Events).await?;
    let chain = context.project.map_or(0, |id| id.0);
    let known = head(tx, chain).await?;
    let head = if let Some(head) = known {
        head
    } else {
        // The first event of a chain; nobody else begins it, because events go one at a time.
        tx.execute(sql::NEW_CHAIN, args![chain, GENESIS]).await?;
        head(tx, chain).await?.ok_or_else(|| not_found(CHAINS, chain))?
    };
    let project_seq = head.project_seq + 1;
    let row = Link {
        project_seq,
        project_id: context.project.map(|id| id.0),
        protocol_run_id: context.run.map(|id| id.0),
        step_run_id: event.step.map(|id| id.0),
        event_type: event.kind.as_str(),
        message: &message,
        metadata: &metadata,
        actor: context.actor.as_deref(),
        created_at: now,
    };
    let hash = link(&head.hash, &row);
    let values = args![
        chain,
        project_seq,
        row.project_id,
        row.protocol_run_id,
        row.step_run_id,
        row.event_type,
        row.message,
        text,
        row.actor,
        now,
        &hash,
        event.kind.category().as_str(),
    ];
    let stored = tx.first(sql::INSERT, values).await?.ok_or_else(|| not_found(TABLE, project_seq))?;
    let moved = tx.execute(sql::MOVE_HEAD, args![hash, chain, head.project_seq]).await?;
    touched(moved, || StoreError::Conflict(format!("event chain {chain} moved while it was locked")))?;
    Record::numbered(TABLE, "seq", stored).int("seq")
}

async fn head(tx: &mut Tx, chain: i64) -> Result<Option<Head>, StoreError> {
    let text = tx.locking(sql::HEAD, sql::HEAD_POSTGRES);
    let Some(row) = tx.first(text, args![chain]).await? else { return Ok(None) };
    let row = Record::numbered(CHAINS, "chain", row);
    Ok(Some(Head { project_seq: row.int("last_project_seq")?, hash: row.text("last_hash")? }))
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
