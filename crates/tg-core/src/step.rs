//! Statuses and kinds of a step.
//! Which signal moves which status is decided in `lifecycle`; nothing here decides.

use crate::status::words;

words! {
    /// Where a step stands.
    StepStatus {
        /// Waiting for its turn.
        Pending = "pending",
        /// An execution job is queued or at work.
        Running = "running",
        /// Work is done, the verdict is not.
        NeedsQa = "needs_qa",
        /// Passed, approved, or needs no verdict.
        Completed = "completed",
        /// Execution, QA or CI failed.
        Failed = "failed",
        /// Settled without completion.
        Cancelled = "cancelled",
        /// A gate, engine or repository stands in the way.
        Blocked = "blocked",
    }
}

impl StepStatus {
    /// Completed or cancelled: the walk goes past it.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled)
    }
}

words! {
    /// What a step is for.
    StepType {
        /// Prepares the branch.
        Setup = "setup",
        /// Changes the repository.
        Work = "work",
        /// Checks the whole.
        Qa = "qa",
    }
}

words! {
    /// How a step is judged.
    QaPolicy {
        /// Completed right after execution.
        Skip = "skip",
        /// Judged inside the execution job.
        Light = "light",
        /// Judged by a job of its own.
        Full = "full",
    }
}
