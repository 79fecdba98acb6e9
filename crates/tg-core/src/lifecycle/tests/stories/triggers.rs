//! Trigger policies.

use serde_json::json;

use super::super::{super::*, simulator::*};
use crate::{
    event::EventKind,
    job::{ErrorCategory, Priority},
    spec::Policy,
    status::{ProtocolStatus, ReasonCode},
    step::StepStatus,
};

/// A running run whose step 0 is at work and has these policies; nothing walks by itself.
fn at_work(policies: Vec<Policy>) -> World {
    let mut world = World::of(4, false);
    world.flow.steps[0].policies = policies;
    world.ok(&Signal::RunStep { step: id(0), source: Source::Api });
    world.told();
    world
}

fn on(condition: &str, target: &str) -> Policy {
    Policy { condition: Some(json!(condition)), ..trigger(condition, target) }
}

#[test]
fn a_pass_starts_the_target_and_nothing_else_meanwhile() {
    let mut world = at_work(vec![trigger("then", "s2")]);
    world.ok(&executed(id(0), Executed::NeedsQa));
    assert!(!world.told().contains(&EventKind::TriggerDecision), "not judged yet");
    world.ok(&Signal::RunQa { step: id(0) });
    world.told();
    let decision = world.ok(&judged(id(0), true));
    assert_eq!(world.told(), [EventKind::QaPassed, EventKind::TriggerDecision, EventKind::TriggerEnqueued]);
    assert_eq!(world.steps()[2], StepStatus::Running);
    assert_eq!(
        decision.enqueue,
        [Enqueue { job: Job::ExecuteStep { step_run_id: id(2) }, priority: Priority::Automatic }]
    );
    let target = &world.flow.steps[2].runtime;
    assert_eq!((target.last_triggered_by, target.inline_trigger_depth), (Some(100), 1));
    assert_eq!(world.flow.steps[0].runtime.last_action.as_deref(), Some("trigger"));
    assert_eq!(world.send(&Signal::RunNext), Err(Refused::StepAlreadyActive { active: id(2) }));
}

#[test]
fn light_qa_fires_once_and_each_way_to_complete_fires() {
    for signal in [executed(id(0), Executed::LightPass), executed(id(0), Executed::Unjudged)] {
        let mut world = at_work(vec![trigger("then", "s2")]);
        world.ok(&signal);
        let fired = world.told().iter().filter(|kind| **kind == EventKind::TriggerDecision).count();
        assert_eq!((fired, world.due()), (1, vec!["execute_step_job"]));
    }
    let mut world = at_work(vec![on("exec_completed", "s1"), on("qa_passed", "s2")]);
    world.ok(&executed(id(0), Executed::LightPass));
    assert_eq!(world.steps()[1..3], [StepStatus::Running, StepStatus::Pending]);
    let mut world = World::of(2, false);
    world.flow.steps[0].policies = vec![trigger("then", "s1")];
    world.ok(&Signal::Approve { step: id(0), note: None });
    assert_eq!((world.run(), world.steps()[1]), (ProtocolStatus::Running, StepStatus::Running));
}

#[test]
fn a_failure_fires_only_what_asks_for_it_and_keeps_the_run_going() {
    let failed = Signal::GaveUp {
        job: Job::ExecuteStep { step_run_id: id(0) },
        failure: failure(ErrorCategory::Codex, None),
    };
    let mut world = at_work(vec![trigger("then", "s1"), on("exec_failed", "s2")]);
    world.ok(&failed);
    assert_eq!((world.run(), world.steps()[2]), (ProtocolStatus::Running, StepStatus::Running));
    world.ok(&executed(id(2), Executed::Unjudged));
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::StepFailed)));
    let mut world = at_work(vec![trigger("then", "s1"), on("qa_failed", "s2")]);
    world.ok(&failed);
    assert_eq!(world.run(), ProtocolStatus::Blocked);
    assert_eq!(
        world.told(),
        [EventKind::StepExecutionFailed, EventKind::JobFailed, EventKind::TriggerConditionSkipped]
    );
    let mut world = at_work(vec![on("exec_failed", "s2"), looping("again")]);
    world.ok(&failed);
    assert!(!world.told().contains(&EventKind::TriggerDecision), "loops come first");
}

#[test]
fn targets_are_found_by_spec_id_then_by_name() {
    let mut world = at_work(vec![trigger("gone", "nowhere"), trigger("then", "check")]);
    world.ok(&executed(id(0), Executed::Unjudged));
    assert_eq!(world.steps()[2], StepStatus::Running, "02-check.md");
    assert!(world.told().contains(&EventKind::TriggerMissingTarget));
    let second_choice =
        Policy { trigger_agent_id: None, target_agent_id: Some("s3".to_owned()), ..trigger("t", "") };
    let mut world = at_work(vec![second_choice]);
    world.ok(&executed(id(0), Executed::Unjudged));
    assert_eq!(world.steps()[3], StepStatus::Running);
}

#[test]
fn a_done_or_working_target_is_skipped() {
    for status in [StepStatus::Completed, StepStatus::Cancelled, StepStatus::Running] {
        let mut world = at_work(vec![trigger("then", "s1")]);
        world.flow.steps[1].status = status;
        let decision = world.ok(&executed(id(0), Executed::Unjudged));
        let skipped = decision.events.iter().find(|event| event.kind == EventKind::TriggerSkipped).unwrap();
        assert_eq!(skipped.metadata["target_status"], status.as_str());
        assert!(decision.enqueue.is_empty());
    }
    let mut world = at_work(vec![on("exec_failed", "s0")]);
    let job = Job::ExecuteStep { step_run_id: id(0) };
    world.ok(&Signal::GaveUp { job, failure: failure(ErrorCategory::Codex, None) });
    assert_eq!(world.run(), ProtocolStatus::Blocked, "a step never triggers itself");
}

#[test]
fn a_chain_of_triggers_ends_at_its_depth() {
    let mut world = at_work(vec![trigger("a", "s1")]);
    world.flow.steps[1].policies = vec![trigger("b", "s2")];
    world.flow.steps[2].policies = vec![trigger("c", "s3")];
    for step in 0..3 {
        world.ok(&executed(id(step), Executed::Unjudged));
    }
    assert_eq!(world.steps()[3], StepStatus::Pending);
    assert!(world.told().contains(&EventKind::TriggerInlineDepthExceeded));
    world.ok(&Signal::RunStep { step: id(3), source: Source::Api });
    assert_eq!(world.flow.steps[3].runtime.inline_trigger_depth, 0, "a person starts at depth 0");
}

#[test]
fn a_second_target_and_a_paused_run_wait_their_turn() {
    let mut world = at_work(vec![trigger("a", "s2"), trigger("b", "s3")]);
    world.ok(&executed(id(0), Executed::Unjudged));
    assert_eq!(world.steps()[2..], [StepStatus::Running, StepStatus::Pending]);
    assert!(world.told().contains(&EventKind::TriggerPending));
    world.ok(&executed(id(2), Executed::Unjudged));
    assert_eq!(world.steps()[3], StepStatus::Running);
    assert_eq!(world.flow.steps[3].runtime.inline_trigger_depth, 1);
    assert_eq!(world.flow.steps[3].runtime.awaits, None);

    let mut world = at_work(vec![trigger("a", "s2")]);
    world.flow.steps[2].status = StepStatus::Blocked;
    world.ok(&Signal::Pause { reason: None });
    world.ok(&executed(id(0), Executed::Unjudged));
    assert_eq!((world.steps()[2], world.jobs.len()), (StepStatus::Pending, 0));
    world.ok(&Signal::Resume { reason: None });
    assert_eq!((world.steps()[2], world.due()), (StepStatus::Running, vec!["execute_step_job"]));
    assert_eq!(world.told().last(), Some(&EventKind::TriggerEnqueued));
}

#[test]
fn an_entry_fires_once_per_attempt() {
    let both = Policy { conditions: Some(json!(["qa_failed", "qa_passed"])), ..trigger("t", "s1") };
    let mut world = at_work(vec![both]);
    world.ok(&executed(id(0), Executed::LightFail));
    assert_eq!(world.steps()[1], StepStatus::Running);
    world.ok(&executed(id(1), Executed::LightFail));
    world.told();
    world.ok(&Signal::Approve { step: id(0), note: None });
    assert!(!world.told().contains(&EventKind::TriggerDecision), "it fired when the same attempt failed");
}

#[test]
fn a_new_attempt_fires_again() {
    let mut world = at_work(vec![on("qa_failed", "s1")]);
    for _ in 0..2 {
        world.ok(&executed(id(0), Executed::LightFail));
        assert_eq!(world.steps()[1], StepStatus::Running);
        world.ok(&executed(id(1), Executed::LightFail));
        world.ok(&Signal::RunStep { step: id(0), source: Source::Api });
    }
}

#[test]
fn every_target_of_a_failure_gets_its_turn_before_the_run_is_blocked() {
    let mut world = at_work(vec![on("exec_failed", "s2"), on("exec_failed", "s3")]);
    let job = Job::ExecuteStep { step_run_id: id(0) };
    world.ok(&Signal::GaveUp { job, failure: failure(ErrorCategory::Codex, None) });
    world.ok(&executed(id(2), Executed::Unjudged));
    assert_eq!((world.run(), world.steps()[3]), (ProtocolStatus::Running, StepStatus::Running));
    world.ok(&executed(id(3), Executed::Unjudged));
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::StepFailed)));
}

#[test]
fn a_directive_fires_what_listens_to_it() {
    let mut world = at_work(vec![trigger("then", "s1"), on("directive:trigger", "s2")]);
    world.flow.steps[1].status = StepStatus::Cancelled;
    world.ok(&executed(id(0), Executed::Unjudged));
    world.ok(&Signal::Directive { step: id(0), reason: PolicyReason::DirectiveTrigger });
    assert_eq!(world.steps()[2], StepStatus::Running);
}
