//! Statuses of a protocol run and why it rests in one.
//! Which signal moves which status is decided in `lifecycle`; nothing here decides.

use serde::{Deserialize, Serialize};

/// Declares a closed set of wire words: an enum, its texts, and the way back.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$vdoc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word used on the wire and in the database.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Reads a wire word; `None` for anything else.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}
pub(crate) use words;

words! {
    /// Where a run stands.
    ProtocolStatus {
        /// Created; no planning has begun.
        Pending = "pending",
        /// A plan job is queued or at work.
        Planning = "planning",
        /// The plan is written and validated; no step has been queued.
        Planned = "planned",
        /// Steps are being worked on, or the run waits for its merge.
        Running = "running",
        /// A person stopped the walk; `paused_from` says where it returns to.
        Paused = "paused",
        /// Something needs a person or a cure; the reason says what.
        Blocked = "blocked",
        /// Set-up runs only: given up for good.
        Failed = "failed",
        /// Stopped by a person for good.
        Cancelled = "cancelled",
        /// Every step is done and, where one was opened, the PR/MR is merged.
        Completed = "completed",
    }
}

impl ProtocolStatus {
    /// Nothing leaves a terminal status.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Cancelled | Self::Completed)
    }
}

words! {
    /// Why a run or step is blocked or failed (or, for `waiting_for_merge`, still running).
    ReasonCode {
        /// An open blocking question.
        Clarifications = "clarifications",
        /// A policy finding with severity block.
        Policy = "policy",
        /// The policy in force cannot be resolved.
        PolicyUnresolved = "policy_unresolved",
        /// The repository or worktree is not there.
        RepoMissing = "repo_missing",
        /// The repository could not be cloned.
        CloneFailed = "clone_failed",
        /// No usable engine: absent, not logged in, or without a sandbox.
        EngineUnavailable = "engine_unavailable",
        /// The engine failed for good.
        EngineError = "engine_error",
        /// The plan broke its contract.
        PlanningInvalid = "planning_invalid",
        /// The spec does not validate.
        SpecInvalid = "spec_invalid",
        /// A strict budget would be passed.
        BudgetExceeded = "budget_exceeded",
        /// A step's execution failed.
        StepFailed = "step_failed",
        /// QA judged FAIL, or gave no exact verdict.
        QaFailed = "qa_failed",
        /// QA itself could not be carried out.
        QaError = "qa_error",
        /// Required checks are red.
        CiFailed = "ci_failed",
        /// The branch could not be pushed.
        PushFailed = "push_failed",
        /// The PR/MR was closed without a merge.
        PrClosed = "pr_closed",
        /// The job that carried the run died for good.
        JobLost = "job_lost",
        /// A running step without a live lease passed the threshold.
        Stuck = "stuck",
        /// Set-up failed.
        SetupFailed = "setup_failed",
        /// All steps are done; the PR/MR is open.
        WaitingForMerge = "waiting_for_merge",
    }
}

/// A reason with the sentence a person reads: cause and remedy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusReason {
    /// Stable code.
    pub code: ReasonCode,
    /// Cause and remedy in a sentence, already redacted.
    pub message: String,
}

impl StatusReason {
    /// Pairs a code with its sentence.
    pub fn new(code: ReasonCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}
