//! The timeline: append-only, totally ordered, hash-chained per project.

use serde_json::Value;
use tg_core::{
    chain::{GENESIS, Head, Link, link},
    event::Event,
    ids::{ProjectId, RunId, StepId},
    scope::Scope,
};

use super::{StoreError, not_found, record::Record, touched};
use crate::db::{
    Tx,
    dialect::{Row, Serial, args},
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

mod sql {
    use crate::db::dialect::statements;

    macro_rules! select {
        ($rest:expr) => {
            concat!(
                "SELECT seq, project_seq, project_id, protocol_run_id, step_run_id, event_type, message, metadata, ",
                "actor, created_at, hash FROM events WHERE ",
                $rest
            )
        };
    }
    macro_rules! list {
        ($subject:literal) => {
            select!(concat!(
                $subject,
                " AND seq < $2 AND seq > $3 AND (CAST($4 AS TEXT) IS NULL OR event_type = $4)",
                " AND (CAST($5 AS BIGINT) IS NULL OR project_id = $5)",
                " AND (CAST($6 AS BIGINT) IS NULL OR protocol_run_id = $6) ORDER BY seq DESC LIMIT $7"
            ))
        };
    }

    statements! {
        NEW_CHAIN = "INSERT INTO event_chains (chain, last_project_seq, last_hash) VALUES ($1, 0, $2) \
                     ON CONFLICT (chain) DO NOTHING";
        HEAD = "SELECT chain, last_project_seq, last_hash FROM event_chains WHERE chain = $1";
        HEAD_POSTGRES = "SELECT chain, last_project_seq, last_hash FROM event_chains WHERE chain = $1 FOR UPDATE";
        MOVE_HEAD = "UPDATE event_chains SET last_project_seq = last_project_seq + 1, last_hash = $1 \
                     WHERE chain = $2 AND last_project_seq = $3";
        INSERT = "INSERT INTO events (chain, project_seq, project_id, protocol_run_id, step_run_id, event_type, message, \
                  metadata, actor, created_at, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) RETURNING seq";
        LIST_OF_STEP = list!("step_run_id = $1");
        LIST_OF_RUN = list!("protocol_run_id = $1");
        LIST_OF_PROJECT = list!("project_id = $1");
        LIST = list!("seq > $1");
        CHAINS = "SELECT chain FROM event_chains UNION SELECT chain FROM events ORDER BY chain";
        SLICE = select!("chain = $1 AND project_seq > $2 ORDER BY project_seq LIMIT $3");
    }
}
#[cfg(feature = "testing")]
pub(super) use sql::ALL;

const TABLE: &str = "events";
const CHAINS: &str = "event_chains";
/// Events of a chain that are held in memory at once.
const SLICE: i64 = 1000;

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
    tx.execute(sql::NEW_CHAIN, args![chain, GENESIS]).await?;
    let head = head(tx, chain).await?.ok_or_else(|| not_found(CHAINS, chain))?;
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

/// Newest first.
pub async fn list(
    tx: &mut Tx,
    scope: &Scope,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    let project = match (scope.project(), filter.project) {
        (Some(allowed), Some(asked)) if allowed != asked => return Ok(Vec::new()),
        (allowed, asked) => allowed.or(asked).map(|id| id.0),
    };
    let run = filter.run.map(|id| id.0);
    let (text, subject) = match (filter.step, run, project) {
        (Some(step), _, _) => (sql::LIST_OF_STEP, step.0),
        (None, Some(run), _) => (sql::LIST_OF_RUN, run),
        (None, None, Some(project)) => (sql::LIST_OF_PROJECT, project),
        (None, None, None) => (sql::LIST, 0),
    };
    let before = filter.before.unwrap_or(i64::MAX);
    let after = filter.after.unwrap_or(0);
    let values = args![subject, before, after, &filter.event_type, project, run, limit];
    tx.all(text, values).await?.into_iter().map(read).collect()
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
        message: row.text("message")?,
        metadata: row.json("metadata")?,
        actor: row.maybe_text("actor")?,
        created_at: row.int("created_at")?,
        hash: row.text("hash")?,
    })
}

/// What a walk over the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Events checked.
    pub checked: u64,
    /// First bad event and why. The number is its `seq`; for an event that is gone, the `seq` of the
    /// last one before it (0 = none).
    pub first_bad: Option<(i64, String)>,
}

/// Walks the chain of one project (or of all chains) in slices and compares it with its recorded head.
pub async fn verify(tx: &mut Tx, project: Option<ProjectId>) -> Result<Verified, StoreError> {
    let chains = if let Some(project) = project {
        vec![project.0]
    } else {
        let rows = tx.all(sql::CHAINS, args![]).await?;
        rows.into_iter()
            .map(|row| Record::numbered(CHAINS, "chain", row).int("chain"))
            .collect::<Result<_, _>>()?
    };
    let mut found = Verified { checked: 0, first_bad: None };
    for chain in chains {
        found.first_bad = walk(tx, chain, &mut found.checked).await?;
        if found.first_bad.is_some() {
            break;
        }
    }
    Ok(found)
}

async fn walk(tx: &mut Tx, chain: i64, checked: &mut u64) -> Result<Option<(i64, String)>, StoreError> {
    let mut last = Head { project_seq: 0, hash: GENESIS.to_owned() };
    let mut last_seq = 0;
    loop {
        let rows = tx.all(sql::SLICE, args![chain, last.project_seq, SLICE]).await?;
        let full = i64::try_from(rows.len()).is_ok_and(|count| count == SLICE);
        for row in rows {
            let event = match read(row) {
                Ok(event) => event,
                // A row that does not parse was altered as well.
                Err(StoreError::Corrupt { id, column, .. }) => {
                    return Ok(Some((
                        id.parse().unwrap_or(last_seq),
                        format!("its {column} cannot be read"),
                    )));
                }
                Err(error) => return Err(error),
            };
            if let Some(why) = broken(&last, chain, &event) {
                return Ok(Some((event.seq, why)));
            }
            last_seq = event.seq;
            last = Head { project_seq: event.project_seq, hash: event.hash };
            *checked += 1;
        }
        if !full {
            break;
        }
    }
    let recorded = head(tx, chain).await?.unwrap_or(Head { project_seq: 0, hash: GENESIS.to_owned() });
    if recorded == last {
        return Ok(None);
    }
    let why = if recorded.project_seq > last.project_seq {
        format!("the chain ends at {} but its recorded head is {}", last.project_seq, recorded.project_seq)
    } else {
        format!("it does not agree with the recorded head {}", recorded.project_seq)
    };
    Ok(Some((last_seq, why)))
}

fn broken(last: &Head, chain: i64, event: &StoredEvent) -> Option<String> {
    let expected = last.project_seq + 1;
    if event.project_seq != expected {
        return Some(format!("event {expected} of chain {chain} is missing before it"));
    }
    let row = Link {
        project_seq: event.project_seq,
        project_id: event.project_id.map(|id| id.0),
        protocol_run_id: event.protocol_run_id.map(|id| id.0),
        step_run_id: event.step_run_id.map(|id| id.0),
        event_type: &event.event_type,
        message: &event.message,
        metadata: &event.metadata,
        actor: event.actor.as_deref(),
        created_at: event.created_at,
    };
    (link(&last.hash, &row) != event.hash).then(|| "its content or the hash before it was altered".to_owned())
}
