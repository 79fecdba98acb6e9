//! Units of queued work, as data: what exists, its wire form, its dedupe key, its back-off.
//! Nothing here runs a job.

use serde::{Deserialize, Serialize};

use crate::{
    ids::{ProjectId, RunId, StepId},
    status::words,
};

/// Work for a worker. The tag is the wire kind; the payload names the subject only, because
/// everything else is read from the subject when the job starts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "job_type")]
pub enum Job {
    /// Plans a run.
    #[serde(rename = "plan_protocol_job")]
    PlanProtocol {
        /// Subject.
        protocol_run_id: RunId,
    },
    /// Executes a step.
    #[serde(rename = "execute_step_job")]
    ExecuteStep {
        /// Subject.
        step_run_id: StepId,
    },
    /// Judges a step.
    #[serde(rename = "run_quality_job")]
    CheckQuality {
        /// Subject.
        step_run_id: StepId,
    },
    /// Pushes the branch of a run (and, with a forge, opens its PR/MR).
    #[serde(rename = "open_pr_job")]
    OpenPullRequest {
        /// Subject.
        protocol_run_id: RunId,
    },
    /// Keeps house: prunes finished jobs and old logs.
    #[serde(rename = "maintenance_job")]
    Maintenance,
}

impl Job {
    /// Wire kind.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::PlanProtocol { .. } => "plan_protocol_job",
            Self::ExecuteStep { .. } => "execute_step_job",
            Self::CheckQuality { .. } => "run_quality_job",
            Self::OpenPullRequest { .. } => "open_pr_job",
            Self::Maintenance => "maintenance_job",
        }
    }

    /// Kind of the call runs this job makes.
    pub const fn run_kind(&self) -> &'static str {
        match self {
            Self::PlanProtocol { .. } => "plan",
            Self::ExecuteStep { .. } => "exec",
            Self::CheckQuality { .. } => "qa",
            Self::OpenPullRequest { .. } => "open_pr",
            Self::Maintenance => "maintenance",
        }
    }

    /// One live job per key: a second request meets its twin.
    pub fn unique_key(&self) -> String {
        match self {
            Self::PlanProtocol { protocol_run_id } => format!("plan:{protocol_run_id}"),
            Self::ExecuteStep { step_run_id } => format!("exec:{step_run_id}"),
            Self::CheckQuality { step_run_id } => format!("qa:{step_run_id}"),
            Self::OpenPullRequest { protocol_run_id } => format!("open_pr:{protocol_run_id}"),
            Self::Maintenance => "maintenance".to_owned(),
        }
    }

    /// Jobs of one project share a cap.
    pub fn concurrency_key(&self, project: Option<ProjectId>) -> Option<String> {
        match self {
            Self::Maintenance => None,
            Self::PlanProtocol { .. }
            | Self::ExecuteStep { .. }
            | Self::CheckQuality { .. }
            | Self::OpenPullRequest { .. } => project.map(|id| format!("project:{id}")),
        }
    }
}

/// Attempts a job gets, counted at claim.
pub const MAX_ATTEMPTS: i64 = 3;

/// Seconds to wait after `attempts` attempts were made: 2, 4, 8 … at most 60.
pub const fn back_off_seconds(attempts: i64) -> i64 {
    if attempts >= 6 { 60 } else { 1 << if attempts < 1 { 1 } else { attempts } }
}

words! {
    /// Wire status of a job. `scheduled` is `queued` with its time in the future.
    JobStatus {
        /// Due, waiting for a worker.
        Queued = "queued",
        /// Waiting for its time.
        Scheduled = "scheduled",
        /// Claimed by a worker.
        Started = "started",
        /// Done.
        Finished = "finished",
        /// Given up.
        Failed = "failed",
        /// Stopped on request.
        Cancelled = "cancelled",
    }
}

words! {
    /// Who asked for a job; user actions go before automatic ones.
    Priority {
        /// Queued by a rule.
        Automatic = "automatic",
        /// Queued by a person.
        User = "user",
    }
}

impl Priority {
    /// Sort key in the queue: higher first.
    pub const fn rank(self) -> i64 {
        match self {
            Self::Automatic => 0,
            Self::User => 10,
        }
    }
}

words! {
    /// What kind of failure ended a job; decides whether another attempt makes sense.
    ErrorCategory {
        /// Anything unforeseen, panics included.
        Runtime = "runtime",
        /// An engine failed, timeouts included.
        Codex = "codex",
        /// git failed.
        Git = "git",
        /// A remote API failed.
        Api = "api",
        /// Input broke a rule.
        Validation = "validation",
        /// A setting is wrong.
        Config = "config",
        /// CI said no.
        Ci = "ci",
        /// A budget said no.
        Budget = "budget",
    }
}
