//! Rows of `codex_runs`, the run registry: one per attempt of a job or call.

mod list;
mod outside;
mod sql;

use serde_json::Value;
use tg_core::{
    ids::{CallId, ProjectId, RunId, StepId},
    protocol::{CallStatus, Usage},
    scope::Scope,
};

use super::{StoreError, not_found, record::Record, tally};
use crate::{
    db::{
        Tx,
        dialect::{Row, args},
    },
    queue::{self, Lease},
};

pub use list::{list, page};
pub use outside::{Outside, append_to, end_outside, register};

/// A call that begins.
#[derive(Debug, Clone)]
pub struct NewCall {
    /// Identity, made by the caller (UUIDv7).
    pub id: CallId,
    /// Kind: `plan`, `decompose`, `exec`, `qa`, `qa_inline`, `open_pr`.
    pub run_kind: String,
    /// Run.
    pub run: Option<RunId>,
    /// Step.
    pub step: Option<StepId>,
    /// Fingerprint of the assembled prompt.
    pub prompt_version: Option<String>,
    /// Engine, model, sandbox, binary, fingerprints of the parts.
    pub params: Value,
    /// It has a log file.
    pub has_log: bool,
}

/// How a call ended.
#[derive(Debug, Clone)]
pub struct CallEnd {
    /// Succeeded, failed or cancelled.
    pub status: CallStatus,
    /// What it made (contract §5.2).
    pub result: Option<Value>,
    /// Why it failed, redacted.
    pub error: Option<String>,
    /// Usage, reported or estimated.
    pub usage: Option<Usage>,
    /// Cost in cents, when known.
    pub cost_cents: Option<i64>,
}

/// A call as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Identity.
    pub id: CallId,
    /// Job.
    pub job_id: Option<String>,
    /// Wire kind of the job.
    pub job_type: String,
    /// Kind of the call.
    pub run_kind: Option<String>,
    /// Where it stands.
    pub status: CallStatus,
    /// Project.
    pub project_id: Option<ProjectId>,
    /// Run.
    pub protocol_run_id: Option<RunId>,
    /// Step.
    pub step_run_id: Option<StepId>,
    /// Queue of the job.
    pub queue: String,
    /// Attempt of the job, from 1.
    pub attempt: Option<i64>,
    /// `host:pid` of the worker.
    pub worker_id: Option<String>,
    /// Fingerprint of the assembled prompt.
    pub prompt_version: Option<String>,
    /// See `NewCall`.
    pub params: Option<Value>,
    /// See `CallEnd`.
    pub result: Option<Value>,
    /// See `CallEnd`.
    pub error: Option<String>,
    /// It has a log file.
    pub has_log: bool,
    /// Usage.
    pub usage: Option<Usage>,
    /// Tokens as somebody outside told them.
    pub cost_tokens: Option<i64>,
    /// Cost in cents.
    pub cost_cents: Option<i64>,
    /// Its place in every list: grows with each new row.
    pub seq: String,
    /// Milliseconds since the epoch, UTC.
    pub started_at: Option<i64>,
    /// Milliseconds since the epoch, UTC.
    pub finished_at: Option<i64>,
    /// Milliseconds since the epoch, UTC.
    pub created_at: i64,
    /// Milliseconds since the epoch, UTC.
    pub updated_at: i64,
}

/// Which calls to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of one run.
    pub run: Option<RunId>,
    /// Of one step.
    pub step: Option<StepId>,
    /// Of one kind.
    pub run_kind: Option<String>,
    /// Of one kind of job.
    pub job_type: Option<String>,
    /// That stand so.
    pub status: Option<CallStatus>,
    /// Of one project.
    pub project: Option<ProjectId>,
}

impl Call {
    /// It was registered from outside: no job of ours does it.
    pub const fn is_outside(&self) -> bool {
        self.job_id.is_none()
    }

    /// It has ended.
    pub const fn is_over(&self) -> bool {
        match self.status {
            CallStatus::Succeeded | CallStatus::Failed | CallStatus::Cancelled => true,
            CallStatus::Queued | CallStatus::Running => false,
        }
    }
}

#[cfg(feature = "testing")]
pub(super) use sql::ALL;

const TABLE: &str = "codex_runs";

/// Records that a call begins.
pub async fn start(tx: &mut Tx, lease: &Lease, new: &NewCall, now: i64) -> Result<(), StoreError> {
    queue::check(tx, lease).await?;
    let values = args![
        &new.id.0,
        &lease.job_id.0,
        lease.job.kind(),
        &new.run_kind,
        lease.project.map(|id| id.0),
        new.run.map(|id| id.0),
        new.step.map(|id| id.0),
        lease.attempt,
        lease.worker(),
        &new.prompt_version,
        new.params.to_string(),
        new.has_log,
        now,
        place(),
    ];
    tx.execute(sql::START, values).await?;
    Ok(())
}

/// Records how it ended. A call ends once.
pub async fn finish(
    tx: &mut Tx,
    lease: &Lease,
    id: &CallId,
    end: &CallEnd,
    now: i64,
) -> Result<(), StoreError> {
    queue::check(tx, lease).await?;
    let usage = end.usage.as_ref();
    let values = args![
        end.status.as_str(),
        end.result.as_ref().map(ToString::to_string),
        &end.error,
        usage.map(|usage| i64::from(usage.reported)),
        usage.map(|usage| stored(usage.input)),
        usage.map(|usage| stored(usage.cache_read)),
        usage.map(|usage| stored(usage.cache_write)),
        usage.map(|usage| stored(usage.output)),
        usage.and_then(|usage| usage.reasoning).map(stored),
        // As text, because the shortest decimal that reads back the same is exact.
        usage.and_then(|usage| usage.cost_usd).map(|cost| cost.to_string()),
        end.cost_cents,
        now,
        &id.0,
        &lease.job_id.0,
    ];
    let row = tx.first(sql::FINISH, values).await?.ok_or_else(|| {
        StoreError::Conflict(format!(
            "call {id} of job {} is not running; its end is not recorded",
            lease.job_id
        ))
    })?;
    tally::call_ended(tx, &Record::named(TABLE, "id", row), end)
}

/// Calls of a job whose attempt died: marked failed with this error. Returns how many.
pub async fn abandon(
    tx: &mut Tx,
    job: &tg_core::ids::JobId,
    error: &str,
    now: i64,
) -> Result<u64, StoreError> {
    Ok(tx.execute(sql::ABANDON, args![error, now, &job.0]).await?)
}

/// A call whose job was taken from its holder, written by that holder: its process is gone. Needs no
/// lease, because nobody else writes this row.
pub async fn stop(
    tx: &mut Tx,
    id: &CallId,
    status: CallStatus,
    error: &str,
    now: i64,
) -> Result<(), StoreError> {
    // No row is a legal outcome: the call was settled for us.
    tx.execute(sql::STOP, args![status.as_str(), error, now, &id.0]).await?;
    Ok(())
}

/// Calls whose job nobody holds any more: cancelled with it, else failed. Returns how many.
pub async fn settle_unheld(tx: &mut Tx, error: &str, now: i64) -> Result<u64, StoreError> {
    Ok(tx.execute(sql::SETTLE_UNHELD, args![error, now]).await?)
}

/// Calls at work whose job is held by somebody.
pub async fn held(tx: &mut Tx) -> Result<Vec<CallId>, StoreError> {
    let rows = tx.all(sql::HELD, args![]).await?;
    rows.into_iter().map(|row| Ok(CallId(Record::named(TABLE, "id", row).text("id")?))).collect()
}

/// Loads one.
pub async fn load(tx: &mut Tx, scope: &Scope, id: &CallId) -> Result<Call, StoreError> {
    let scope = scope.project().map(|project| project.0);
    let row = tx.first(sql::LOAD, args![&id.0, scope]).await?;
    read(row.ok_or_else(|| not_found(TABLE, id))?)
}

/// The newest attempt of a job; of its calls the first, which is what the job is about.
pub async fn newest_of_job(tx: &mut Tx, scope: &Scope, job_id: &str) -> Result<Option<Call>, StoreError> {
    let scope = scope.project().map(|project| project.0);
    tx.first(sql::NEWEST_OF_JOB, args![job_id, scope]).await?.map(read).transpose()
}

/// The place of a new row after all others.
fn place() -> String {
    uuid::Uuid::now_v7().to_string()
}

/// A count as the database holds it; no call uses 2^63 tokens.
fn stored(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn read(row: Row) -> Result<Call, StoreError> {
    let row = Record::named(TABLE, "id", row);
    Ok(Call {
        id: CallId(row.text("id")?),
        job_id: row.maybe_text("job_id")?,
        job_type: row.text("job_type")?,
        run_kind: row.maybe_text("run_kind")?,
        status: row.word("status", CallStatus::parse)?,
        project_id: row.maybe_int("project_id")?.map(ProjectId),
        protocol_run_id: row.maybe_int("protocol_run_id")?.map(RunId),
        step_run_id: row.maybe_int("step_run_id")?.map(StepId),
        queue: row.text("queue")?,
        attempt: row.maybe_int("attempt")?,
        worker_id: row.maybe_text("worker_id")?,
        prompt_version: row.maybe_text("prompt_version")?,
        params: row.maybe_json("params")?,
        result: row.maybe_json("result")?,
        error: row.maybe_text("error")?,
        has_log: row.flag("has_log")?,
        usage: usage(&row)?,
        cost_tokens: row.maybe_int("cost_tokens")?,
        cost_cents: row.maybe_int("cost_cents")?,
        seq: row.text("seq")?,
        started_at: row.maybe_int("started_at")?,
        finished_at: row.maybe_int("finished_at")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}

/// Usage is there as a whole or not at all.
fn usage(row: &Record) -> Result<Option<Usage>, StoreError> {
    let Some(reported) = row.maybe_flag("usage_reported")? else { return Ok(None) };
    let count = |column| row.maybe_count(column)?.ok_or_else(|| row.corrupt(column));
    Ok(Some(Usage {
        input: count("input_tokens")?,
        cache_read: count("cache_read_tokens")?,
        cache_write: count("cache_write_tokens")?,
        output: count("output_tokens")?,
        reasoning: row.maybe_count("reasoning_tokens")?,
        cost_usd: row.maybe_word("cost_usd", |text| text.parse().ok())?,
        reported,
    }))
}
