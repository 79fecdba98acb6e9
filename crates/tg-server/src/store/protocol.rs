//! Rows of `protocol_runs`, the flow of a run, and the one UPDATE of a status.

use serde_json::Value;
use tg_core::{
    ids::{JobId, ProjectId, RunId},
    lifecycle::{Decision, Flow},
    project::ModelDefaults,
    protocol::{Confinement, ProtocolRun},
    scope::Scope,
};

use super::StoreError;
use crate::{db::Tx, queue::Lease};

/// A run before it has an id.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Owner.
    pub project_id: ProjectId,
    /// Name = branch = directory.
    pub protocol_name: String,
    /// A pass queues the next ready step.
    pub auto_advance: bool,
    /// Engine asked for by name.
    pub engine: Option<String>,
    /// Models asked for by name.
    pub models: ModelDefaults,
    /// Branch to start from.
    pub base_branch: String,
    /// The task.
    pub description: Option<String>,
    /// Unconfined engines were asked for by name.
    pub sandbox_off: bool,
}

/// Settings `decide` needs beside the rows.
#[derive(Debug, Clone, Copy)]
pub struct FlowSettings {
    /// QA after execution without `auto_advance`.
    pub auto_qa_after_exec: bool,
    /// QA when CI turns green.
    pub auto_qa_on_ci: bool,
    /// Cap for loops without their own.
    pub max_loop_iterations: u32,
}

/// Inserts a pending run; a taken name is `Conflict`.
pub async fn insert(tx: &mut Tx, new: &NewRun, now: i64) -> Result<ProtocolRun, StoreError> {
    todo!()
}

/// Loads one.
pub async fn load(tx: &mut Tx, scope: &Scope, id: RunId) -> Result<ProtocolRun, StoreError> {
    todo!()
}

/// Newest first, optionally of one project.
pub async fn list(
    tx: &mut Tx,
    scope: &Scope,
    project: Option<ProjectId>,
    limit: i64,
) -> Result<Vec<ProtocolRun>, StoreError> {
    todo!()
}

/// Names taken in a project (for numbering).
pub async fn names(tx: &mut Tx, project: ProjectId) -> Result<Vec<String>, StoreError> {
    todo!()
}

/// Ids of runs the scheduler looks at: pending, planning, planned, running or blocked with something
/// to repair. Bounded by `limit`, oldest first.
pub async fn open_runs(tx: &mut Tx, limit: i64) -> Result<Vec<RunId>, StoreError> {
    todo!()
}

/// Loads a run and its steps under a lock, for `decide`. Live jobs come from the queue's table;
/// `except` is the signalling job itself.
pub async fn flow(
    tx: &mut Tx,
    run: RunId,
    settings: FlowSettings,
    except: Option<&JobId>,
) -> Result<Flow, StoreError> {
    todo!()
}

/// Writes a decision's statuses by compare-and-set, and its new steps. The only UPDATE of a status.
/// Events and jobs are written by `flow::advance` in the same transaction.
pub async fn apply(tx: &mut Tx, decision: &Decision, now: i64) -> Result<(), StoreError> {
    todo!()
}

/// Records where the worktree lies and what it was cut from.
pub async fn set_worktree(
    tx: &mut Tx,
    lease: &Lease,
    run: RunId,
    path: &str,
    protocol_root: &str,
    base_sha: &str,
    now: i64,
) -> Result<(), StoreError> {
    todo!()
}

/// Records the validated spec (`template_config`), its hash and validity.
pub async fn set_spec(
    tx: &mut Tx,
    lease: &Lease,
    run: RunId,
    template_config: &Value,
    spec_hash: &str,
    now: i64,
) -> Result<(), StoreError> {
    todo!()
}

/// Records the confinement in force.
pub async fn set_confinement(
    tx: &mut Tx,
    lease: &Lease,
    run: RunId,
    confinement: Confinement,
    now: i64,
) -> Result<(), StoreError> {
    todo!()
}

/// Records the newest commit of the branch and, when pushed, what the remote has.
pub async fn set_heads(
    tx: &mut Tx,
    lease: &Lease,
    run: RunId,
    head_sha: &str,
    pushed_sha: Option<&str>,
    now: i64,
) -> Result<(), StoreError> {
    todo!()
}
