//! What may happen to a run: the closed set of signals. Data only: what follows is `decide`'s matter.

use serde_json::{Map, Value};

use crate::{
    event::Event,
    ids::{JobId, StepId},
    job::{ErrorCategory, Job},
    status::{ReasonCode, StatusReason, words},
    step::StepType,
};

words! {
    /// Who queued a step or its QA (wire: `source` of `step_enqueued` and `qa_enqueued`).
    Source {
        /// A person, over API or CLI.
        Api = "api",
        /// `auto_advance` after a plan or a pass.
        AutoAdvance = "auto_advance",
        /// A loop reset the step.
        Loop = "loop",
        /// The scheduler repaired a missed hand-over.
        Scheduler = "scheduler",
        /// A blocking question was answered.
        Clarification = "clarification",
        /// Auto-QA after execution.
        AutoAfterExec = "auto_after_exec",
        /// CI turned green.
        CiWebhook = "ci_webhook",
        /// A resumed run continues what was withheld.
        Resume = "resume",
    }
}

/// A step as the spec wants it, before it has an id.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStep {
    /// Position from 0.
    pub index: i64,
    /// Step name, unique in the run.
    pub name: String,
    /// Kind.
    pub step_type: StepType,
    /// Engine of the step, if the spec names one.
    pub engine_id: Option<String>,
    /// Model of the step, if the spec names one.
    pub model: Option<String>,
    /// What it does, in a line.
    pub summary: Option<String>,
    /// Loop and trigger entries as written.
    pub policy: Option<Value>,
}

/// How execution ended, QA policy applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Executed {
    /// QA `skip`: complete.
    Unjudged,
    /// QA `full` (or nothing stated): needs a verdict.
    NeedsQa,
    /// QA `light`, judged PASS in the same job.
    LightPass,
    /// QA `light`, judged FAIL (or no exact verdict) in the same job.
    LightFail,
    /// QA `light` could not be carried out.
    LightError,
}

/// Why a job gave up for good.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// Stable reason; `None` lets `decide` choose by the kind of job.
    pub reason: Option<ReasonCode>,
    /// Kind of failure.
    pub category: ErrorCategory,
    /// Machine word (`error_type` on the wire), e.g. an engine failure kind.
    pub error_type: String,
    /// A sentence with cause and remedy, redacted.
    pub message: String,
    /// Attempts made.
    pub attempts: i64,
    /// The job, if there was one.
    pub job_id: Option<JobId>,
    /// Further metadata of the failure event.
    pub detail: Map<String, Value>,
}

/// Something that happened and may change a status. `events` and `detail` come from the job that
/// did the work and are written with the decision; they never drive it.
#[derive(Debug, Clone, PartialEq)]
pub enum Signal {
    /// A person starts the run: plan it.
    Start,
    /// The plan is written, validated and committed.
    PlanReady {
        /// Steps the spec wants.
        steps: Vec<PlannedStep>,
        /// Metadata of `planned`.
        detail: Map<String, Value>,
        /// Events that belong before `planned` (autofix, findings, push outcome …).
        events: Vec<Event>,
    },
    /// Planning cannot go on (clarifications, engine, invalid plan, spec errors, policy).
    PlanBlocked {
        /// Why.
        reason: StatusReason,
        /// Events that tell it.
        events: Vec<Event>,
    },
    /// A `CodeMachine` workspace was imported.
    ImportReady {
        /// Steps it holds.
        steps: Vec<PlannedStep>,
        /// Metadata of `codemachine_imported`.
        detail: Map<String, Value>,
    },
    /// The import broke a rule.
    ImportFailed {
        /// Why.
        reason: StatusReason,
        /// Metadata of `codemachine_import_failed`.
        detail: Map<String, Value>,
    },
    /// A set-up job began.
    SetupStarted {
        /// Metadata.
        detail: Map<String, Value>,
    },
    /// Set-up is done.
    SetupReady,
    /// Set-up waits for a person.
    SetupBlocked {
        /// Why.
        reason: StatusReason,
        /// Metadata.
        detail: Map<String, Value>,
    },
    /// A person (or rule) runs one step.
    RunStep {
        /// Which.
        step: StepId,
        /// Who asked.
        source: Source,
    },
    /// A person runs the lowest step in pending, blocked or failed.
    RunNext,
    /// A person retries the highest step in failed or blocked.
    RetryLatest,
    /// A person asks for QA of a step.
    RunQa {
        /// Which.
        step: StepId,
    },
    /// A person approves a step.
    Approve {
        /// Which.
        step: StepId,
        /// What they said.
        note: Option<String>,
    },
    /// A person pauses the run.
    Pause {
        /// Why.
        reason: Option<String>,
    },
    /// A person resumes the run.
    Resume {
        /// Why.
        reason: Option<String>,
    },
    /// A person cancels the run.
    Cancel {
        /// Why.
        reason: Option<String>,
    },
    /// A person stops one live job; what it is about waits for a person.
    JobCancelled {
        /// What the job is about.
        job: Job,
        /// The job.
        job_id: JobId,
    },
    /// A person asks for the push (and the PR/MR) of the branch.
    OpenPullRequest,
    /// A step was executed, its work committed.
    Executed {
        /// Which.
        step: StepId,
        /// How it ended.
        outcome: Executed,
        /// Commit that holds the work, if there was any.
        sha: Option<String>,
        /// Metadata of `step_completed`.
        detail: Map<String, Value>,
        /// Metadata of the light verdict, if one was given.
        verdict: Map<String, Value>,
        /// The push after the commit failed and needs a job of its own.
        push_failed: Option<String>,
    },
    /// A gate, an absent engine, a missing repository or a budget stands in the way.
    StepBlocked {
        /// Which.
        step: StepId,
        /// Why.
        reason: StatusReason,
        /// The event that tells it.
        event: Event,
    },
    /// The step's spec entry does not hold.
    SpecInvalid {
        /// Which.
        step: StepId,
        /// All errors.
        errors: Vec<String>,
    },
    /// A full QA gave its report.
    Judged {
        /// Which.
        step: StepId,
        /// Exactly PASS.
        passed: bool,
        /// Metadata of `qa_passed` or `qa_failed`.
        detail: Map<String, Value>,
    },
    /// A job gave up for good: no attempts left, or a failure that retrying cannot cure.
    GaveUp {
        /// Which.
        job: Job,
        /// Why.
        failure: Failure,
    },
    /// A `CodeMachine` agent asked for a loop or a trigger after its step.
    Directive {
        /// The step that asked.
        step: StepId,
        /// `loop` or `trigger`.
        reason: PolicyReason,
    },
    /// The branch is on the remote (or the PR/MR is open).
    PushDone {
        /// What is there.
        sha: Option<String>,
        /// Events that tell it.
        events: Vec<Event>,
    },
    /// A PR/MR exists.
    PullRequestOpened {
        /// Metadata of `open_pr`.
        detail: Map<String, Value>,
    },
    /// The required checks of a commit decided red.
    CiRed {
        /// Commit.
        sha: String,
        /// Step that owns it.
        step: Option<StepId>,
        /// Metadata of `ci_failed`.
        detail: Map<String, Value>,
    },
    /// The required checks of a commit decided green.
    CiGreen {
        /// Commit.
        sha: String,
        /// Step that owns it.
        step: Option<StepId>,
        /// Metadata of `ci_passed`.
        detail: Map<String, Value>,
    },
    /// Checks are under way: a fact, nothing moves.
    CiPending {
        /// Commit.
        sha: String,
    },
    /// The PR/MR was merged.
    PullRequestMerged {
        /// Metadata; `mr` inside says which word to use.
        detail: Map<String, Value>,
        /// GitLab says merge request.
        merge_request: bool,
    },
    /// The PR/MR was closed without a merge.
    PullRequestClosed {
        /// Metadata.
        detail: Map<String, Value>,
        /// GitLab says merge request.
        merge_request: bool,
    },
    /// The PR/MR was opened again.
    PullRequestReopened,
    /// The last blocking question was answered.
    Answered,
    /// Watchdog: planning without a live job for too long.
    PlanLost {
        /// Seconds since the last sign of life.
        age_seconds: i64,
    },
    /// Watchdog: a running step without a live lease for too long.
    Stuck {
        /// Which.
        step: StepId,
        /// Seconds since the last sign of life.
        age_seconds: i64,
        /// The threshold it passed.
        threshold_seconds: i64,
    },
    /// Queue whatever the rules say comes next (after a plan, a pass, a resume; also the scheduler).
    WalkOn {
        /// Who asked.
        source: Source,
    },
}

impl Signal {
    /// The word a refusal and the lifecycle page use.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::PlanReady { .. } => "plan_ready",
            Self::PlanBlocked { .. } => "plan_blocked",
            Self::ImportReady { .. } => "import_ready",
            Self::ImportFailed { .. } => "import_failed",
            Self::SetupStarted { .. } => "setup_started",
            Self::SetupReady => "setup_ready",
            Self::SetupBlocked { .. } => "setup_blocked",
            Self::RunStep { .. } => "run",
            Self::RunNext => "run_next",
            Self::RetryLatest => "retry_latest",
            Self::RunQa { .. } => "run_qa",
            Self::Approve { .. } => "approve",
            Self::Pause { .. } => "pause",
            Self::Resume { .. } => "resume",
            Self::Cancel { .. } => "cancel",
            Self::JobCancelled { .. } => "cancel_job",
            Self::OpenPullRequest => "open_pr",
            Self::Executed { .. } => "executed",
            Self::StepBlocked { .. } => "step_blocked",
            Self::SpecInvalid { .. } => "spec_invalid",
            Self::Judged { .. } => "judged",
            Self::GaveUp { .. } => "gave_up",
            Self::Directive { .. } => "directive",
            Self::PushDone { .. } => "push_done",
            Self::PullRequestOpened { .. } => "pull_request_opened",
            Self::CiRed { .. } => "ci_red",
            Self::CiGreen { .. } => "ci_green",
            Self::CiPending { .. } => "ci_pending",
            Self::PullRequestMerged { .. } => "pull_request_merged",
            Self::PullRequestClosed { .. } => "pull_request_closed",
            Self::PullRequestReopened => "pull_request_reopened",
            Self::Answered => "answered",
            Self::PlanLost { .. } => "plan_lost",
            Self::Stuck { .. } => "stuck",
            Self::WalkOn { .. } => "walk_on",
        }
    }
}

words! {
    /// Why loops and triggers are looked at.
    PolicyReason {
        /// Execution ended well and completed the step.
        ExecCompleted = "exec_completed",
        /// Execution failed for good.
        ExecFailed = "exec_failed",
        /// QA passed.
        QaPassed = "qa_passed",
        /// QA failed.
        QaFailed = "qa_failed",
        /// Required checks are red.
        CiFailed = "ci_failed",
        /// The agent asked for a loop.
        DirectiveLoop = "directive:loop",
        /// The agent asked for a trigger.
        DirectiveTrigger = "directive:trigger",
    }
}
