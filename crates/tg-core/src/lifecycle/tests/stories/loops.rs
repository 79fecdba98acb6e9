//! Loop policies.

use serde_json::json;

use super::super::{super::*, simulator::*};
use crate::{
    event::EventKind,
    job::ErrorCategory,
    spec::Policy,
    status::{ProtocolStatus, ReasonCode},
    step::StepStatus,
};

/// A run whose step `at` is about to be judged and has these policies.
fn unjudged(at: usize, auto_advance: bool, policies: Vec<Policy>) -> World {
    use StepStatus::{Completed, NeedsQa, Pending};
    let steps: Vec<_> = (0..4)
        .map(|step| match step.cmp(&at) {
            std::cmp::Ordering::Less => Completed,
            std::cmp::Ordering::Equal => NeedsQa,
            std::cmp::Ordering::Greater => Pending,
        })
        .collect();
    let mut flow = flow(ProtocolStatus::Running, &steps);
    flow.run.auto_advance = auto_advance;
    flow.steps[at].policies = policies;
    flow.steps[at].live = Some(LiveJob::Quality);
    World::new(flow)
}

#[test]
fn a_fail_goes_one_step_back_and_starts_there_by_itself() {
    let mut world = unjudged(1, true, vec![looping("again")]);
    let decision = world.ok(&judged(id(1), false));
    assert_eq!(world.run(), ProtocolStatus::Running);
    assert_eq!(
        world.steps(),
        [StepStatus::Running, StepStatus::Pending, StepStatus::Pending, StepStatus::Pending]
    );
    assert_eq!(world.due(), ["execute_step_job"]);
    let told: Vec<_> = decision.events.iter().map(|event| event.kind).collect();
    let mut expected = vec![EventKind::QaFailed, EventKind::LoopDecision];
    expected.extend([EventKind::StepReset; 4]);
    expected.push(EventKind::StepEnqueued);
    assert_eq!(told, expected);
    let facts = &decision.events[1].metadata;
    assert_eq!(facts["steps_reset"], json!([0, 1, 2, 3]));
    assert_eq!((&facts["target_step_index"], &facts["iterations"]), (&json!(0), &json!(1)));
    assert_eq!((&facts["max_iterations"], &facts["reason"]), (&json!(3), &json!("qa_failed")));
    assert_eq!(facts["runtime_state"]["loop_counts"], json!({"again": 1}));
    assert_eq!(world.flow.steps[1].retries, 0);
    assert_eq!(decision.events.last().unwrap().metadata["source"], "loop");
}

#[test]
fn without_auto_advance_the_reset_steps_wait() {
    let mut world = unjudged(1, false, vec![looping("again")]);
    world.ok(&judged(id(1), false));
    assert_eq!((world.run(), world.due().len()), (ProtocolStatus::Running, 0));
    assert_eq!(world.steps(), [StepStatus::Pending; 4]);
}

#[test]
fn a_loop_ends_at_its_limit_and_then_blocks() {
    let policy = Policy { max_iterations: Some(2), ..looping("again") };
    let mut world = unjudged(0, true, vec![policy]);
    for _ in 0..2 {
        world.ok(&judged(id(0), false));
        assert_eq!(world.run(), ProtocolStatus::Running);
        world.ok(&executed(id(0), Executed::NeedsQa));
    }
    world.told();
    world.ok(&judged(id(0), false));
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::QaFailed)));
    assert_eq!(world.told(), [EventKind::QaFailed, EventKind::LoopLimitReached]);
}

#[test]
fn conditions_decide_which_reasons_loop() {
    for (condition, conditions, loops) in [
        (Some(json!(" QA_Failed ")), None, true),
        (None, Some(json!([{"on": ["exec_failed", "qa_failed"]}])), true),
        (Some(json!({"when": {"name": "qa_failed"}})), None, true),
        (Some(json!("exec_failed")), None, false),
        (None, Some(json!(["ci_failed", {"other": "qa_failed"}])), false),
        (Some(json!(7)), None, true),
        (Some(json!("  ")), None, true),
    ] {
        let policy =
            Policy { condition: condition.clone(), conditions: conditions.clone(), ..looping("again") };
        let mut world = unjudged(1, false, vec![policy]);
        world.ok(&judged(id(1), false));
        let told = world.told();
        assert_eq!(told.contains(&EventKind::LoopDecision), loops, "{condition:?} {conditions:?}");
        assert_eq!(told.contains(&EventKind::LoopConditionSkipped), !loops);
        assert_eq!(world.run(), if loops { ProtocolStatus::Running } else { ProtocolStatus::Blocked });
    }
}

#[test]
fn an_execution_failure_arrives_as_exec_failed() {
    let only_exec = Policy { condition: Some(json!("exec_failed")), ..looping("again") };
    let mut world = unjudged(1, false, vec![only_exec]);
    world.flow.steps[1].status = StepStatus::Running;
    let job = Job::ExecuteStep { step_run_id: id(1) };
    let decision = world.ok(&Signal::GaveUp { job, failure: failure(ErrorCategory::Codex, None) });
    let told: Vec<_> = decision.events.iter().map(|event| event.kind).collect();
    assert_eq!(told[..3], [EventKind::StepExecutionFailed, EventKind::JobFailed, EventKind::LoopDecision]);
    assert_eq!(world.run(), ProtocolStatus::Running);
}

#[test]
fn where_a_loop_goes_back_to() {
    let named = |id: &str| Policy { target_step: Some(id.to_owned()), ..looping("again") };
    let back = |steps: i64| Policy { step_back: Some(steps), ..looping("again") };
    let skipping = Policy { skip_steps: vec![1], skip_agents: vec!["s3".to_owned()], ..looping("again") };
    for (policy, target, reset) in [
        (named("s1"), 1, vec![1, 2, 3]),
        (named("s3"), 2, vec![2, 3]),
        (back(2), 0, vec![0, 1, 2, 3]),
        (back(99), 0, vec![0, 1, 2, 3]),
        (back(0), 1, vec![1, 2, 3]),
        (back(-4), 1, vec![1, 2, 3]),
        (skipping, 0, vec![0, 2]),
        (Policy { target_step: Some("s1".to_owned()), ..back(2) }, 1, vec![1, 2, 3]),
    ] {
        let mut world = unjudged(2, false, vec![policy.clone()]);
        let decision = world.ok(&judged(id(2), false));
        assert_eq!(decision.events[1].metadata["target_step_index"], json!(target), "{policy:?}");
        assert_eq!(decision.events[1].metadata["steps_reset"], json!(reset), "{policy:?}");
    }
    for nowhere in [named("gone"), Policy { skip_steps: vec![0, 1, 2, 3], ..looping("again") }] {
        let mut world = unjudged(2, false, vec![nowhere]);
        world.ok(&judged(id(2), false));
        assert_eq!(world.run(), ProtocolStatus::Blocked);
        assert_eq!(world.told(), [EventKind::QaFailed, EventKind::LoopConditionSkipped]);
    }
}

#[test]
fn a_loop_beside_an_older_failure_leaves_the_run_blocked() {
    let mut world =
        unjudged(1, true, vec![Policy { target_step: Some("s1".to_owned()), ..looping("again") }]);
    world.flow.steps[0].status = StepStatus::Failed;
    world.flow.steps[0].reason = Some(why(ReasonCode::StepFailed));
    world.ok(&judged(id(1), false));
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::StepFailed)));
    assert_eq!(world.steps()[1], StepStatus::Pending);
}

#[test]
fn the_first_loop_that_covers_the_reason_wins() {
    let mut other = looping("first");
    other.condition = Some(json!("ci_failed"));
    let mut world = unjudged(1, false, vec![other, looping("second"), looping("third")]);
    world.ok(&judged(id(1), false));
    let counts = &world.flow.steps[1].runtime.loop_counts;
    assert_eq!(counts.iter().collect::<Vec<_>>(), [(&"second".to_owned(), &1)]);
}

#[test]
fn a_reset_step_at_work_is_cancelled_and_cancelled_steps_stay() {
    let mut world = unjudged(1, false, vec![looping("again")]);
    world.flow.run.head_sha = Some("sha".to_owned());
    world.flow.steps[1].live = None;
    world.flow.steps[2].status = StepStatus::Running;
    world.flow.steps[2].live = Some(LiveJob::Execute);
    world.flow.steps[3].status = StepStatus::Cancelled;
    world.jobs = vec![Job::ExecuteStep { step_run_id: id(2) }];
    let red = Signal::CiRed { sha: "sha".to_owned(), step: Some(id(1)), detail: serde_json::Map::new() };
    let decision = world.ok(&red);
    assert_eq!(decision.cancel, [Job::ExecuteStep { step_run_id: id(2) }]);
    assert_eq!(world.steps()[..3], [StepStatus::Pending; 3]);
    assert_eq!(world.steps()[3], StepStatus::Cancelled);
}

#[test]
fn a_directive_loops_only_where_a_loop_listens() {
    let directive = Signal::Directive { step: id(1), reason: PolicyReason::DirectiveLoop };
    let listening = Policy { condition: Some(json!("directive:loop")), ..looping("again") };
    let mut world = unjudged(1, true, vec![listening]);
    world.ok(&judged(id(1), true));
    world.jobs.clear();
    world.flow.steps[2].live = None;
    world.flow.steps[2].status = StepStatus::Pending;
    world.ok(&directive);
    assert_eq!(world.steps()[..2], [StepStatus::Running, StepStatus::Pending]);
    let mut world = unjudged(1, true, Vec::new());
    world.ok(&judged(id(1), true));
    assert!(world.ok(&directive).steps.is_empty());
}

#[test]
fn a_loop_while_paused_resets_and_queues_at_resume() {
    let mut world = unjudged(1, true, vec![looping("again")]);
    world.ok(&Signal::Pause { reason: None });
    world.ok(&judged(id(1), false));
    assert_eq!((world.steps(), world.jobs.len()), (vec![StepStatus::Pending; 4], 0));
    assert_eq!(world.flow.run.paused_from, Some(ProtocolStatus::Running));
    world.ok(&Signal::Resume { reason: None });
    assert_eq!(world.due(), ["execute_step_job"]);
}
