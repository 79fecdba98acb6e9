//! Loop, trigger and the walk to the next job, after a step ended.
//!
//! Nothing here judges a step; it only says what is queued, reset or left alone because of it.

use serde_json::{Value, json};

use super::{Awaits, PolicyReason, Source, StepFlow, draft::Draft};
use crate::{
    event::{Event, EventKind},
    job::Priority,
    spec::Policy,
    status::{ProtocolStatus, RunMove, StatusReason},
    step::{StepMove, StepStatus},
};

/// Depth at which a chain of triggers ends.
pub const MAX_INLINE_TRIGGER_DEPTH: u32 = 3;

impl Draft<'_> {
    /// A step failed: loops first, then triggers, else the run is blocked.
    pub(super) fn fail_step(&mut self, at: usize, by: StepMove, reason: StatusReason, why: PolicyReason) {
        self.set_step(at, by, StepStatus::Failed, Some(reason.clone()));
        if self.try_loops(at, why) {
            self.walk_after_loop();
        } else if self.fire_triggers(at, &[why]) {
            // A trigger that could not be queued at once still keeps the run going.
            if self.standing() != ProtocolStatus::Running {
                self.go_on();
            }
        } else {
            self.block(RunMove::StepFailed, reason);
        }
    }

    /// The lowest reset step is queued, unless an older failure outside the loop stops the walk.
    pub(super) fn walk_after_loop(&mut self) {
        self.walk(Source::Loop);
        self.settle();
    }

    /// A step is complete: triggers, then the run itself, then the next job.
    pub(super) fn complete_step(&mut self, at: usize, by: StepMove, reasons: &[PolicyReason]) {
        self.set_step(at, by, StepStatus::Completed, None);
        self.fire_triggers(at, reasons);
        self.settle();
        self.walk(Source::AutoAdvance);
    }

    /// Queues what comes next, if anything may: exactly one job at a time, none while the run is
    /// paused, blocked or over. Calling it again changes nothing.
    pub(super) fn walk(&mut self, source: Source) {
        match self.flow.run.status {
            ProtocolStatus::Planning if !self.flow.run.live_plan => self.queue_plan(Priority::Automatic),
            ProtocolStatus::Planned | ProtocolStatus::Running => self.walk_steps(source),
            ProtocolStatus::Planning
            | ProtocolStatus::Pending
            | ProtocolStatus::Paused
            | ProtocolStatus::Blocked
            | ProtocolStatus::Failed
            | ProtocolStatus::Cancelled
            | ProtocolStatus::Completed => {}
        }
    }

    fn walk_steps(&mut self, source: Source) {
        if self.active().is_some() {
            return;
        }
        if self.all_settled() {
            self.complete();
            return;
        }
        let (auto_advance, auto_qa) = (self.flow.run.auto_advance, self.flow.run.auto_qa_after_exec);
        let first = |wanted: fn(&StepFlow) -> bool| self.flow.steps.iter().position(wanted);
        let unjudged = first(|step| step.status == StepStatus::NeedsQa).filter(|_| auto_advance || auto_qa);
        let triggered = first(Self::awaits_trigger);
        let next = first(|step| !step.status.is_settled())
            .filter(|&at| auto_advance && self.flow.steps[at].status == StepStatus::Pending);
        if let Some(at) = unjudged {
            self.queue_qa(at, source, Priority::Automatic);
        } else if let Some(at) = triggered {
            self.queue_triggered(at);
        } else if let Some(at) = next {
            let event = self.step_event(EventKind::StepEnqueued, at).with("source", source.as_str());
            self.queue_step(at, StepMove::Run, 0, Priority::Automatic, event);
        }
    }

    /// The first loop that covers the reason and has rounds left resets its steps.
    pub(super) fn try_loops(&mut self, at: usize, why: PolicyReason) -> bool {
        let may_loop = match why {
            PolicyReason::ExecFailed
            | PolicyReason::QaFailed
            | PolicyReason::CiFailed
            | PolicyReason::DirectiveLoop => true,
            PolicyReason::ExecCompleted | PolicyReason::QaPassed | PolicyReason::DirectiveTrigger => false,
        };
        if !may_loop || !self.may(RunMove::StepQueued) {
            return false;
        }
        for policy in self.flow.steps[at].policies.clone() {
            if policy.behavior != "loop" {
                continue;
            }
            let tokens = condition_tokens(&policy);
            let round = self.flow.steps[at].runtime.loop_counts.get(&policy.module_id).copied().unwrap_or(0);
            let limit = policy.max_iterations.unwrap_or(self.flow.run.max_loop_iterations);
            let event =
                |kind| self.step_event(kind, at).with("policy", json!(policy)).with("reason", why.as_str());
            if !tokens.is_empty() && !tokens.iter().any(|token| token == why.as_str()) {
                let event = event(EventKind::LoopConditionSkipped).with("conditions", tokens);
                self.events.push(event);
            } else if round >= limit {
                let event = event(EventKind::LoopLimitReached)
                    .with("iterations", round)
                    .with("max_iterations", limit);
                self.events.push(event);
            } else if let Some(target) = self.loop_target(at, &policy) {
                self.loop_back(at, &policy, target, round + 1, limit, why);
                return true;
            } else {
                // Its target is unknown, or it leaves its own step alone.
                let event = event(EventKind::LoopConditionSkipped).with("conditions", tokens);
                self.events.push(event);
            }
        }
        false
    }

    /// Index a loop goes back to; `None` if it names an unknown step or leaves its own step alone:
    /// what failed would stay failed, so nothing would be repeated.
    fn loop_target(&self, at: usize, policy: &Policy) -> Option<i64> {
        let own = &self.flow.steps[at];
        let mut target = match &policy.target_step {
            Some(id) => self.flow.steps.iter().find(|step| step.spec_id == *id)?.index.min(own.index),
            None => own.index - policy.step_back.filter(|&back| back > 0).unwrap_or(1),
        }
        .max(0);
        while target > 0
            && self.flow.steps.iter().any(|step| step.index == target && leaves_alone(policy, step))
        {
            target -= 1;
        }
        (!leaves_alone(policy, own)).then_some(target)
    }

    fn loop_back(
        &mut self,
        at: usize,
        policy: &Policy,
        target: i64,
        round: u32,
        limit: u32,
        why: PolicyReason,
    ) {
        let mut reset = Vec::new();
        let mut resets_events = Vec::new();
        for other in 0..self.flow.steps.len() {
            if !resets(policy, &self.flow.steps[other], target) {
                continue;
            }
            let event = self
                .step_event(EventKind::StepReset, other)
                .with("module_id", policy.module_id.clone())
                .with("from", self.flow.steps[other].status.as_str());
            resets_events.push(event);
            reset.push(self.flow.steps[other].index);
            self.cancel_live(other);
            self.set_step(other, StepMove::LoopReset, StepStatus::Pending, None);
            self.flow.steps[other].runtime.awaits = None;
        }
        let runtime = &mut self.flow.steps[at].runtime;
        runtime.loop_counts.insert(policy.module_id.clone(), round);
        runtime.last_action = Some("loop".to_owned());
        runtime.last_policy_module_id = Some(policy.module_id.clone());
        runtime.last_target_step_index = Some(target);
        let event = self
            .step_event(EventKind::LoopDecision, at)
            .with("policy", json!(policy))
            .with("runtime_state", json!(self.flow.steps[at].runtime))
            .with("target_step_index", target)
            .with("steps_reset", reset)
            .with("iterations", round)
            .with("max_iterations", limit)
            .with("reason", why.as_str());
        self.events.push(event);
        self.events.append(&mut resets_events);
        self.go_on();
    }

    /// Fires every trigger of the step that the reasons call for, each at most once per attempt.
    /// Says whether any applied.
    pub(super) fn fire_triggers(&mut self, at: usize, reasons: &[PolicyReason]) -> bool {
        let mut applied = false;
        for (position, policy) in self.flow.steps[at].policies.clone().iter().enumerate() {
            if policy.behavior != "trigger" || self.flow.steps[at].runtime.fired_triggers.contains(&position)
            {
                continue;
            }
            let tokens = condition_tokens(policy);
            let covered = reasons.iter().copied().find(|why| {
                if tokens.is_empty() {
                    completes(*why)
                } else {
                    tokens.iter().any(|token| token == why.as_str())
                }
            });
            if let Some(why) = covered {
                applied |= self.fire_trigger(at, position, policy, why);
            } else if !tokens.is_empty() {
                let event = self
                    .step_event(EventKind::TriggerConditionSkipped, at)
                    .with("policy", json!(policy))
                    .with("reason", reasons.first().map_or("", |why| why.as_str()))
                    .with("conditions", tokens);
                self.events.push(event);
            }
        }
        applied
    }

    fn fire_trigger(&mut self, at: usize, position: usize, policy: &Policy, why: PolicyReason) -> bool {
        let source = &self.flow.steps[at];
        let (source_id, depth) = (source.id, source.runtime.inline_trigger_depth + 1);
        let event =
            |kind| self.step_event(kind, at).with("policy", json!(policy)).with("reason", why.as_str());
        let named = policy.trigger_agent_id.as_ref().or(policy.target_agent_id.as_ref());
        let Some(to) = named.and_then(|id| self.find_by_spec_id(id)) else {
            let event = event(EventKind::TriggerMissingTarget);
            self.events.push(event);
            return false;
        };
        let target = &self.flow.steps[to];
        let event =
            |kind| event(kind).with("target_step_index", target.index).with("target_step_id", target.id.0);
        let legal = StepMove::Trigger.row().from.contains(&target.status);
        if to == at || target.live.is_some() || !legal {
            let event = event(EventKind::TriggerSkipped).with("target_status", target.status.as_str());
            self.events.push(event);
            return false;
        }
        if depth >= MAX_INLINE_TRIGGER_DEPTH {
            let event = self.trigger_event(EventKind::TriggerInlineDepthExceeded, to, source_id.0, depth);
            self.events.push(event);
            return false;
        }
        let decision = event(EventKind::TriggerDecision).with("inline_depth", depth);
        let index = target.index;
        self.events.push(decision);
        let runtime = &mut self.flow.steps[at].runtime;
        runtime.fired_triggers.push(position);
        runtime.last_action = Some("trigger".to_owned());
        runtime.last_policy_module_id = Some(policy.module_id.clone());
        runtime.last_target_step_index = Some(index);
        let runtime = &mut self.flow.steps[to].runtime;
        runtime.last_triggered_by = Some(source_id.0);
        runtime.inline_trigger_depth = depth;
        let may_queue = RunMove::StepQueued.row().from.contains(&self.flow.run.status);
        if may_queue && self.active().is_none() {
            self.queue_triggered(to);
        } else {
            self.set_step(to, StepMove::Trigger, StepStatus::Pending, None);
            self.flow.steps[to].runtime.awaits = Some(Awaits::Trigger);
            let event = self.trigger_event(EventKind::TriggerPending, to, source_id.0, depth);
            self.events.push(event);
        }
        true
    }

    /// Queues the target of a trigger with the depth it was given.
    fn queue_triggered(&mut self, to: usize) {
        let runtime = &self.flow.steps[to].runtime;
        let (source, depth) = (runtime.last_triggered_by.unwrap_or_default(), runtime.inline_trigger_depth);
        let event = self.trigger_event(EventKind::TriggerEnqueued, to, source, depth);
        self.queue_step(to, StepMove::Trigger, depth, Priority::Automatic, event);
    }

    fn trigger_event(&self, kind: EventKind, to: usize, source: i64, depth: u32) -> Event {
        self.step_event(kind, to)
            .with("target_step_id", self.flow.steps[to].id.0)
            .with("source", source)
            .with("inline_depth", depth)
    }

    fn find_by_spec_id(&self, id: &str) -> Option<usize> {
        let steps = &self.flow.steps;
        steps
            .iter()
            .position(|step| step.spec_id == id)
            .or_else(|| steps.iter().position(|step| bare_name(&step.name) == id))
    }
}

/// A trigger without conditions fires when its step completes.
const fn completes(why: PolicyReason) -> bool {
    match why {
        PolicyReason::ExecCompleted | PolicyReason::QaPassed => true,
        PolicyReason::ExecFailed
        | PolicyReason::QaFailed
        | PolicyReason::CiFailed
        | PolicyReason::DirectiveLoop
        | PolicyReason::DirectiveTrigger => false,
    }
}

fn leaves_alone(policy: &Policy, step: &StepFlow) -> bool {
    policy.skip_steps.contains(&step.index) || policy.skip_agents.contains(&step.spec_id)
}

fn resets(policy: &Policy, step: &StepFlow, target: i64) -> bool {
    step.index >= target && step.status != StepStatus::Cancelled && !leaves_alone(policy, step)
}

/// A step name without number prefix and extension: `03-verify.md` → `verify`.
fn bare_name(name: &str) -> &str {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    stem.trim_start_matches(|letter: char| letter.is_ascii_digit()).trim_start_matches(['-', '_'])
}

/// Lower-case words of a policy's conditions, through lists and the keys that may hold them.
fn condition_tokens(policy: &Policy) -> Vec<String> {
    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::String(text) => {
                let token = text.trim().to_lowercase();
                if !token.is_empty() {
                    into.push(token);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            Value::Object(fields) => ["on", "reason", "event", "when", "name"]
                .iter()
                .filter_map(|key| fields.get(*key))
                .for_each(|item| collect(item, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut tokens = Vec::new();
    for value in policy.condition.iter().chain(&policy.conditions) {
        collect(value, &mut tokens);
    }
    tokens
}
