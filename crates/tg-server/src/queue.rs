//! The jobs table: claim, renew, finish, retry, snooze, rescue, cancel, always by fencing token.
//! At least once; attempts are counted at claim. Jobs of a paused run are not claimed.

use std::time::Duration;

use tg_core::{
    ids::{Fence, JobId, ProjectId},
    job::{Job, JobStatus},
    lifecycle::Enqueue,
};

use crate::{db::Tx, store::StoreError};

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
    /// Attempts made.
    pub attempts: i64,
    /// Attempts it gets.
    pub max_attempts: i64,
    /// When it is due.
    pub run_at: i64,
    /// Last error, redacted.
    pub last_error: Option<String>,
    /// Times, milliseconds since the epoch, UTC.
    pub created_at: i64,
    /// First claim.
    pub started_at: Option<i64>,
    /// End.
    pub finished_at: Option<i64>,
}

/// Database time in milliseconds: judges leases on Postgres; process time on SQLite.
pub async fn now(tx: &mut Tx) -> Result<i64, StoreError> {
    todo!()
}

/// Queues a job, or returns its live twin's id.
pub async fn enqueue(
    tx: &mut Tx,
    what: &Enqueue,
    project: Option<ProjectId>,
    delay: Duration,
    request_id: Option<&str>,
) -> Result<JobId, StoreError> {
    todo!()
}

/// Takes the first due job under the caps, counts the attempt, bumps the fence.
pub async fn claim(
    tx: &mut Tx,
    owner: &str,
    lease: Duration,
    project_cap: i64,
) -> Result<Option<Lease>, StoreError> {
    todo!()
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
    todo!()
}

/// Fails with `FencedOut` unless the lease is still held. First statement of every job write.
pub async fn check(tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
    todo!()
}

/// Finishes the job (0 rows = `FencedOut`).
pub async fn finish(tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
    todo!()
}

/// Puts the job back with its back-off; the attempt stays counted.
pub async fn retry(tx: &mut Tx, lease: &Lease, delay: Duration, error: &str) -> Result<(), StoreError> {
    todo!()
}

/// Ends the job as failed.
pub async fn fail(tx: &mut Tx, lease: &Lease, error: &str) -> Result<(), StoreError> {
    todo!()
}

/// Ends the job as cancelled.
pub async fn cancelled(tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
    todo!()
}

/// Hands the job back at a graceful stop: queued, the attempt not counted, fence untouched.
pub async fn release(tx: &mut Tx, lease: &Lease) -> Result<(), StoreError> {
    todo!()
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

/// Takes back jobs whose lease ran out, at most `limit`. Failed ones must go through
/// `flow::advance` (`GaveUp`) in the same transaction.
pub async fn rescue(tx: &mut Tx, limit: i64) -> Result<Vec<Rescued>, StoreError> {
    todo!()
}

/// Cancels the live job of this subject: queued → cancelled at once, started → asked to stop and
/// fenced (its late result is refused). No live job = nothing.
pub async fn cancel(tx: &mut Tx, job: &Job) -> Result<(), StoreError> {
    todo!()
}

/// Newest first.
pub async fn list(tx: &mut Tx, status: Option<JobStatus>, limit: i64) -> Result<Vec<JobRow>, StoreError> {
    todo!()
}

/// Deletes ended jobs that ended before `before` (ms), at most `limit`. Returns how many.
pub async fn prune(tx: &mut Tx, before: i64, limit: i64) -> Result<u64, StoreError> {
    todo!()
}
