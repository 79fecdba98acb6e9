//! `advance`: the only writer of run and step status. One transaction holds statuses, events, next
//! jobs, cancelled jobs, and (by the caller) "this job finished".

use tg_core::{
    ids::RunId,
    lifecycle::{Decision, Refused, Signal},
};

use crate::{app::App, db::Tx, queue::Lease, store::StoreError};

/// Who or what brought a signal.
#[derive(Debug, Clone, Default)]
pub struct Cause<'a> {
    /// Person or principal; recorded on every event.
    pub actor: Option<&'a str>,
    /// Request that caused it.
    pub request_id: Option<&'a str>,
    /// The job that answers; its lease is checked first.
    pub lease: Option<&'a Lease>,
}

/// Why a signal was not written.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// Not allowed now: 409.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Decides on a signal and writes down what follows, in the caller's transaction; then the signals
/// that follow from it. The caller commits and then calls `app.wake.notify()`.
pub async fn advance(
    app: &App,
    tx: &mut Tx,
    run: RunId,
    signal: Signal,
    cause: &Cause<'_>,
) -> Result<Vec<Decision>, FlowError> {
    todo!()
}
