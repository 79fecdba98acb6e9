//! Rows of `codex_runs`, the run registry: one per attempt of a job or call.

use serde_json::Value;
use tg_core::{
    ids::{CallId, ProjectId, RunId, StepId},
    protocol::{CallStatus, Usage},
    scope::Scope,
};

use super::{StoreError, not_found, record::Record, touched};
use crate::{
    db::{
        Tx,
        dialect::{Row, args},
    },
    queue::{self, Lease},
};

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
    /// Cost in cents.
    pub cost_cents: Option<i64>,
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
}

mod sql {
    use crate::db::dialect::statements;

    macro_rules! select {
        ($rest:literal) => {
            concat!(
                "SELECT id, job_id, job_type, run_kind, status, project_id, protocol_run_id, step_run_id, attempt, ",
                "worker_id, prompt_version, params, result, error, has_log, usage_reported, input_tokens, ",
                "cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_usd, cost_cents, ",
                "started_at, finished_at, created_at, updated_at FROM codex_runs WHERE ",
                $rest
            )
        };
    }

    statements! {
        START = "INSERT INTO codex_runs (id, job_id, job_type, run_kind, status, project_id, protocol_run_id, \
                 step_run_id, attempt, worker_id, prompt_version, params, has_log, started_at, created_at, updated_at) \
                 VALUES ($1, $2, $3, $4, 'running', $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $13)";
        FINISH = "UPDATE codex_runs SET status = $1, result = $2, error = $3, usage_reported = $4, \
                  input_tokens = $5, cache_read_tokens = $6, cache_write_tokens = $7, output_tokens = $8, \
                  reasoning_tokens = $9, cost_usd = $10, cost_cents = $11, finished_at = $12, updated_at = $12 \
                  WHERE id = $13 AND job_id = $14 AND status = 'running'";
        ABANDON = "UPDATE codex_runs SET status = 'failed', error = $1, finished_at = $2, updated_at = $2 \
                   WHERE job_id = $3 AND finished_at IS NULL";
        STOP = "UPDATE codex_runs SET status = $1, error = $2, finished_at = $3, updated_at = $3 \
                WHERE id = $4 AND status = 'running'";
        SETTLE_UNHELD = "UPDATE codex_runs SET status = CASE WHEN EXISTS (SELECT 1 FROM jobs j \
                         WHERE j.id = codex_runs.job_id AND j.state = 'cancelled') THEN 'cancelled' ELSE 'failed' END, \
                         error = $1, finished_at = $2, updated_at = $2 WHERE finished_at IS NULL AND status = 'running' AND NOT EXISTS \
                         (SELECT 1 FROM jobs j WHERE j.id = codex_runs.job_id AND j.state = 'started')";
        HELD = "SELECT c.id FROM codex_runs c JOIN jobs j ON j.id = c.job_id \
                WHERE c.finished_at IS NULL AND c.status = 'running' AND j.state = 'started'";
        LOAD = select!("id = $1 AND (CAST($2 AS BIGINT) IS NULL OR project_id = $2)");
        LIST_OF_STEP = select!(
            "step_run_id = $1 AND (CAST($2 AS BIGINT) IS NULL OR protocol_run_id = $2) \
             AND (CAST($3 AS TEXT) IS NULL OR run_kind = $3) \
             AND (CAST($4 AS BIGINT) IS NULL OR project_id = $4) ORDER BY id DESC LIMIT $5"
        );
        LIST_OF_RUN = select!(
            "protocol_run_id = $1 AND (CAST($2 AS TEXT) IS NULL OR run_kind = $2) \
             AND (CAST($3 AS BIGINT) IS NULL OR project_id = $3) ORDER BY id DESC LIMIT $4"
        );
        LIST_OF_PROJECT = select!(
            "project_id = $1 AND (CAST($2 AS TEXT) IS NULL OR run_kind = $2) ORDER BY id DESC LIMIT $3"
        );
        LIST_OF_KIND = select!("run_kind = $1 ORDER BY id DESC LIMIT $2");
        LIST = select!("id > '' ORDER BY id DESC LIMIT $1");
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
    touched(tx.execute(sql::FINISH, values).await?, || {
        StoreError::Conflict(format!(
            "call {id} of job {} is not running; its end is not recorded",
            lease.job_id
        ))
    })
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

/// Newest first.
pub async fn list(tx: &mut Tx, scope: &Scope, filter: &Filter, limit: i64) -> Result<Vec<Call>, StoreError> {
    let scope = scope.project().map(|project| project.0);
    let run = filter.run.map(|run| run.0);
    let kind = &filter.run_kind;
    let rows = if let Some(step) = filter.step {
        tx.all(sql::LIST_OF_STEP, args![step.0, run, kind, scope, limit]).await?
    } else if let Some(run) = run {
        tx.all(sql::LIST_OF_RUN, args![run, kind, scope, limit]).await?
    } else if let Some(project) = scope {
        tx.all(sql::LIST_OF_PROJECT, args![project, kind, limit]).await?
    } else if let Some(kind) = kind {
        tx.all(sql::LIST_OF_KIND, args![kind, limit]).await?
    } else {
        tx.all(sql::LIST, args![limit]).await?
    };
    rows.into_iter().map(read).collect()
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
        attempt: row.maybe_int("attempt")?,
        worker_id: row.maybe_text("worker_id")?,
        prompt_version: row.maybe_text("prompt_version")?,
        params: row.maybe_json("params")?,
        result: row.maybe_json("result")?,
        error: row.maybe_text("error")?,
        has_log: row.flag("has_log")?,
        usage: usage(&row)?,
        cost_cents: row.maybe_int("cost_cents")?,
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
