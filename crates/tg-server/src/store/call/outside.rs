//! Runs that work outside and were registered by whoever does them: no job of ours, no lease. A row
//! with a job is never written here.

use serde_json::Value;
use tg_core::{
    ids::{CallId, ProjectId, RunId, StepId},
    protocol::CallStatus,
};

use super::{CallEnd, StoreError, place, sql};
use crate::{
    db::{Tx, dialect::args},
    store::touched,
};

/// A run that begins outside.
#[derive(Debug, Clone)]
pub struct Outside {
    /// Identity; chosen by its maker, or a UUID.
    pub id: CallId,
    /// Kind of job, in its maker's word.
    pub job_type: String,
    /// Kind of call.
    pub run_kind: Option<String>,
    /// Project.
    pub project: Option<ProjectId>,
    /// Run.
    pub run: Option<RunId>,
    /// Step.
    pub step: Option<StepId>,
    /// Queue it came from.
    pub queue: String,
    /// Attempt, from 1.
    pub attempt: Option<i64>,
    /// Who does it.
    pub worker_id: Option<String>,
    /// Fingerprint of the prompt.
    pub prompt_version: Option<String>,
    /// What it was asked.
    pub params: Option<Value>,
    /// Tokens used so far.
    pub cost_tokens: Option<i64>,
    /// Cost so far, in cents.
    pub cost_cents: Option<i64>,
}

/// Registers it. `Conflict` when the id is taken, also by a job: an id of a job stands for its runs.
pub async fn register(tx: &mut Tx, new: &Outside, now: i64) -> Result<(), StoreError> {
    let taken = || StoreError::Conflict(format!("the run id {} is taken; choose another", new.id));
    for text in [sql::A_JOB, sql::OF_A_JOB] {
        if tx.first(text, args![&new.id.0]).await?.is_some() {
            return Err(taken());
        }
    }
    let values = args![
        &new.id.0,
        &new.job_type,
        &new.run_kind,
        new.project.map(|id| id.0),
        new.run.map(|id| id.0),
        new.step.map(|id| id.0),
        &new.queue,
        new.attempt,
        &new.worker_id,
        &new.prompt_version,
        new.params.as_ref().map(ToString::to_string),
        new.cost_tokens,
        new.cost_cents,
        now,
        place(),
    ];
    touched(tx.execute(sql::REGISTER, values).await?, taken)
}

/// Holds the row of a run that is at work outside, so that its log can be written before its end is.
pub async fn append_to(tx: &mut Tx, id: &CallId, now: i64) -> Result<(), StoreError> {
    touched(tx.execute(sql::APPEND_TO, args![now, &id.0]).await?, || over(id))
}

/// Ends it, once.
pub async fn end_outside(
    tx: &mut Tx,
    id: &CallId,
    end: &CallEnd,
    cost_tokens: Option<i64>,
    now: i64,
) -> Result<(), StoreError> {
    let status: CallStatus = end.status;
    let values = args![
        status.as_str(),
        end.result.as_ref().map(ToString::to_string),
        &end.error,
        cost_tokens,
        end.cost_cents,
        now,
        &id.0,
    ];
    touched(tx.execute(sql::END_OUTSIDE, values).await?, || over(id))
}

fn over(id: &CallId) -> StoreError {
    StoreError::Conflict(format!("run {id} is not at work outside; it has ended, or a job of ours does it"))
}
