//! The jobs table: claim, renew, finish, retry, snooze, rescue, cancel, always by fencing token.
//! At least once; attempts are counted at claim. Jobs of a paused run are not claimed.

use std::time::Duration;

use serde_json::Value;
use tg_core::{
    event::{Event, EventKind},
    ids::{Fence, JobId, ProjectId, RunId, StepId},
    job::{Job, JobStatus, MAX_ATTEMPTS},
    lifecycle::Enqueue,
};

use crate::{
    db::{
        Tx,
        dialect::{Row, Serial, args},
    },
    metrics::family::{JOB_DURATION, JOB_WAIT, LEASES_LOST},
    store::{
        StoreError, event, not_found,
        record::{Record, json_text},
        touched,
    },
    trace,
};
#[cfg(feature = "testing")]
pub(crate) use sql::ALL;

mod count;
pub mod depth;
mod list;
mod sql;

pub use count::{Counts, count_in, counts, is_due as counting_is_due, prune};
pub use list::{Filter, has_newer, list, live, load, load_locked, page};

const TABLE: &str = "jobs";
/// What a job that no code of this binary understands ends with.
const UNKNOWN: &str = "this binary does not know such a job; it was queued by a newer one";

/// The kind such a job is counted as: its own word may be anything.
const UNKNOWN_KIND: &str = "other";

/// The right to do a job now. Proof that a write comes from its present holder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Job.
    pub job_id: JobId,
    /// Token; every write checks it.
    pub fence: Fence,
    /// What to do.
    pub job: Job,
    /// Attempt this is, from 1.
    pub attempt: i64,
    /// Attempts it gets.
    pub max_attempts: i64,
    /// Owner: new at each process start.
    pub owner: String,
    /// Project of the subject.
    pub project: Option<ProjectId>,
    /// Request that queued it.
    pub request_id: Option<String>,
    /// Run it is about.
    pub run: Option<RunId>,
    /// `traceparent` of what queued it.
    pub trace: Option<String>,
}

impl Lease {
    /// Who works, as people are told (`host:pid`); the owner adds what makes each process start new.
    pub fn worker(&self) -> &str {
        worker_of(&self.owner)
    }
}

/// The worker behind an owner.
fn worker_of(owner: &str) -> &str {
    owner.rsplit_once(':').map_or(owner, |(worker, _)| worker)
}

/// A job as listed.
#[derive(Debug, Clone, PartialEq)]
pub struct JobRow {
    /// Identity.
    pub id: JobId,
    /// What.
    pub job: Job,
    /// Wire status (`scheduled` derived).
    pub status: JobStatus,
    /// Sort key.
    pub priority: i64,
    /// Project.
    pub project_id: Option<ProjectId>,
    /// Run it is about.
    pub protocol_run_id: Option<RunId>,
    /// Attempts made.
    pub attempts: i64,
    /// Attempts it gets.
    pub max_attempts: i64,
    /// When it is due.
    pub run_at: i64,
    /// Last error, redacted.
    pub last_error: Option<String>,
    /// Queue it is in.
    pub queue: String,
    /// Request that queued it.
    pub request_id: Option<String>,
    /// Who does it, or did it last (`host:pid`).
    pub worker: Option<String>,
    /// What came out of its newest attempt.
    pub result: Option<Value>,
    /// Times, milliseconds since the epoch, UTC.
    pub created_at: i64,
    /// First claim.
    pub started_at: Option<i64>,
    /// End.
    pub finished_at: Option<i64>,
}

/// The database's clock in milliseconds since the epoch, UTC: the only judge of leases. On SQLite it is
/// the clock of this machine.
pub async fn now(tx: &mut Tx) -> Result<i64, StoreError> {
    Ok(tx.now().await?)
}

/// What a job is about, as its row names it.
struct Subject {
    run: Option<RunId>,
    step: Option<StepId>,
    project: Option<ProjectId>,
}

async fn subject(tx: &mut Tx, job: &Job, project: Option<ProjectId>) -> Result<Subject, StoreError> {
    let (table, id, step, text) = match job {
        Job::PlanProtocol { protocol_run_id } | Job::OpenPullRequest { protocol_run_id } => {
            ("protocol_runs", protocol_run_id.0, None, sql::PROJECT_OF_RUN)
        }
        Job::ExecuteStep { step_run_id } | Job::CheckQuality { step_run_id } => {
            ("step_runs", step_run_id.0, Some(*step_run_id), sql::PROJECT_OF_STEP)
        }
        Job::Maintenance => return Ok(Subject { run: None, step: None, project }),
    };
    let row = tx.first(text, args![id]).await?.ok_or_else(|| not_found(table, id))?;
    let row = Record::numbered("protocol_runs", "id", row);
    Ok(Subject { run: Some(RunId(row.int("id")?)), step, project: Some(ProjectId(row.int("project_id")?)) })
}

/// Queues a job, or returns its live twin's id. Run, step and project are found through the subject;
/// `project` counts for a job without one only.
pub async fn enqueue(
    tx: &mut Tx,
    what: &Enqueue,
    project: Option<ProjectId>,
    delay: Duration,
    request_id: Option<&str>,
) -> Result<JobId, StoreError> {
    let subject = subject(tx, &what.job, project).await?;
    let key = what.job.unique_key();
    // A twin may end between the two statements; then the second round inserts.
    for _ in 0..3 {
        let now = now(tx).await?;
        let values = args![
            uuid::Uuid::now_v7().to_string(),
            what.job.kind(),
            json_text(&what.job),
            what.priority.rank(),
            now.saturating_add(millis(delay)),
            MAX_ATTEMPTS,
            &key,
            what.job.concurrency_key(subject.project),
            request_id,
            subject.project.map(|id| id.0),
            subject.run.map(|id| id.0),
            subject.step.map(|id| id.0),
            now,
            trace::context(),
        ];
        let row = match tx.first(sql::ENQUEUE, values).await? {
            Some(row) => Some(row),
            None => tx.first(sql::TWIN, args![&key]).await?,
        };
        if let Some(row) = row {
            return Ok(JobId(Record::named(TABLE, "id", row).text("id")?));
        }
    }
    Err(StoreError::Conflict(format!("job {key} is queued and ended again and again; try again")))
}

/// Takes the first due job under the caps, counts the attempt, bumps the fence. At most `project_cap`
/// jobs of a project run at once, unless `job_limits` says otherwise. A job that does not parse is
/// failed (`unknown_job`) and the next one taken.
pub async fn claim(
    tx: &mut Tx,
    owner: &str,
    lease: Duration,
    project_cap: i64,
) -> Result<Option<Lease>, StoreError> {
    tx.serialize(Serial::Claim).await?;
    loop {
        let now = now(tx).await?;
        let until = now.saturating_add(millis(lease));
        let text = tx.pick(sql::CLAIM_SQLITE, sql::CLAIM_POSTGRES);
        let Some(row) = tx.first(text, args![now, project_cap, owner, until]).await? else {
            return Ok(None);
        };
        let row = Record::named(TABLE, "id", row);
        match job(&row) {
            Ok(job) => {
                let waited = now - row.int("run_at")?;
                tx.observe(&JOB_WAIT, &[("job_type", job.kind())], Some(waited));
                return Ok(Some(Lease {
                    job_id: JobId(row.text("id")?),
                    fence: Fence(row.int("fence")?),
                    job,
                    attempt: row.int("attempts")?,
                    max_attempts: row.int("max_attempts")?,
                    owner: owner.to_owned(),
                    project: row.maybe_int("project_id")?.map(ProjectId),
                    request_id: row.maybe_text("request_id")?,
                    run: row.maybe_int("protocol_run_id")?.map(RunId),
                    trace: row.maybe_text("trace_ctx")?,
                }));
            }
            Err(StoreError::Corrupt { .. }) => discard(tx, &row, now).await?,
            Err(error) => return Err(error),
        }
    }
}

/// Reads what to do; kind and payload must agree.
fn job(row: &Record) -> Result<Job, StoreError> {
    let job: Job = row.json("payload")?;
    if row.text("kind")? == job.kind() { Ok(job) } else { Err(row.corrupt("kind")) }
}

/// Ends a job that this binary cannot read, so that it is not claimed for ever.
async fn discard(tx: &mut Tx, row: &Record, now: i64) -> Result<(), StoreError> {
    let (id, kind) = (row.text("id")?, row.text("kind")?);
    tracing::error!(job = %id, kind = %kind, "{UNKNOWN}");
    let ended = tx.first(sql::END, args!["failed", UNKNOWN, now, &id, row.int("fence")?]).await?;
    ended.ok_or_else(|| StoreError::FencedOut(id.clone()))?;
    ended_attempt(tx, UNKNOWN_KIND, "failed", None);
    let context = event::Context {
        project: row.maybe_int("project_id")?.map(ProjectId),
        run: row.maybe_int("protocol_run_id")?.map(RunId),
        job_id: Some(id),
        ..event::Context::default()
    };
    let event = Event::run(EventKind::UnknownJob).with("job_type", kind);
    event::append(tx, &context, &event, now);
    Ok(())
}

/// What a renewal found of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewed {
    /// Job.
    pub job_id: JobId,
    /// Its fence.
    pub fence: Fence,
    /// Somebody asked to stop it.
    pub cancel_requested: bool,
}

/// Renews every lease of this owner; a job missing from the answer is lost.
pub async fn renew(tx: &mut Tx, owner: &str, lease: Duration) -> Result<Vec<Renewed>, StoreError> {
    let until = now(tx).await?.saturating_add(millis(lease));
    tx.all(sql::RENEW, args![until, owner]).await?.into_iter().map(renewed).collect()
}

/// What a renewal would find, without renewing: cheap enough to look often for jobs that were cancelled.
pub async fn held(tx: &mut Tx, owner: &str) -> Result<Vec<Renewed>, StoreError> {
    tx.all(sql::HELD, args![owner]).await?.into_iter().map(renewed).collect()
}

fn renewed(row: Row) -> Result<Renewed, StoreError> {
    let row = Record::named(TABLE, "id", row);
    Ok(Renewed {
        job_id: JobId(row.text("id")?),
        fence: Fence(row.int("fence")?),
        cancel_requested: row.flag("cancel_requested")?,
    })
}

fn fenced_out(lease: &Lease) -> StoreError {
    StoreError::FencedOut(lease.job_id.to_string())
}

/// Fails with `FencedOut` unless the lease is still held. First statement of every job write.
///
/// On Postgres it locks the run and then the job: everybody takes these two in this order, so a
/// person's cancel (run, then its jobs) and a job's answer never wait for each other in a circle.
pub async fn check(tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
    if tx.locks_rows() {
        tx.first(sql::LOCK_RUN_POSTGRES, args![&lease.job_id.0]).await?;
    }
    let text = tx.locking(sql::CHECK, sql::CHECK_POSTGRES);
    match tx.first(text, args![&lease.job_id.0, lease.fence.0]).await? {
        Some(_) => Ok(()),
        None => Err(fenced_out(lease)),
    }
}

async fn end(tx: &mut Tx, lease: &Lease, state: JobStatus, error: Option<&str>) -> Result<(), StoreError> {
    let now = now(tx).await?;
    let values = args![state.as_str(), error, now, &lease.job_id.0, lease.fence.0];
    let row = tx.first(sql::END, values).await?.ok_or_else(|| fenced_out(lease))?;
    let began = Record::named(TABLE, "id", row).maybe_int("started_at")?;
    ended_attempt(tx, lease.job.kind(), word(state), began.map(|began| now - began));
    Ok(())
}

/// Counts an attempt that ended, where its end is written.
fn ended_attempt(tx: &mut Tx, kind: &str, status: &'static str, millis: Option<i64>) {
    tx.observe(&JOB_DURATION, &[("job_type", kind), ("status", status)], millis);
}

/// What an attempt is counted as.
const fn word(ended: JobStatus) -> &'static str {
    match ended {
        JobStatus::Finished => "completed",
        JobStatus::Failed => "failed",
        JobStatus::Cancelled => "cancelled",
        JobStatus::Queued | JobStatus::Scheduled | JobStatus::Started => "retried",
    }
}

/// Finishes the job (0 rows = `FencedOut`).
pub async fn finish(tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
    end(tx, lease, JobStatus::Finished, None).await
}

/// Puts the job back with its back-off; the attempt stays counted. `Conflict` when none is left.
pub async fn retry(tx: &mut Tx, lease: &Lease, delay: Duration, error: &str) -> Result<(), StoreError> {
    if lease.attempt >= lease.max_attempts {
        return Err(StoreError::Conflict(format!(
            "job {} made all {} attempts; it can only end as failed",
            lease.job_id, lease.max_attempts
        )));
    }
    let now = now(tx).await?;
    let run_at = now.saturating_add(millis(delay));
    let values = args![run_at, error, &lease.job_id.0, lease.fence.0];
    let row = tx.first(sql::RETRY, values).await?.ok_or_else(|| fenced_out(lease))?;
    let began = Record::named(TABLE, "id", row).maybe_int("started_at")?;
    ended_attempt(tx, lease.job.kind(), word(JobStatus::Queued), began.map(|began| now - began));
    Ok(())
}

/// Ends the job as failed.
pub async fn fail(tx: &mut Tx, lease: &Lease, error: &str) -> Result<(), StoreError> {
    end(tx, lease, JobStatus::Failed, Some(error)).await
}

/// Ends the job as cancelled.
pub async fn cancelled(tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
    end(tx, lease, JobStatus::Cancelled, None).await
}

/// Hands the job back at a graceful stop: queued, the attempt not counted, fence untouched.
pub async fn release(tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
    let rows = tx.execute(sql::RELEASE, args![&lease.job_id.0, lease.fence.0]).await?;
    touched(rows, || fenced_out(lease))
}

/// Gives up the dedupe key of a job that is about to end, so that its answer can queue the same work
/// again in the same transaction instead of meeting the ending job as a live twin.
pub async fn yield_key(tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
    let rows = tx.execute(sql::YIELD_KEY, args![&lease.job_id.0, lease.fence.0]).await?;
    touched(rows, || fenced_out(lease))
}

/// A job whose holder died.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rescued {
    /// Job.
    pub job_id: JobId,
    /// What.
    pub job: Job,
    /// Attempts made.
    pub attempts: i64,
    /// Project.
    pub project: Option<ProjectId>,
    /// What became of it: `Queued` again, `Failed` (no attempts left) or `Cancelled`.
    pub status: JobStatus,
}

/// Takes back jobs whose lease ran out, at most `limit`. They are due at once: the wait for the lease
/// was their back-off. Failed ones must go through `flow::advance` (`GaveUp`) in the same transaction.
pub async fn rescue(tx: &mut Tx, limit: i64) -> Result<Vec<Rescued>, StoreError> {
    let now = now(tx).await?;
    if tx.locks_rows() {
        tx.all(sql::LOCK_EXPIRED_RUNS_POSTGRES, args![now, limit]).await?;
    }
    let rows = tx.all(tx.pick(sql::EXPIRED_SQLITE, sql::EXPIRED_POSTGRES), args![now, limit]).await?;
    let mut rescued = Vec::with_capacity(rows.len());
    for row in rows {
        rescued.extend(take_back(tx, row, now).await?);
    }
    Ok(rescued)
}

async fn take_back(tx: &mut Tx, row: Row, now: i64) -> Result<Option<Rescued>, StoreError> {
    let row = Record::named(TABLE, "id", row);
    let job = match job(&row) {
        Ok(job) => job,
        Err(StoreError::Corrupt { .. }) => {
            discard(tx, &row, now).await?;
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let (id, fence, attempts) = (row.text("id")?, row.int("fence")?, row.int("attempts")?);
    let ended = if row.flag("cancel_requested")? {
        Some(JobStatus::Cancelled)
    } else if attempts >= row.int("max_attempts")? {
        Some(JobStatus::Failed)
    } else {
        None
    };
    let error = "the worker died or lost its lease while it was at work";
    let written = match ended {
        None => tx.first(sql::RETRY, args![now, error, &id, fence]).await?,
        Some(ended) => tx.first(sql::END, args![ended.as_str(), error, now, &id, fence]).await?,
    };
    written.ok_or_else(|| StoreError::FencedOut(id.clone()))?;
    let status = ended.unwrap_or(JobStatus::Queued);
    // Nobody knows when the attempt really ended.
    ended_attempt(tx, job.kind(), word(status), None);
    tx.count(&LEASES_LOST, &[], 1);
    let project = row.maybe_int("project_id")?.map(ProjectId);
    Ok(Some(Rescued { job_id: JobId(id), job, attempts, project, status }))
}

/// Cancels the live job of this subject, queued or started, at once. A started one is fenced by it:
/// its holder's next renewal does not find it (so the holder stops its agent) and its late result is
/// refused. No live job = nothing.
pub async fn cancel(tx: &mut Tx, job: &Job) -> Result<(), StoreError> {
    let now = now(tx).await?;
    // No row is a legal outcome: there may be no live job. More than one cannot be, by the unique key.
    if tx.first(sql::CANCEL, args![now, job.unique_key()]).await?.is_some() {
        // It may never have begun, so it has no length.
        ended_attempt(tx, job.kind(), word(JobStatus::Cancelled), None);
    }
    Ok(())
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
