//! Signals about one step: queue, execute, judge, approve, CI, watchdog.
//!
//! A fact (job, forge, watchdog) that does not apply answers `false` and changes nothing; a
//! person's action that does not apply is refused.

use serde_json::{Map, Value};

use super::{
    Awaits, Executed, Failure, LiveJob, PolicyReason, Refused, Source, draft::Draft, on_run::failed,
};
use crate::{
    event::{Event, EventKind},
    ids::StepId,
    job::Priority,
    status::{ProtocolStatus, ReasonCode, RunMove, StatusReason},
    step::{QaPolicy, StepMove, StepStatus},
};

/// What an execution brought besides its outcome.
pub(super) struct Work<'a> {
    pub(super) sha: Option<&'a String>,
    pub(super) detail: &'a Map<String, Value>,
    pub(super) verdict: &'a Map<String, Value>,
    pub(super) push_failed: Option<&'a String>,
}

impl Draft<'_> {
    pub(super) fn run_step(&mut self, step: StepId, source: Source) -> Result<bool, Refused> {
        let at = self.position(step)?;
        self.demand_run(RunMove::StepQueued)?;
        self.demand_step(at, StepMove::Run)?;
        self.demand_idle()?;
        self.run_at(at, source);
        Ok(true)
    }

    pub(super) fn run_next(&mut self) -> Result<bool, Refused> {
        self.demand_run(RunMove::StepQueued)?;
        self.demand_idle()?;
        let ready = |status: StepStatus| StepMove::Run.row().from.contains(&status);
        let at = self.flow.steps.iter().position(|step| ready(step.status)).ok_or(Refused::NoStepReady)?;
        self.run_at(at, Source::Api);
        Ok(true)
    }

    fn run_at(&mut self, at: usize, source: Source) {
        let event = self.step_event(EventKind::StepEnqueued, at).with("source", source.as_str());
        let priority = if source == Source::Api { Priority::User } else { Priority::Automatic };
        self.queue_step(at, StepMove::Run, 0, priority, event);
    }

    pub(super) fn retry_latest(&mut self) -> Result<bool, Refused> {
        self.demand_run(RunMove::StepQueued)?;
        self.demand_idle()?;
        let ready = |status: StepStatus| StepMove::Retry.row().from.contains(&status);
        let Some(at) = self.flow.steps.iter().rposition(|step| ready(step.status)) else {
            // What failed is the push alone: it is what is tried again.
            if self.blocked_for(ReasonCode::PushFailed) {
                self.queue_push(Priority::User, None);
                return Ok(true);
            }
            return Err(Refused::NoStepReady);
        };
        self.flow.steps[at].retries += 1;
        let retries = self.flow.steps[at].retries;
        let event = self.step_event(EventKind::StepRetryEnqueued, at).with("retries", retries);
        self.queue_step(at, StepMove::Retry, 0, Priority::User, event);
        Ok(true)
    }

    pub(super) fn run_qa(&mut self, step: StepId) -> Result<bool, Refused> {
        let at = self.position(step)?;
        self.demand_run(RunMove::StepQueued)?;
        self.demand_step(at, StepMove::RunQa)?;
        if self.flow.steps[at].live == Some(LiveJob::Quality) {
            return Err(Refused::QaAlreadyQueued { step });
        }
        self.demand_idle()?;
        self.set_step(at, StepMove::RunQa, StepStatus::NeedsQa, None);
        self.queue_qa(at, Source::Api, Priority::User);
        self.go_on();
        Ok(true)
    }

    pub(super) fn approve(&mut self, step: StepId, note: Option<&String>) -> Result<bool, Refused> {
        let at = self.position(step)?;
        self.demand_run(RunMove::Approve)?;
        self.demand_step(at, StepMove::Approve)?;
        let event =
            self.step_event(EventKind::ManualApproval, at).with("from", self.flow.steps[at].status.as_str());
        self.events.push(event.with_some("note", note));
        self.cancel_live(at);
        self.flow.steps[at].runtime.awaits = None;
        self.complete_step(at, StepMove::Approve, &[PolicyReason::QaPassed]);
        Ok(true)
    }

    pub(super) fn executed(
        &mut self,
        step: StepId,
        outcome: &Executed,
        work: &Work<'_>,
    ) -> Result<bool, Refused> {
        let at = self.position(step)?;
        if self.flow.steps[at].status != StepStatus::Running {
            return Ok(false);
        }
        self.take_commit(at, work.sha);
        let done = self.step_event(EventKind::StepCompleted, at).with_all(work.detail.clone());
        self.events.push(done);
        if work.push_failed.is_some() {
            self.queue_push(Priority::Automatic, work.push_failed);
        } else if work.sha.is_some() {
            // This commit is on the remote, and with it every one before it.
            self.cause_gone(RunMove::PushOk, ReasonCode::PushFailed);
        }
        let judged = |draft: &Self, kind| {
            draft.step_event(kind, at).with_all(work.detail.clone()).with_all(work.verdict.clone())
        };
        match outcome {
            Executed::Unjudged => {
                let event =
                    self.step_event(EventKind::QaSkippedPolicy, at).with("policy", QaPolicy::Skip.as_str());
                self.events.push(event);
                self.complete_step(at, StepMove::ExecOk, &[PolicyReason::ExecCompleted]);
            }
            Executed::LightPass => {
                let event = judged(self, EventKind::QaPassedInline);
                self.events.push(event);
                self.remember_verdict(at, "pass", work.verdict);
                self.complete_step(
                    at,
                    StepMove::ExecOk,
                    &[PolicyReason::ExecCompleted, PolicyReason::QaPassed],
                );
            }
            Executed::LightFail => {
                let event = judged(self, EventKind::QaFailedInline);
                self.events.push(event);
                self.remember_verdict(at, "fail", work.verdict);
                let reason = self.not_passed(at);
                self.fail_step(at, StepMove::ExecOk, reason, PolicyReason::QaFailed);
            }
            Executed::LightError => {
                let event = self.step_event(EventKind::QaInlineError, at).with_all(work.verdict.clone());
                self.events.push(event);
                self.remember_verdict(at, "error", work.verdict);
                self.rest_unjudged(at);
            }
            Executed::NeedsQa => self.rest_unjudged(at),
        }
        Ok(true)
    }

    fn take_commit(&mut self, at: usize, sha: Option<&String>) {
        if let Some(sha) = sha {
            self.flow.steps[at].head_sha = Some(sha.clone());
            self.flow.run.head_sha = Some(sha.clone());
        }
    }

    /// Waits for a verdict; its QA is queued at once where a rule asks for it.
    fn rest_unjudged(&mut self, at: usize) {
        self.set_step(at, StepMove::ExecOk, StepStatus::NeedsQa, None);
        let source =
            if self.flow.run.auto_qa_after_exec { Source::AutoAfterExec } else { Source::AutoAdvance };
        self.walk(source);
    }

    fn remember_verdict(&mut self, at: usize, verdict: &str, facts: &Map<String, Value>) {
        let runtime = &mut self.flow.steps[at].runtime;
        runtime.qa_verdict = Some(verdict.to_owned());
        runtime.qa_summary = facts.get("summary").and_then(Value::as_str).map(str::to_owned);
    }

    fn not_passed(&self, at: usize) -> StatusReason {
        let name = &self.flow.steps[at].name;
        StatusReason::new(
            ReasonCode::QaFailed,
            format!("qa did not pass step {name}; read its report, then retry or approve it"),
        )
    }

    pub(super) fn step_blocked(
        &mut self,
        step: StepId,
        reason: &StatusReason,
        event: &Event,
    ) -> Result<bool, Refused> {
        let at = self.position(step)?;
        Ok(self.block_step(at, StepMove::GateBlocked, reason, event.clone()))
    }

    /// Rests a step as blocked, and with it the run.
    pub(super) fn block_step(
        &mut self,
        at: usize,
        by: StepMove,
        reason: &StatusReason,
        event: Event,
    ) -> bool {
        let from = self.flow.steps[at].status;
        if !by.row().from.contains(&from) {
            return false;
        }
        self.events.push(event);
        self.set_step(at, by, StepStatus::Blocked, Some(reason.clone()));
        self.flow.steps[at].runtime.awaits = (from == StepStatus::NeedsQa).then_some(Awaits::Quality);
        self.block(RunMove::StepBlocked, reason.clone());
        true
    }

    /// The question that held the step back is answered: it waits for what was held back.
    pub(super) fn answer_step(&mut self, at: usize) {
        let to = match self.flow.steps[at].runtime.awaits.take() {
            Some(Awaits::Quality) => StepStatus::NeedsQa,
            Some(Awaits::Trigger) | None => StepStatus::Pending,
        };
        let event = self.step_event(EventKind::StepReset, at).with("from", StepStatus::Blocked.as_str());
        self.events.push(event);
        self.set_step(at, StepMove::Answered, to, None);
    }

    pub(super) fn spec_invalid(&mut self, step: StepId, errors: &[String]) -> Result<bool, Refused> {
        let at = self.position(step)?;
        if self.flow.steps[at].status != StepStatus::Running {
            return Ok(false);
        }
        let none_named = ["the spec entry of the step does not hold".to_owned()];
        let errors = if errors.is_empty() { &none_named[..] } else { errors };
        for error in errors {
            let event = self.step_event(EventKind::SpecValidationError, at).with("error", error.clone());
            self.events.push(event);
        }
        let reason = StatusReason::new(ReasonCode::SpecInvalid, errors.join("; "));
        self.set_step(at, StepMove::SpecInvalid, StepStatus::Failed, Some(reason.clone()));
        self.block(RunMove::StepFailed, reason);
        Ok(true)
    }

    pub(super) fn judged(
        &mut self,
        step: StepId,
        passed: bool,
        detail: &Map<String, Value>,
    ) -> Result<bool, Refused> {
        let at = self.position(step)?;
        if self.flow.steps[at].status != StepStatus::NeedsQa {
            return Ok(false);
        }
        let kind = if passed { EventKind::QaPassed } else { EventKind::QaFailed };
        let event = self.step_event(kind, at).with_all(detail.clone());
        self.events.push(event);
        self.remember_verdict(at, if passed { "pass" } else { "fail" }, detail);
        if passed {
            self.complete_step(at, StepMove::QaPass, &[PolicyReason::QaPassed]);
        } else {
            let reason = self.not_passed(at);
            self.fail_step(at, StepMove::QaFail, reason, PolicyReason::QaFailed);
        }
        Ok(true)
    }

    pub(super) fn execution_gave_up(&mut self, step: StepId, failure: &Failure) -> Result<bool, Refused> {
        let at = self.position(step)?;
        if self.flow.steps[at].status != StepStatus::Running {
            return Ok(false);
        }
        let reason =
            StatusReason::new(failure.reason.unwrap_or(ReasonCode::StepFailed), failure.message.clone());
        if is_obstacle(reason.code) {
            let event = self
                .step_event(EventKind::StepBlocked, at)
                .with("reason", reason.code.as_str())
                .with("detail", failure.message.clone())
                .with_all(failure.detail.clone());
            self.block_step(at, StepMove::GateBlocked, &reason, event);
            self.job_failed(failure, Some(at));
        } else {
            let event = failed(self.step_event(EventKind::StepExecutionFailed, at), failure)
                .with("attempts", failure.attempts);
            self.events.push(event);
            self.job_failed(failure, Some(at));
            self.fail_step(at, StepMove::ExecFailed, reason, PolicyReason::ExecFailed);
        }
        Ok(true)
    }

    /// QA that could not be carried out says nothing about the work: no loop, no trigger.
    pub(super) fn quality_gave_up(&mut self, step: StepId, failure: &Failure) -> Result<bool, Refused> {
        let at = self.position(step)?;
        let reason =
            StatusReason::new(failure.reason.unwrap_or(ReasonCode::QaError), failure.message.clone());
        let event = failed(self.step_event(EventKind::QaError, at), failure);
        let applied = self.block_step(at, StepMove::QaError, &reason, event);
        if applied {
            self.remember_verdict(at, "error", &failure.detail);
            self.job_failed(failure, Some(at));
        }
        Ok(applied)
    }

    pub(super) fn directive(&mut self, step: StepId, why: PolicyReason) -> Result<bool, Refused> {
        let at = self.position(step)?;
        let ended = match self.flow.steps[at].status {
            StepStatus::NeedsQa | StepStatus::Completed | StepStatus::Failed => true,
            StepStatus::Pending | StepStatus::Running | StepStatus::Cancelled | StepStatus::Blocked => false,
        };
        if !ended || !self.may(RunMove::StepDone) {
            return Ok(false);
        }
        if self.try_loops(at, why) {
            self.walk_after_loop();
        } else {
            self.fire_triggers(at, &[why]);
        }
        Ok(true)
    }

    pub(super) fn stuck(
        &mut self,
        step: StepId,
        age_seconds: i64,
        threshold_seconds: i64,
    ) -> Result<bool, Refused> {
        let at = self.position(step)?;
        let found = &self.flow.steps[at];
        if found.status != StepStatus::Running || found.live.is_some() {
            return Ok(true);
        }
        let message = format!("step {} had no live worker for {age_seconds} s; retry it", found.name);
        let event = self
            .step_event(EventKind::StepStuckWatchdog, at)
            .with("age_seconds", age_seconds)
            .with("threshold_seconds", threshold_seconds);
        self.events.push(event);
        let reason = StatusReason::new(ReasonCode::Stuck, message);
        self.set_step(at, StepMove::Stuck, StepStatus::Failed, Some(reason.clone()));
        self.block(RunMove::StepFailed, reason);
        Ok(true)
    }

    /// Red counts for the newest commit only; a step that is being redone gets a new one.
    pub(super) fn ci_red(
        &mut self,
        sha: &str,
        step: Option<StepId>,
        told: &[Event],
    ) -> Result<bool, Refused> {
        let at = step.map(|step| self.position(step)).transpose()?;
        if !self.is_head(sha) {
            return Ok(false);
        }
        self.tell(told);
        let reason = StatusReason::new(
            ReasonCode::CiFailed,
            format!("required checks of {sha} are red; repair them and retry"),
        );
        let owner = at.map(|at| (at, self.flow.steps[at].status, self.flow.steps[at].live.is_some()));
        match owner {
            Some((at, StepStatus::NeedsQa, _) | (at, StepStatus::Running, false)) => {
                self.cancel_live(at);
                self.fail_step(at, StepMove::CiRed, reason, PolicyReason::CiFailed);
            }
            None | Some((_, StepStatus::Completed, _)) => self.block(RunMove::CiRed, reason),
            Some((
                _,
                StepStatus::Running
                | StepStatus::Pending
                | StepStatus::Failed
                | StepStatus::Blocked
                | StepStatus::Cancelled,
                _,
            )) => {}
        }
        Ok(true)
    }

    pub(super) fn ci_green(
        &mut self,
        sha: &str,
        step: Option<StepId>,
        told: &[Event],
    ) -> Result<bool, Refused> {
        let at = step.map(|step| self.position(step)).transpose()?;
        if !self.is_head(sha) {
            return Ok(false);
        }
        self.tell(told);
        if self.cause_gone(RunMove::CiGreen, ReasonCode::CiFailed) {
            self.settle();
        }
        if let Some(at) = at.filter(|&at| self.flow.steps[at].status == StepStatus::NeedsQa) {
            let judge = match self.flow.steps[at].qa {
                Some(QaPolicy::Full | QaPolicy::Light) => true,
                Some(QaPolicy::Skip) | None => self.flow.run.auto_qa_on_ci,
            };
            if !judge {
                self.cancel_live(at);
                self.complete_step(at, StepMove::CiGreen, &[PolicyReason::ExecCompleted]);
            } else if self.flow.run.status == ProtocolStatus::Running && self.active().is_none() {
                self.queue_qa(at, Source::CiWebhook, Priority::Automatic);
            }
        }
        self.walk(Source::AutoAdvance);
        Ok(true)
    }

    fn is_head(&self, sha: &str) -> bool {
        self.flow.run.head_sha.as_deref().is_none_or(|head| head == sha)
    }
}

/// The cause lies outside the work, so the step is blocked, not failed, and no loop repeats it.
const fn is_obstacle(code: ReasonCode) -> bool {
    match code {
        ReasonCode::Clarifications
        | ReasonCode::Policy
        | ReasonCode::PolicyUnresolved
        | ReasonCode::RepoMissing
        | ReasonCode::CloneFailed
        | ReasonCode::EngineUnavailable
        | ReasonCode::BudgetExceeded => true,
        ReasonCode::EngineError
        | ReasonCode::PlanningInvalid
        | ReasonCode::SpecInvalid
        | ReasonCode::StepFailed
        | ReasonCode::QaFailed
        | ReasonCode::QaError
        | ReasonCode::CiFailed
        | ReasonCode::PushFailed
        | ReasonCode::PrClosed
        | ReasonCode::JobLost
        | ReasonCode::Stuck
        | ReasonCode::SetupFailed
        | ReasonCode::WaitingForMerge => false,
    }
}
