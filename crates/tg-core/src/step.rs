//! Statuses and kinds of a step, and the table of its moves.
//! Which row a signal takes is decided in `lifecycle`; nothing here decides.

use crate::status::{Row, words};

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
    /// Where a step added by hand may begin.
    FirstStepStatus {
        /// It waits for its turn.
        Pending = "pending",
        /// Its work was done by hand and waits for a verdict.
        NeedsQa = "needs_qa",
    }
}

impl From<FirstStepStatus> for StepStatus {
    fn from(first: FirstStepStatus) -> Self {
        match first {
            FirstStepStatus::Pending => Self::Pending,
            FirstStepStatus::NeedsQa => Self::NeedsQa,
        }
    }
}

words! {
    /// What may move a step: one row of its table each.
    StepMove {
        /// A person, the walk or an answered question queues it.
        Run = "run",
        /// A person retries it; counts.
        Retry = "retry",
        /// Another step's trigger chose it; needs no live job of its own.
        Trigger = "trigger",
        /// A loop puts it back; a live job is cancelled first.
        LoopReset = "loop_reset",
        /// A gate, engine, repository or budget stands in the way.
        GateBlocked = "gate_blocked",
        /// The last blocking question was answered.
        Answered = "answered",
        /// Its spec entry does not hold.
        SpecInvalid = "spec_invalid",
        /// Executed; the QA policy says where it goes.
        ExecOk = "exec_ok",
        /// Execution failed for good.
        ExecFailed = "exec_failed",
        /// A person asks for QA.
        RunQa = "run_qa",
        /// QA passed.
        QaPass = "qa_pass",
        /// QA failed, or gave no exact verdict.
        QaFail = "qa_fail",
        /// QA could not be carried out.
        QaError = "qa_error",
        /// A person approves it; a live QA job is cancelled.
        Approve = "approve",
        /// Its commit is green and nothing asks for QA.
        CiGreen = "ci_green",
        /// Its commit is red; with an agent at work only recorded.
        CiRed = "ci_red",
        /// A person stopped its job.
        JobCancelled = "job_cancelled",
        /// Running without a live job for too long.
        Stuck = "stuck",
        /// The run was cancelled.
        Cancel = "cancel",
        /// The PR/MR of the run was merged.
        Merged = "merged",
    }
}

impl StepMove {
    /// The move's row.
    pub const fn row(self) -> Row<StepStatus> {
        use StepStatus::{Blocked, Cancelled, Completed, Failed, NeedsQa, Pending, Running};
        let (from, to): (&'static [StepStatus], &'static [StepStatus]) = match self {
            Self::Run => (&[Pending, Blocked, Failed], &[Running]),
            Self::Retry => (&[Failed, Blocked], &[Running]),
            Self::Trigger => (&[Pending, Blocked, Failed, NeedsQa], &[Running, Pending]),
            Self::LoopReset => (&[Pending, Running, NeedsQa, Completed, Failed, Blocked], &[Pending]),
            Self::GateBlocked | Self::JobCancelled => (&[Running, NeedsQa], &[Blocked]),
            Self::Answered => (&[Blocked], &[Pending, NeedsQa]),
            Self::SpecInvalid | Self::ExecFailed | Self::Stuck => (&[Running], &[Failed]),
            Self::ExecOk => (&[Running], &[NeedsQa, Completed, Failed]),
            Self::RunQa => (&[Pending, NeedsQa, Blocked, Failed], &[NeedsQa]),
            Self::QaPass | Self::CiGreen => (&[NeedsQa], &[Completed]),
            Self::QaFail => (&[NeedsQa], &[Failed]),
            Self::QaError => (&[NeedsQa], &[Blocked]),
            Self::Approve => (&[Pending, NeedsQa, Blocked, Failed], &[Completed]),
            Self::CiRed => (&[NeedsQa, Running], &[Failed]),
            Self::Cancel => (&[Pending, Running, NeedsQa], &[Cancelled]),
            Self::Merged => (&[Pending, Running, NeedsQa, Blocked, Failed], &[Cancelled]),
        };
        Row { from, to }
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
