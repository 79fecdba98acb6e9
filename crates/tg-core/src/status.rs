//! Statuses of a protocol run, why it rests in one, and the table of its moves.
//! Which row a signal takes is decided in `lifecycle`; nothing here decides.

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

        // By hand: the derive takes the names of the variants, not the words they are renamed to.
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .enum_values(Some(Self::ALL.iter().map(|word| word.as_str())))
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {}
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
    /// Where a new run may begin.
    FirstStatus {
        /// Nothing is planned yet.
        Pending = "pending",
        /// Its steps are added by hand.
        Planned = "planned",
    }
}

impl From<FirstStatus> for ProtocolStatus {
    fn from(first: FirstStatus) -> Self {
        match first {
            FirstStatus::Pending => Self::Pending,
            FirstStatus::Planned => Self::Planned,
        }
    }
}

/// One row of a transition table: where a move is legal and where it may lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row<S: 'static> {
    /// Statuses from which the move is legal.
    pub from: &'static [S],
    /// Statuses it may lead to.
    pub to: &'static [S],
}

impl<S: PartialEq> Row<S> {
    /// The move may lead from one status to the other.
    pub fn allows(&self, from: &S, to: &S) -> bool {
        self.from.contains(from) && self.to.contains(to)
    }
}

words! {
    /// What may move a run: one row of its table each.
    RunMove {
        /// A person asks for a plan; only while no step has ever run.
        Start = "start",
        /// The plan is valid.
        PlanOk = "plan_ok",
        /// Planning cannot go on.
        PlanBlocked = "plan_blocked",
        /// A workspace was imported.
        ImportOk = "import_ok",
        /// An import broke a rule.
        ImportFailed = "import_failed",
        /// A set-up job began.
        SetupStart = "setup_start",
        /// Set-up is done.
        SetupOk = "setup_ok",
        /// Set-up waits for a person.
        SetupBlocked = "setup_blocked",
        /// Set-up failed after its last attempt.
        SetupFailed = "setup_failed",
        /// A step or its QA was queued; pending only if the run has steps.
        StepQueued = "step_queued",
        /// Execution, QA or CI of a step failed and no loop or trigger applied.
        StepFailed = "step_failed",
        /// A gate, engine, repository or budget stands in the way of a step.
        StepBlocked = "step_blocked",
        /// A step was settled: the run is judged anew by its steps, its PR/MR and its push.
        StepDone = "step_done",
        /// The push failed for good: whatever else holds the run, it is not complete before a push.
        PushFailed = "push_failed",
        /// The branch is on the remote; leaves `blocked` only when blocked for `push_failed`.
        PushOk = "push_ok",
        /// The head commit is red and no step carries it.
        CiRed = "ci_red",
        /// The head commit is green; leaves `blocked` only when blocked for `ci_failed`.
        CiGreen = "ci_green",
        /// A PR/MR is open (again); leaves `blocked` only when blocked for `pr_closed`.
        PrOpened = "pr_opened",
        /// The PR/MR was merged.
        PrMerged = "pr_merged",
        /// The PR/MR was closed without a merge.
        PrClosed = "pr_closed",
        /// The last blocking question was answered; only when blocked for `clarifications`.
        Answered = "answered",
        /// A person approves a step; the run itself moves by `step_done`.
        Approve = "approve",
        /// A person pauses the run.
        Pause = "pause",
        /// A person resumes the run; the remembered status decides where to.
        Resume = "resume",
        /// A person cancels the run.
        Cancel = "cancel",
        /// A person asks for the push (and the PR/MR) of what is there; moves nothing.
        OpenPr = "open_pr",
        /// Planning has had no live job for too long.
        JobLost = "job_lost",
    }
}

impl RunMove {
    /// The move's row. While a run is paused the rows of results apply to `paused_from`.
    pub const fn row(self) -> Row<ProtocolStatus> {
        use ProtocolStatus::{
            Blocked, Cancelled, Completed, Failed, Paused, Pending, Planned, Planning, Running,
        };
        const OPEN: &[ProtocolStatus] = &[Pending, Planning, Planned, Running, Paused, Blocked];
        const PUSHABLE: &[ProtocolStatus] = &[Planned, Running, Blocked, Completed];
        let (from, to): (&'static [ProtocolStatus], &'static [ProtocolStatus]) = match self {
            Self::Start => (&[Pending, Planned, Blocked], &[Planning]),
            Self::PlanOk => (&[Planning], &[Planned]),
            Self::PlanBlocked | Self::JobLost => (&[Planning], &[Blocked]),
            Self::ImportOk => (&[Pending, Planning], &[Planned]),
            Self::ImportFailed => (&[Pending, Planning], &[Blocked]),
            Self::SetupStart => (&[Pending, Blocked], &[Running]),
            Self::SetupOk => (&[Running], &[Completed]),
            Self::SetupFailed => (&[Running], &[Failed]),
            Self::SetupBlocked | Self::StepFailed | Self::StepBlocked | Self::CiRed | Self::PrClosed => {
                (&[Running], &[Blocked])
            }
            Self::StepQueued => (&[Pending, Planned, Running, Blocked], &[Running]),
            Self::StepDone => (&[Planned, Running, Blocked], &[Running, Blocked, Completed]),
            Self::PushFailed => (&[Running, Blocked], &[Blocked]),
            Self::PushOk | Self::PrOpened => (&[Running, Blocked], &[Running, Blocked, Completed]),
            Self::CiGreen => (&[Blocked], &[Running, Blocked, Completed]),
            Self::PrMerged => (OPEN, &[Completed]),
            Self::Answered => (&[Blocked], &[Planning, Running]),
            Self::Approve => (OPEN, OPEN),
            Self::OpenPr => (PUSHABLE, PUSHABLE),
            Self::Pause => (&[Pending, Planning, Planned, Running, Blocked], &[Paused]),
            Self::Resume => (&[Paused], &[Pending, Planning, Planned, Running, Blocked, Completed]),
            Self::Cancel => (OPEN, &[Cancelled]),
        };
        Row { from, to }
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
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
