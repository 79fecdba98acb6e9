//! The one place that says what follows from a signal.
//!
//! `decide` is pure and exhaustive: no clock, no database, no process, no wildcard arm over our own
//! enums. It applies each change to a copy of the flow, so later rules see earlier changes. It must
//! not invent ids or read anything but its arguments.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    event::Event,
    ids::{JobId, ProjectId, RunId, StepId},
    job::{ErrorCategory, Job, Priority},
    protocol::PullRequestState,
    status::{ProtocolStatus, ReasonCode, StatusReason, words},
    step::{QaPolicy, StepStatus, StepType},
};

mod after_step;
#[cfg(test)]
mod tests;

/// A run and its steps, as far as deciding needs them. Steps are sorted by index.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// The run.
    pub run: RunFlow,
    /// Its steps by index.
    pub steps: Vec<StepFlow>,
}

words! {
    /// A set-up run moves by rows of its own.
    RunKind {
        /// Plans and executes a task.
        Protocol = "protocol",
        /// Sets a project up.
        Setup = "setup",
    }
}

/// The run's part of a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFlow {
    /// Identity.
    pub id: RunId,
    /// Owner.
    pub project_id: ProjectId,
    /// Protocol or set-up.
    pub kind: RunKind,
    /// Status now.
    pub status: ProtocolStatus,
    /// Why.
    pub reason: Option<StatusReason>,
    /// Where a pause returns to.
    pub paused_from: Option<ProtocolStatus>,
    /// A pass queues the next ready step.
    pub auto_advance: bool,
    /// Setting: QA is queued after execution even without `auto_advance`.
    pub auto_qa_after_exec: bool,
    /// Setting: QA is queued when CI turns green.
    pub auto_qa_on_ci: bool,
    /// Setting: cap for loops without a limit of their own.
    pub max_loop_iterations: u32,
    /// PR/MR, if one is known.
    pub pr_state: Option<PullRequestState>,
    /// Newest commit of the run.
    pub head_sha: Option<String>,
    /// A live plan job (queued or started), the signalling job itself not counted.
    pub live_plan: bool,
    /// A live push/PR job, the signalling job itself not counted.
    pub live_push: bool,
}

words! {
    /// Which job of a step is queued or at work.
    LiveJob {
        /// Execution.
        Execute = "execute",
        /// QA.
        Quality = "quality",
    }
}

/// One step's part of a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct StepFlow {
    /// Identity.
    pub id: StepId,
    /// Position from 0.
    pub index: i64,
    /// Step name (file name).
    pub name: String,
    /// Id of the step's spec entry; what `target_step` and `trigger_agent_id` name.
    pub spec_id: String,
    /// Kind.
    pub step_type: StepType,
    /// Status now.
    pub status: StepStatus,
    /// Why.
    pub reason: Option<StatusReason>,
    /// How it is judged; `None` = nothing stated: rests in `needs_qa` like full.
    pub qa: Option<QaPolicy>,
    /// Loop and trigger entries, in order (contract §6.7, §6.8), as parsed by `spec::Policy`.
    pub policies: Vec<crate::spec::Policy>,
    /// How often it was retried.
    pub retries: i64,
    /// Counters that survive restarts.
    pub runtime: RuntimeState,
    /// Live job of the step, the signalling job itself not counted.
    pub live: Option<LiveJob>,
    /// It was executed at least once (`started_at` is set).
    pub has_run: bool,
    /// Commit that holds its work.
    pub head_sha: Option<String>,
}

/// What a step remembers between attempts, loops and triggers (wire: `runtime_state`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimeState {
    /// Rounds taken, by loop module.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub loop_counts: BTreeMap<String, u32>,
    /// Last loop or trigger action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_action: Option<String>,
    /// Module of that action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_policy_module_id: Option<String>,
    /// Target of that action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_target_step_index: Option<i64>,
    /// Step id that triggered this one last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_triggered_by: Option<i64>,
    /// Depth of the trigger chain that led here; 0 when a person or rule started the step.
    pub inline_trigger_depth: u32,
    /// Tokens used over all attempts.
    pub tokens_used: u64,
    /// Last verdict: `pass`, `fail` or `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qa_verdict: Option<String>,
    /// The judge's sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qa_summary: Option<String>,
}

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
    /// A CodeMachine workspace was imported.
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
    /// A CodeMachine agent asked for a loop or a trigger after its step.
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

/// A change of the run's row; compare-and-set on `from`.
#[derive(Debug, Clone, PartialEq)]
pub struct RunChange {
    /// Status it must still have.
    pub from: ProtocolStatus,
    /// Status it gets (may equal `from` when only the reason or `paused_from` changes).
    pub to: ProtocolStatus,
    /// Reason it gets.
    pub reason: Option<StatusReason>,
    /// Where a pause returns to.
    pub paused_from: Option<ProtocolStatus>,
    /// PR/MR state it gets.
    pub pr_state: Option<PullRequestState>,
}

/// A change of a step's row; compare-and-set on `from`.
#[derive(Debug, Clone, PartialEq)]
pub struct StepChange {
    /// Which.
    pub id: StepId,
    /// Status it must still have.
    pub from: StepStatus,
    /// Status it gets (may equal `from`).
    pub to: StepStatus,
    /// Reason it gets.
    pub reason: Option<StatusReason>,
    /// Retries it gets.
    pub retries: i64,
    /// Counters it gets.
    pub runtime: RuntimeState,
    /// Commit that holds its work, when the signal brought one.
    pub head_sha: Option<String>,
}

/// A job to queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enqueue {
    /// What.
    pub job: Job,
    /// Before or after others.
    pub priority: Priority,
}

/// Everything that follows from one signal. Only `decide` makes one; `store` writes it down whole.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Decision {
    /// The run.
    pub run_id: RunId,
    /// Change of the run, if any.
    pub run: Option<RunChange>,
    /// Changes of steps.
    pub steps: Vec<StepChange>,
    /// Replace never-run steps by these (after a plan).
    pub sync: Option<Vec<PlannedStep>>,
    /// Lines for the timeline, in order. The first carries `transitions`.
    pub events: Vec<Event>,
    /// Jobs to queue.
    pub enqueue: Vec<Enqueue>,
    /// Live jobs to cancel and fence.
    pub cancel: Vec<Job>,
    /// A signal to decide next in the same transaction, on the flow as it is then.
    pub then: Option<Signal>,
}

/// A signal that is not allowed now. Nothing is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not legal from this status.
    #[error("{entity} {id} is {current}: {requested} is allowed only from {}", legal_from.join(", "))]
    IllegalTransition {
        /// `protocol_run` or `step_run`.
        entity: &'static str,
        /// Its id.
        id: i64,
        /// Its status.
        current: &'static str,
        /// What was asked.
        requested: &'static str,
        /// Where it would be legal.
        legal_from: Vec<&'static str>,
    },
    /// One worktree, one agent: another step of the run is active.
    #[error("step {active} of this run is active; one worktree has one agent")]
    StepAlreadyActive {
        /// The active step.
        active: StepId,
    },
    /// QA of this step is queued already.
    #[error("qa of step {step} is queued already")]
    QaAlreadyQueued {
        /// Which.
        step: StepId,
    },
    /// No step is in a status that could run.
    #[error("no step is ready: none is pending, blocked or failed")]
    NoStepReady,
    /// The step is not part of this run.
    #[error("step {step} is not part of this run")]
    UnknownStep {
        /// Which.
        step: StepId,
    },
}

/// Says what follows from `signal` for `flow`.
///
/// # Errors
/// `Refused` when the signal is not allowed now; both sides are named and nothing may be written.
/// A job's or forge's late signal on a terminal run is not refused: it becomes a recorded no-op.
pub fn decide(flow: &Flow, signal: &Signal) -> Result<Decision, Refused> {
    todo!()
}
