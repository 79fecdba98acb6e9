//! Rows of `codex_runs`, the run registry: one per attempt of a job or call.

use serde_json::Value;
use tg_core::{
    ids::{CallId, ProjectId, RunId, StepId},
    protocol::{CallStatus, Usage},
    scope::Scope,
};

use super::StoreError;
use crate::{db::Tx, queue::Lease};

/// A call that begins.
#[derive(Debug, Clone)]
pub struct NewCall {
    /// Identity, made by the caller (UUIDv7).
    pub id: CallId,
    /// Kind: plan, decompose, exec, qa, qa_inline, open_pr.
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

/// Records that a call begins.
pub async fn start(tx: &mut Tx, lease: &Lease, new: &NewCall, now: i64) -> Result<(), StoreError> {
    todo!()
}

/// Records how it ended.
pub async fn finish(
    tx: &mut Tx,
    lease: &Lease,
    id: &CallId,
    end: &CallEnd,
    now: i64,
) -> Result<(), StoreError> {
    todo!()
}

/// Calls of a job whose attempt died: marked failed with this error. Returns how many.
pub async fn abandon(
    tx: &mut Tx,
    job: &tg_core::ids::JobId,
    error: &str,
    now: i64,
) -> Result<u64, StoreError> {
    todo!()
}

/// Loads one.
pub async fn load(tx: &mut Tx, scope: &Scope, id: &CallId) -> Result<Call, StoreError> {
    todo!()
}

/// Newest first.
pub async fn list(tx: &mut Tx, scope: &Scope, filter: &Filter, limit: i64) -> Result<Vec<Call>, StoreError> {
    todo!()
}
