//! Exhaustive dispatch of jobs. A job does the work and answers with a signal; it writes no status.

pub mod brief;
pub mod call;
pub mod check_quality;
pub mod commit;
pub mod dry_run;
pub mod engine_choice;
pub mod entry;
pub mod execute_step;
pub mod files;
pub mod gate;
pub mod judge;
pub mod look;
pub mod maintenance;
pub mod open_pull_request;
pub mod outputs;
pub mod place;
pub mod plan_protocol;
pub mod reports;
pub mod review;
pub mod secrets;
pub mod subject;

use serde_json::{Map, Value};
use tg_core::{
    ids::RunId,
    job::{ErrorCategory, Job},
    lifecycle::Signal,
    status::ReasonCode,
};
use tokio_util::sync::CancellationToken;

use crate::{app::App, db::DbError, git::GitError, queue::Lease, store::StoreError};

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

impl JobError {
    /// Another attempt may help.
    pub fn retry(category: ErrorCategory, error_type: &str, message: impl Into<String>) -> Self {
        Self::new(Next::Retry { after_seconds: None }, category, error_type, message)
    }

    /// No further attempt helps.
    pub fn fail(category: ErrorCategory, error_type: &str, message: impl Into<String>) -> Self {
        Self::new(Next::Fail, category, error_type, message)
    }

    /// The lease is gone.
    pub fn lost() -> Self {
        Self::new(Next::Lost, ErrorCategory::Runtime, "lease_lost", "the lease is gone")
    }

    /// Somebody asked to stop.
    pub fn cancelled() -> Self {
        Self::new(Next::Cancel, ErrorCategory::Runtime, "cancelled", "stopped on request")
    }

    /// Names the reason the run or step gets if this is final.
    #[must_use]
    pub fn because(mut self, reason: ReasonCode) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Adds a fact for the failure event.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(key.to_owned(), value.into());
        self
    }

    fn new(next: Next, category: ErrorCategory, error_type: &str, message: impl Into<String>) -> Self {
        Self {
            next,
            category,
            error_type: error_type.to_owned(),
            message: message.into(),
            reason: None,
            detail: Map::new(),
        }
    }
}

impl From<StoreError> for JobError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::FencedOut(_) => Self::lost(),
            StoreError::Corrupt { .. } => {
                Self::fail(ErrorCategory::Runtime, "corrupt_row", error.to_string())
            }
            StoreError::Archived(_) | StoreError::RunArchived(_) => {
                Self::fail(ErrorCategory::Runtime, "archived", error.to_string())
            }
            StoreError::NotFound { .. } | StoreError::Conflict(_) | StoreError::Db(_) => {
                Self::retry(ErrorCategory::Runtime, "store", error.to_string())
            }
        }
    }
}

impl From<DbError> for JobError {
    fn from(error: DbError) -> Self {
        StoreError::from(error).into()
    }
}

impl From<GitError> for JobError {
    fn from(error: GitError) -> Self {
        let message = error.to_string();
        match error {
            GitError::Unusable(_) => Self::fail(ErrorCategory::Config, "git_unusable", message),
            GitError::Missing(_) => {
                Self::fail(ErrorCategory::Git, "repo_missing", message).because(ReasonCode::RepoMissing)
            }
            GitError::Fenced(_) => Self::lost(),
            GitError::Remote(_) => Self::retry(ErrorCategory::Git, "git_remote", message),
            GitError::Failed { .. } | GitError::Process(_) => Self::retry(ErrorCategory::Git, "git", message),
            GitError::Io(_) => Self::retry(ErrorCategory::Runtime, "io", message),
        }
    }
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
