//! Signals about the run as a whole: plan, import, set-up, pause, push, PR/MR, walk.
//!
//! A fact (job, forge, watchdog) that does not apply answers `false` and changes nothing; a
//! person's action that does not apply is refused.

use super::{Failure, PlannedStep, Refused, RunKind, Signal, Source, StepFlow, draft::Draft};
use crate::{
    event::{Event, EventKind},
    job::{ErrorCategory, Job, Priority},
    protocol::PullRequestState,
    status::{ProtocolStatus, ReasonCode, RunMove, StatusReason},
    step::{StepMove, StepStatus},
};

impl Draft<'_> {
    pub(super) fn start(&mut self) -> Result<bool, Refused> {
        self.demand_protocol()?;
        self.demand_run(RunMove::Start)?;
        self.demand_idle()?;
        if self.flow.steps.iter().any(|step| step.has_run) {
            return Err(self.refused_run(&[]));
        }
        self.queue_plan(Priority::User);
        self.set_run(RunMove::Start, ProtocolStatus::Planning, None);
        Ok(true)
    }

    /// The row of a set-up run is closed to planning, and the other way round.
    fn demand_protocol(&self) -> Result<(), Refused> {
        match self.flow.run.kind {
            RunKind::Protocol => Ok(()),
            RunKind::Setup => Err(self.refused_run(&[])),
        }
    }

    /// A plan or an import holds: its steps replace those that never ran.
    pub(super) fn planned(
        &mut self,
        by: RunMove,
        steps: &[PlannedStep],
        before: &[Event],
        told: &[Event],
    ) -> bool {
        if !self.is_protocol() || !self.may(by) {
            return false;
        }
        self.sync = Some(steps.to_vec());
        self.events.extend_from_slice(before);
        self.events.extend_from_slice(told);
        self.set_run(by, ProtocolStatus::Planned, None);
        // The steps get their ids when they are stored; only then can one be queued.
        if self.flow.run.auto_advance {
            self.then = Some(Signal::WalkOn { source: Source::AutoAdvance });
        }
        true
    }

    /// Planning, an import or set-up cannot go on.
    pub(super) fn rest_blocked(&mut self, by: RunMove, reason: &StatusReason, told: &[Event]) -> bool {
        let setup = by == RunMove::SetupBlocked;
        let applies = setup != self.is_protocol() && self.may(by);
        if applies {
            self.events.extend_from_slice(told);
            self.set_run(by, ProtocolStatus::Blocked, Some(reason.clone()));
        }
        applies
    }

    /// Records a fact.
    pub(super) fn tell(&mut self, told: &[Event]) -> bool {
        self.events.extend_from_slice(told);
        true
    }

    pub(super) fn plan_gave_up(&mut self, failure: &Failure) -> bool {
        let code = failure.reason.unwrap_or(match failure.category {
            ErrorCategory::Codex => ReasonCode::EngineError,
            ErrorCategory::Validation => ReasonCode::PlanningInvalid,
            ErrorCategory::Budget => ReasonCode::BudgetExceeded,
            ErrorCategory::Runtime
            | ErrorCategory::Git
            | ErrorCategory::Api
            | ErrorCategory::Config
            | ErrorCategory::Ci => ReasonCode::JobLost,
        });
        let reason = StatusReason::new(code, failure.message.clone());
        let event = failed(Event::run(EventKind::PlanningFailed), failure);
        let applied = self.rest_blocked(RunMove::PlanBlocked, &reason, &[event]);
        if applied {
            self.job_failed(failure, None);
        }
        applied
    }

    pub(super) fn plan_lost(&mut self, age_seconds: i64) -> bool {
        if self.may(RunMove::JobLost) && !self.flow.run.live_plan {
            let message = format!("planning has had no live job for {age_seconds} s; start the run again");
            let event = Event::run(EventKind::PlanningFailed)
                .with("error", message.clone())
                .with("error_type", ReasonCode::JobLost.as_str());
            self.events.push(event);
            self.block(RunMove::JobLost, StatusReason::new(ReasonCode::JobLost, message));
        }
        true
    }

    /// A further attempt of the set-up job finds the run running already.
    pub(super) fn setup_started(&mut self, told: &[Event]) -> bool {
        let again = self.standing() == ProtocolStatus::Running;
        let applies = !self.is_protocol() && (again || self.may(RunMove::SetupStart));
        if applies {
            self.tell(told);
        }
        if applies && !again {
            self.set_run(RunMove::SetupStart, ProtocolStatus::Running, None);
        }
        applies
    }

    pub(super) fn setup_ready(&mut self, told: &[Event]) -> bool {
        let applies = !self.is_protocol() && self.may(RunMove::SetupOk);
        if applies {
            self.tell(told);
            self.set_run(RunMove::SetupOk, ProtocolStatus::Completed, None);
        }
        applies
    }

    fn is_protocol(&self) -> bool {
        self.flow.run.kind == RunKind::Protocol
    }

    pub(super) fn pause(&mut self, reason: Option<&String>) -> Result<bool, Refused> {
        if !self.is_paused() {
            self.demand_run(RunMove::Pause)?;
            self.events.push(Event::run(EventKind::Paused).with_some("reason", reason));
            self.flow.run.paused_from = Some(self.flow.run.status);
            self.flow.run.status = ProtocolStatus::Paused;
        }
        Ok(true)
    }

    pub(super) fn resume(&mut self, reason: Option<&String>) -> Result<bool, Refused> {
        self.demand_run(RunMove::Resume)?;
        // A row without a remembered status is damaged: a person has to look at it.
        let to = self.flow.run.paused_from.unwrap_or(ProtocolStatus::Blocked);
        let reason_kept = self.flow.run.reason.take();
        self.end_run(RunMove::Resume, to);
        self.flow.run.reason = reason_kept;
        self.events.push(Event::run(EventKind::Resumed).with("to", to.as_str()).with_some("reason", reason));
        self.then = Some(Signal::WalkOn { source: Source::Resume });
        Ok(true)
    }

    pub(super) fn cancel(&mut self, reason: Option<&String>) -> Result<bool, Refused> {
        if self.flow.run.status != ProtocolStatus::Cancelled {
            self.demand_run(RunMove::Cancel)?;
            self.events.push(Event::run(EventKind::Cancelled).with_some("reason", reason));
            self.settle_everything(StepMove::Cancel);
            self.end_run(RunMove::Cancel, ProtocolStatus::Cancelled);
        }
        Ok(true)
    }

    /// Queues the push, unless one is live already. It moves no status: what the push brings may.
    pub(super) fn open_pull_request(&mut self) -> Result<bool, Refused> {
        self.demand_protocol()?;
        self.demand_run(RunMove::OpenPr)?;
        self.queue_push(Priority::User, None);
        Ok(true)
    }

    /// How the push of a completed run ended. Only a person asks for one, so its end is no late result.
    pub(super) fn is_asked_push(&self, signal: &Signal) -> bool {
        let of_push = matches!(
            signal,
            Signal::PushDone { .. } | Signal::GaveUp { job: Job::OpenPullRequest { .. }, .. }
        );
        of_push && self.flow.run.status == ProtocolStatus::Completed
    }

    pub(super) fn push_done(&mut self, told: &[Event]) -> bool {
        self.flow.run.live_push = false;
        self.re_evaluate(told, RunMove::PushOk, ReasonCode::PushFailed)
    }

    /// A fact that may be what the run waited for: the end of a push, an open PR/MR.
    fn re_evaluate(&mut self, told: &[Event], by: RunMove, code: ReasonCode) -> bool {
        self.tell(told);
        if self.cause_gone(by, code) {
            self.settle();
        } else if self.standing() == ProtocolStatus::Running && self.all_settled() {
            self.complete_or_wait();
        }
        self.walk(Source::AutoAdvance);
        true
    }

    /// The push gave up. Before any step ran it is only recorded; from then on it blocks.
    pub(super) fn push_gave_up(&mut self, failure: &Failure) -> bool {
        self.events.push(Event::run(EventKind::OpenPrFailed).with("error", failure.message.clone()));
        self.job_failed(failure, None);
        self.flow.run.live_push = false;
        self.block(RunMove::PushFailed, StatusReason::new(ReasonCode::PushFailed, failure.message.clone()));
        true
    }

    /// A PR/MR is open, for the first time or again.
    pub(super) fn pull_request_open(&mut self, told: &[Event]) -> bool {
        self.flow.run.pr_state = Some(PullRequestState::Open);
        self.re_evaluate(told, RunMove::PrOpened, ReasonCode::PrClosed)
    }

    /// The merge ends the run at once, paused or not.
    pub(super) fn pull_request_merged(&mut self, told: &[Event]) -> bool {
        self.tell(told);
        self.settle_everything(StepMove::Merged);
        self.flow.run.pr_state = Some(PullRequestState::Merged);
        self.end_run(RunMove::PrMerged, ProtocolStatus::Completed);
        self.events.push(Event::run(EventKind::ProtocolCompleted).with("by", "merge"));
        true
    }

    pub(super) fn pull_request_closed(&mut self, told: &[Event]) -> bool {
        self.tell(told);
        self.flow.run.pr_state = Some(PullRequestState::Closed);
        let message =
            "the pull request was closed without a merge; reopen it, open a new one or cancel the run";
        self.block(RunMove::PrClosed, StatusReason::new(ReasonCode::PrClosed, message));
        true
    }

    /// The last blocking question was answered: what it blocked is queued again, if the run walks
    /// by itself. A set-up run stays blocked until its new job says `SetupStarted`.
    pub(super) fn answered(&mut self) -> bool {
        if !self.blocked_for(ReasonCode::Clarifications) || !self.flow.run.auto_advance || !self.is_protocol()
        {
            return true;
        }
        let steps = &self.flow.steps;
        let waiting: Vec<usize> = (0..steps.len()).filter(|&at| waits_for_answer(&steps[at])).collect();
        if !waiting.is_empty() {
            self.set_run(RunMove::Answered, ProtocolStatus::Running, None);
            for at in waiting {
                self.answer_step(at);
            }
            self.settle();
        } else if !self.flow.run.live_plan && !steps.iter().any(|step| step.has_run) {
            self.set_run(RunMove::Answered, ProtocolStatus::Planning, None);
        }
        self.walk(Source::Clarification);
        true
    }

    /// A job gave up for good.
    pub(super) fn job_failed(&mut self, failure: &Failure, at: Option<usize>) {
        let event = at
            .map_or_else(|| Event::run(EventKind::JobFailed), |at| self.step_event(EventKind::JobFailed, at));
        self.events.push(job_failed_facts(event, failure));
    }
}

/// Adds what the job knows of its failure.
pub(super) fn failed(event: Event, failure: &Failure) -> Event {
    event
        .with_all(failure.detail.clone())
        .with("error", failure.message.as_str())
        .with("error_type", failure.error_type.as_str())
}

/// The facts of `job_failed`.
pub(super) fn job_failed_facts(event: Event, failure: &Failure) -> Event {
    event
        .with("error", failure.message.as_str())
        .with("error_type", failure.error_type.as_str())
        .with("error_category", failure.category.as_str())
        .with("attempts", failure.attempts)
        .with_some("job_id", failure.job_id.as_ref().map(|id| &id.0))
}

fn waits_for_answer(step: &StepFlow) -> bool {
    step.status == StepStatus::Blocked
        && step.reason.as_ref().is_some_and(|reason| reason.code == ReasonCode::Clarifications)
}
