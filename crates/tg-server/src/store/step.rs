//! Rows of `step_runs`. Statuses are written by `protocol::apply` only.

use tg_core::{
    ids::{RunId, StepId},
    protocol::StepRun,
    scope::Scope,
};

use super::StoreError;
use crate::{db::Tx, queue::Lease};

/// Loads one.
pub async fn load(tx: &mut Tx, scope: &Scope, id: StepId) -> Result<StepRun, StoreError> {
    todo!()
}

/// Steps of a run by index.
pub async fn list(tx: &mut Tx, scope: &Scope, run: RunId) -> Result<Vec<StepRun>, StoreError> {
    todo!()
}

/// Records that execution began, and from which commit.
pub async fn set_started(
    tx: &mut Tx,
    lease: &Lease,
    step: StepId,
    start_sha: &str,
    now: i64,
) -> Result<(), StoreError> {
    todo!()
}

/// Adds used tokens to the step's counters.
pub async fn add_tokens(tx: &mut Tx, lease: &Lease, step: StepId, tokens: u64) -> Result<(), StoreError> {
    todo!()
}
