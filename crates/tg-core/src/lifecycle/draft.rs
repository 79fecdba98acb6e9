//! The copy of the flow that `decide` works on, and the small changes it is made of.
//!
//! Every change goes to the copy at once, so later rules see it; `finish` compares the copy with
//! the original. Which change follows from which signal is not said here.

use serde_json::{Value, json};

use super::{
    Awaits, Decision, Enqueue, Flow, LiveJob, PlannedStep, Refused, RunChange, Signal, Source, StepChange,
    StepFlow,
};
use crate::{
    event::{Event, EventKind},
    ids::StepId,
    job::{Job, Priority},
    protocol::PullRequestState,
    status::{ProtocolStatus, ReasonCode, RunMove, StatusReason},
    step::{StepMove, StepStatus},
};

/// A decision in the making.
pub(super) struct Draft<'a> {
    pub(super) before: &'a Flow,
    pub(super) flow: Flow,
    /// What was asked, for refusals.
    pub(super) requested: &'static str,
    pub(super) events: Vec<Event>,
    pub(super) sync: Option<Vec<PlannedStep>>,
    pub(super) then: Option<Signal>,
    enqueue: Vec<Enqueue>,
    cancel: Vec<Job>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(before: &'a Flow, signal: &Signal) -> Self {
        Self {
            before,
            flow: before.clone(),
            requested: signal.name(),
            events: Vec::new(),
            sync: None,
            then: None,
            enqueue: Vec::new(),
            cancel: Vec::new(),
        }
    }

    /// Compares copy and original and writes the status changes into the first event.
    pub(super) fn finish(mut self) -> Decision {
        let (old, new) = (&self.before.run, &self.flow.run);
        let mut transitions = Vec::new();
        if old.status != new.status {
            transitions
                .push(json!({"entity": "protocol_run", "id": new.id, "from": old.status, "to": new.status}));
        }
        let run = ((old.status, &old.reason, old.paused_from, old.pr_state)
            != (new.status, &new.reason, new.paused_from, new.pr_state))
            .then(|| RunChange {
                from: old.status,
                to: new.status,
                reason: new.reason.clone(),
                paused_from: new.paused_from,
                pr_state: new.pr_state,
            });
        let mut steps = Vec::new();
        for (old, new) in self.before.steps.iter().zip(&self.flow.steps) {
            if old.status != new.status {
                transitions
                    .push(json!({"entity": "step_run", "id": new.id, "from": old.status, "to": new.status}));
            }
            if (old.status, &old.reason, old.retries, &old.runtime, &old.head_sha)
                != (new.status, &new.reason, new.retries, &new.runtime, &new.head_sha)
            {
                steps.push(StepChange {
                    id: new.id,
                    from: old.status,
                    to: new.status,
                    reason: new.reason.clone(),
                    retries: new.retries,
                    runtime: new.runtime.clone(),
                    head_sha: new.head_sha.clone().filter(|sha| old.head_sha.as_ref() != Some(sha)),
                });
            }
        }
        for event in &mut self.events {
            let step = self.flow.steps.iter().find(|step| Some(step.id) == event.step);
            if let Some(step) = step {
                event.metadata.entry("step_name").or_insert_with(|| Value::from(step.name.clone()));
            }
        }
        debug_assert!(transitions.is_empty() || !self.events.is_empty(), "a status change without an event");
        if let Some(first) = self.events.first_mut().filter(|_| !transitions.is_empty()) {
            first.metadata.insert("transitions".to_owned(), Value::Array(transitions));
        }
        Decision {
            run_id: self.flow.run.id,
            run,
            steps,
            sync: self.sync,
            events: self.events,
            enqueue: self.enqueue,
            cancel: self.cancel,
            then: self.then,
        }
    }

    // What is.

    /// Where the run stands as far as results go: while it is paused, where it will return to.
    pub(super) fn standing(&self) -> ProtocolStatus {
        match self.flow.run.paused_from {
            Some(from) if self.is_paused() => from,
            Some(_) | None => self.flow.run.status,
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.flow.run.status == ProtocolStatus::Paused
    }

    /// The move is legal for a result: judged by where the run stands.
    pub(super) fn may(&self, by: RunMove) -> bool {
        by.row().from.contains(&self.standing())
    }

    pub(super) fn blocked_for(&self, code: ReasonCode) -> bool {
        self.standing() == ProtocolStatus::Blocked
            && self.flow.run.reason.as_ref().is_some_and(|reason| reason.code == code)
    }

    pub(super) fn active(&self) -> Option<&StepFlow> {
        self.flow.steps.iter().find(|step| step.status == StepStatus::Running || step.live.is_some())
    }

    pub(super) fn all_settled(&self) -> bool {
        !self.flow.steps.is_empty() && self.flow.steps.iter().all(|step| step.status.is_settled())
    }

    pub(super) fn position(&self, step: StepId) -> Result<usize, Refused> {
        self.flow.steps.iter().position(|known| known.id == step).ok_or(Refused::UnknownStep { step })
    }

    /// An event about a step; `finish` adds the name people know it by.
    pub(super) fn step_event(&self, kind: EventKind, at: usize) -> Event {
        Event::step(kind, self.flow.steps[at].id)
    }

    // What is refused.

    /// A person's move is judged by the status itself: a paused run takes none but its own.
    pub(super) fn demand_run(&self, by: RunMove) -> Result<(), Refused> {
        let from = by.row().from;
        let run = &self.flow.run;
        if from.contains(&run.status) { Ok(()) } else { Err(self.refused_run(from)) }
    }

    pub(super) fn refused_run(&self, legal_from: &[ProtocolStatus]) -> Refused {
        Refused::IllegalTransition {
            entity: "protocol_run",
            id: self.flow.run.id.0,
            current: self.flow.run.status.as_str(),
            requested: self.requested,
            legal_from: legal_from.iter().map(|status| status.as_str()).collect(),
        }
    }

    pub(super) fn demand_step(&self, at: usize, by: StepMove) -> Result<(), Refused> {
        let (step, from) = (&self.flow.steps[at], by.row().from);
        if from.contains(&step.status) {
            return Ok(());
        }
        Err(Refused::IllegalTransition {
            entity: "step_run",
            id: step.id.0,
            current: step.status.as_str(),
            requested: self.requested,
            legal_from: from.iter().map(|status| status.as_str()).collect(),
        })
    }

    pub(super) fn demand_idle(&self) -> Result<(), Refused> {
        self.active().map_or(Ok(()), |step| Err(Refused::StepAlreadyActive { active: step.id }))
    }

    // What changes.

    /// Moves the run, or what a paused run returns to.
    pub(super) fn set_run(&mut self, by: RunMove, to: ProtocolStatus, reason: Option<StatusReason>) {
        let standing = self.standing();
        debug_assert!(by.row().allows(&standing, &to), "{by} leads nowhere from {standing} to {to}");
        if self.is_paused() {
            self.flow.run.paused_from = Some(to);
        } else {
            self.flow.run.status = to;
        }
        self.flow.run.reason = reason;
    }

    /// Moves the run itself, paused or not.
    pub(super) fn end_run(&mut self, by: RunMove, to: ProtocolStatus) {
        debug_assert!(by.row().allows(&self.flow.run.status, &to), "{by} does not lead to {to}");
        self.flow.run.status = to;
        self.flow.run.paused_from = None;
        self.flow.run.reason = None;
    }

    pub(super) fn set_step(&mut self, at: usize, by: StepMove, to: StepStatus, reason: Option<StatusReason>) {
        let step = &mut self.flow.steps[at];
        debug_assert!(by.row().allows(&step.status, &to), "{by} leads nowhere from {} to {to}", step.status);
        step.status = to;
        step.reason = reason;
    }

    pub(super) fn enqueue(&mut self, job: Job, priority: Priority, event: Event) {
        self.events.push(event.with_job(job.clone()));
        self.enqueue.push(Enqueue { job, priority });
    }

    /// Queues the execution of a step; the run is running from now on.
    pub(super) fn queue_step(
        &mut self,
        at: usize,
        by: StepMove,
        depth: u32,
        priority: Priority,
        event: Event,
    ) {
        self.set_step(at, by, StepStatus::Running, None);
        let step = &mut self.flow.steps[at];
        step.live = Some(LiveJob::Execute);
        step.runtime.awaits = None;
        step.runtime.fired_triggers.clear();
        step.runtime.inline_trigger_depth = depth;
        let job = Job::ExecuteStep { step_run_id: step.id };
        self.enqueue(job, priority, event);
        self.go_on();
    }

    /// Queues the QA of a step that rests in `needs_qa`.
    pub(super) fn queue_qa(&mut self, at: usize, source: Source, priority: Priority) {
        let event = self.step_event(EventKind::QaEnqueued, at).with("source", source.as_str());
        let step = &mut self.flow.steps[at];
        step.live = Some(LiveJob::Quality);
        step.runtime.awaits = None;
        let job = Job::CheckQuality { step_run_id: step.id };
        self.enqueue(job, priority, event);
    }

    pub(super) fn queue_plan(&mut self, priority: Priority) {
        let job = Job::PlanProtocol { protocol_run_id: self.flow.run.id };
        self.flow.run.live_plan = true;
        self.enqueue(job, priority, Event::run(EventKind::PlanningEnqueued));
    }

    /// Queues the push, unless one is live; until it is done the run is not complete.
    pub(super) fn queue_push(&mut self, priority: Priority, error: Option<&String>) {
        if !self.flow.run.live_push {
            let job = Job::OpenPullRequest { protocol_run_id: self.flow.run.id };
            self.flow.run.live_push = true;
            self.enqueue(job, priority, Event::run(EventKind::OpenPrEnqueued).with_some("error", error));
        }
    }

    /// Steps are being worked on. A run that was blocked for its push tries that again too, so that
    /// it cannot complete with commits that never left the machine.
    pub(super) fn go_on(&mut self) {
        if self.blocked_for(ReasonCode::PushFailed) {
            self.queue_push(Priority::Automatic, None);
        }
        self.set_run(RunMove::StepQueued, ProtocolStatus::Running, None);
    }

    /// Cancels the live job of a step, so that its result can no longer be written.
    pub(super) fn cancel_live(&mut self, at: usize) {
        let step = &mut self.flow.steps[at];
        match step.live.take() {
            Some(LiveJob::Execute) => self.cancel.push(Job::ExecuteStep { step_run_id: step.id }),
            Some(LiveJob::Quality) => self.cancel.push(Job::CheckQuality { step_run_id: step.id }),
            None => {}
        }
    }

    /// Cancels a job of the run itself.
    pub(super) fn cancel_job(&mut self, job: Job) {
        self.cancel.push(job);
    }

    /// Cancels everything that is live and settles the steps that the move allows.
    pub(super) fn settle_everything(&mut self, by: StepMove) {
        for at in 0..self.flow.steps.len() {
            self.cancel_live(at);
            let step = &mut self.flow.steps[at];
            step.runtime.awaits = None;
            if by.row().from.contains(&step.status) {
                self.set_step(at, by, StepStatus::Cancelled, None);
            }
        }
        let protocol_run_id = self.flow.run.id;
        if std::mem::take(&mut self.flow.run.live_plan) {
            self.cancel.push(Job::PlanProtocol { protocol_run_id });
        }
        if std::mem::take(&mut self.flow.run.live_push) {
            self.cancel.push(Job::OpenPullRequest { protocol_run_id });
        }
    }

    // Where the run stands after a step was settled or a cause is gone.

    /// Leaves `blocked` if it was blocked for this cause; what else may hold the run is
    /// `settle`'s matter.
    pub(super) fn cause_gone(&mut self, by: RunMove, code: ReasonCode) -> bool {
        let gone = self.blocked_for(code);
        if gone {
            self.set_run(by, ProtocolStatus::Running, None);
        }
        gone
    }

    /// Judges the run anew by its steps (row `step_done`).
    pub(super) fn settle(&mut self) {
        if !self.may(RunMove::StepDone) {
            return;
        }
        if self.all_settled() {
            self.complete_or_wait();
            return;
        }
        let blocked = self.standing() == ProtocolStatus::Blocked;
        if blocked && !self.was_blocked_by_a_step() {
            return;
        }
        let obstacle = self
            .flow
            .steps
            .iter()
            .find(|step| matches!(step.status, StepStatus::Failed | StepStatus::Blocked));
        match obstacle {
            Some(step) if self.active().is_none() && !self.flow.steps.iter().any(Self::awaits_trigger) => {
                let reason = step.reason.clone().unwrap_or_else(|| {
                    StatusReason::new(
                        ReasonCode::StepFailed,
                        format!("step {} is {}; run, retry or approve it", step.name, step.status),
                    )
                });
                self.set_run(RunMove::StepDone, ProtocolStatus::Blocked, Some(reason));
            }
            Some(_) if blocked => {}
            Some(_) | None => self.set_run(RunMove::StepDone, ProtocolStatus::Running, None),
        }
    }

    /// All steps are settled: complete, or wait for the pause, push or PR/MR that stands before it.
    pub(super) fn complete_or_wait(&mut self) {
        if self.blocked_for(ReasonCode::PushFailed) {
            return;
        }
        let waits = (self.flow.run.pr_state == Some(PullRequestState::Open)).then(|| {
            let message = "all steps are done; merge or close the pull request to end the run";
            StatusReason::new(ReasonCode::WaitingForMerge, message)
        });
        self.set_run(RunMove::StepDone, ProtocolStatus::Running, waits);
        self.complete();
    }

    /// Completes the run if nothing stands before it; else changes nothing.
    pub(super) fn complete(&mut self) {
        let run = &self.flow.run;
        let open = run.pr_state == Some(PullRequestState::Open);
        if self.all_settled() && !open && !run.live_push && !self.is_paused() {
            self.set_run(RunMove::StepDone, ProtocolStatus::Completed, None);
            self.events.push(Event::run(EventKind::ProtocolCompleted).with("by", "steps"));
        }
    }

    /// The cause of `blocked` lies in a step, not in the run itself (a push, a PR/MR, CI of a
    /// completed step, planning).
    fn was_blocked_by_a_step(&self) -> bool {
        let a_step = self
            .before
            .steps
            .iter()
            .any(|step| matches!(step.status, StepStatus::Failed | StepStatus::Blocked));
        a_step && !self.blocked_for(ReasonCode::PushFailed) && !self.blocked_for(ReasonCode::PrClosed)
    }

    /// Blocks a running run; one that is blocked already keeps the reason it has.
    pub(super) fn block(&mut self, by: RunMove, reason: StatusReason) {
        if self.may(by) {
            self.set_run(by, ProtocolStatus::Blocked, Some(reason));
        }
    }

    /// Whether a step waits for a trigger's job.
    pub(super) fn awaits_trigger(step: &StepFlow) -> bool {
        step.status == StepStatus::Pending && step.runtime.awaits == Some(Awaits::Trigger)
    }
}
