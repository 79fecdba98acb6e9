//! Exhaustive dispatch of jobs. A job does the work and answers with a signal; it writes no status.

pub mod check_quality;
pub mod execute_step;
pub mod gate;
pub mod maintenance;
pub mod open_pull_request;
pub mod plan_protocol;

use serde_json::{Map, Value};
use tg_core::{
    ids::RunId,
    job::{ErrorCategory, Job},
    lifecycle::Signal,
    status::ReasonCode,
};
use tokio_util::sync::CancellationToken;

use crate::{app::App, queue::Lease};

/// What a job answers: a signal for a run, or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Run the signal is for.
    pub run: RunId,
    /// What happened.
    pub signal: Signal,
}

/// How a job that did not do its work goes on; chosen at each `?`.
#[derive(Debug, Clone, PartialEq)]
pub struct JobError {
    /// What follows.
    pub next: Next,
    /// Kind of failure.
    pub category: ErrorCategory,
    /// Machine word, e.g. an engine failure kind.
    pub error_type: String,
    /// A sentence with cause and remedy, redacted.
    pub message: String,
    /// Reason the run or step gets if this is final.
    pub reason: Option<ReasonCode>,
    /// Further metadata of the failure event.
    pub detail: Map<String, Value>,
}

/// What follows a job error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Another attempt after the back-off (or not before this delay in seconds), if any is left.
    Retry {
        /// Named by the provider.
        after_seconds: Option<u64>,
    },
    /// No further attempt helps.
    Fail,
    /// Put back without an error; the attempt is not counted.
    Snooze,
    /// Somebody asked to stop.
    Cancel,
    /// The lease is gone: write nothing.
    Lost,
}

/// Runs the job of a lease.
pub async fn run(app: &App, lease: &Lease, cancel: &CancellationToken) -> Result<Option<Answer>, JobError> {
    match &lease.job {
        Job::PlanProtocol { protocol_run_id } => {
            plan_protocol::run(app, lease, cancel, *protocol_run_id).await
        }
        Job::ExecuteStep { step_run_id } => execute_step::run(app, lease, cancel, *step_run_id).await,
        Job::CheckQuality { step_run_id } => check_quality::run(app, lease, cancel, *step_run_id).await,
        Job::OpenPullRequest { protocol_run_id } => {
            open_pull_request::run(app, lease, *protocol_run_id).await
        }
        Job::Maintenance => maintenance::run(app, lease).await,
    }
}
