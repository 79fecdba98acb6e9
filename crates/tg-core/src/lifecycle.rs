//! The one place that says what follows from a signal.
//!
//! `decide` is pure and exhaustive: no clock, no database, no process, no wildcard arm over our own
//! enums. It applies each change to a copy of the flow, so later rules see earlier changes. It must
//! not invent ids or read anything but its arguments.

use draft::Draft;
use fact::told;
use on_step::Work;

use crate::{
    event::Event,
    ids::{RunId, StepId},
    job::{Job, Priority},
    protocol::PullRequestState,
    status::{ProtocolStatus, RunMove, StatusReason},
    step::StepStatus,
};

mod after_step;
mod draft;
mod fact;
mod flow;
mod on_job;
mod on_run;
mod on_step;
mod signal;
#[cfg(test)]
mod tests;

pub use after_step::MAX_INLINE_TRIGGER_DEPTH;
pub use flow::*;
pub use signal::*;

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
    #[error("{entity} {id} is {current}: {requested} is allowed only from {}", list(legal_from))]
    IllegalTransition {
        /// `protocol_run` or `step_run`.
        entity: &'static str,
        /// Its id.
        id: i64,
        /// Its status.
        current: &'static str,
        /// What was asked.
        requested: &'static str,
        /// Where it would be legal; empty = nowhere, as things are (a set-up run, a step ran already).
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

fn list(legal_from: &[&str]) -> String {
    if legal_from.is_empty() { "no status, as things are".to_owned() } else { legal_from.join(", ") }
}

/// Says what follows from `signal` for `flow`.
///
/// # Errors
/// `Refused` when the signal is not allowed now; both sides are named and nothing may be written.
/// A job's or forge's late signal on a terminal run is not refused: it becomes a recorded no-op.
pub fn decide(flow: &Flow, signal: &Signal) -> Result<Decision, Refused> {
    let mut draft = Draft::new(flow, signal);
    let told = told(signal);
    let too_late = flow.run.status.is_terminal() && !told.is_empty() && !draft.is_asked_push(signal);
    if too_late || !draft.apply(signal, &told)? {
        draft.events.extend(told.into_iter().map(|event| event.with("late_result", true)));
    }
    Ok(draft.finish())
}

impl Draft<'_> {
    /// Applies a signal; `false` = a fact that came too late or twice: nothing was changed, it is
    /// recorded only. `told` are the events that tell the fact.
    fn apply(&mut self, signal: &Signal, told: &[Event]) -> Result<bool, Refused> {
        match signal {
            Signal::Start => self.start(),
            Signal::PlanReady { steps, events, .. } => Ok(self.planned(RunMove::PlanOk, steps, events, told)),
            Signal::ImportReady { steps, .. } => Ok(self.planned(RunMove::ImportOk, steps, &[], told)),
            Signal::PlanBlocked { reason, events } => {
                let told = if events.is_empty() { told } else { events };
                Ok(self.rest_blocked(RunMove::PlanBlocked, reason, told))
            }
            Signal::ImportFailed { reason, .. } => Ok(self.rest_blocked(RunMove::ImportFailed, reason, told)),
            Signal::SetupStarted { .. } => Ok(self.setup_started(told)),
            Signal::SetupReady => Ok(self.setup_ready(told)),
            Signal::SetupBlocked { reason, .. } => Ok(self.rest_blocked(RunMove::SetupBlocked, reason, told)),
            Signal::RunStep { step, source } => self.run_step(*step, *source),
            Signal::RunNext => self.run_next(),
            Signal::RetryLatest => self.retry_latest(),
            Signal::RunQa { step } => self.run_qa(*step),
            Signal::Approve { step, note } => self.approve(*step, note.as_ref()),
            Signal::Pause { reason } => self.pause(reason.as_ref()),
            Signal::Resume { reason } => self.resume(reason.as_ref()),
            Signal::Cancel { reason } => self.cancel(reason.as_ref()),
            Signal::JobCancelled { job, job_id } => self.job_cancelled(job, job_id),
            Signal::OpenPullRequest => self.open_pull_request(),
            Signal::Executed { step, outcome, sha, detail, verdict, push_failed } => {
                let work = Work { sha: sha.as_ref(), detail, verdict, push_failed: push_failed.as_ref() };
                self.executed(*step, outcome, &work)
            }
            Signal::StepBlocked { step, reason, event } => self.step_blocked(*step, reason, event),
            Signal::SpecInvalid { step, errors } => self.spec_invalid(*step, errors),
            Signal::Judged { step, passed, detail } => self.judged(*step, *passed, detail),
            Signal::GaveUp { job, failure } => match job {
                Job::PlanProtocol { .. } => Ok(self.plan_gave_up(failure)),
                Job::ExecuteStep { step_run_id } => self.execution_gave_up(*step_run_id, failure),
                Job::CheckQuality { step_run_id } => self.quality_gave_up(*step_run_id, failure),
                Job::OpenPullRequest { .. } => Ok(self.push_gave_up(failure)),
                Job::Maintenance => Ok(self.tell(told)),
            },
            Signal::Directive { step, reason } => self.directive(*step, *reason),
            Signal::PushDone { .. } => Ok(self.push_done(told)),
            Signal::PullRequestOpened { .. } | Signal::PullRequestReopened => {
                Ok(self.pull_request_open(told))
            }
            Signal::PullRequestMerged { .. } => Ok(self.pull_request_merged(told)),
            Signal::PullRequestClosed { .. } => Ok(self.pull_request_closed(told)),
            Signal::CiRed { sha, step, .. } => self.ci_red(sha, *step, told),
            Signal::CiGreen { sha, step, .. } => self.ci_green(sha, *step, told),
            Signal::CiPending { .. } => Ok(true),
            Signal::Answered => Ok(self.answered()),
            Signal::PlanLost { age_seconds } => Ok(self.plan_lost(*age_seconds)),
            Signal::Stuck { step, age_seconds, threshold_seconds } => {
                self.stuck(*step, *age_seconds, *threshold_seconds)
            }
            Signal::WalkOn { source } => {
                self.walk(*source);
                Ok(true)
            }
        }
    }
}
