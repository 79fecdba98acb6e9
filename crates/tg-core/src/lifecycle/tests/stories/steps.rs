//! Run, retry, judge, approve, block, watch.

use super::super::{super::*, simulator::*};
use crate::{
    event::{Event, EventKind},
    job::{ErrorCategory, Priority},
    status::{ProtocolStatus, ReasonCode, RunMove},
    step::{StepMove, StepStatus},
};

/// A running run whose step 0 is at work.
fn at_work(auto_advance: bool) -> World {
    let mut world = World::of(2, auto_advance);
    world.ok(&Signal::RunNext);
    world.told();
    world
}

fn gave_up(category: ErrorCategory, reason: Option<ReasonCode>) -> Signal {
    Signal::GaveUp { job: Job::ExecuteStep { step_run_id: id(0) }, failure: failure(category, reason) }
}

fn qa_gave_up(reason: Option<ReasonCode>) -> Signal {
    Signal::GaveUp {
        job: Job::CheckQuality { step_run_id: id(0) },
        failure: failure(ErrorCategory::Codex, reason),
    }
}

#[test]
fn actions_are_refused_exactly_outside_their_rows_and_name_both_sides() {
    let actions: [(Signal, RunMove, Option<StepMove>); 6] = [
        (Signal::RunStep { step: id(0), source: Source::Api }, RunMove::StepQueued, Some(StepMove::Run)),
        (Signal::RunQa { step: id(0) }, RunMove::StepQueued, Some(StepMove::RunQa)),
        (Signal::Approve { step: id(0), note: None }, RunMove::Approve, Some(StepMove::Approve)),
        (Signal::Pause { reason: None }, RunMove::Pause, None),
        (Signal::Resume { reason: None }, RunMove::Resume, None),
        (Signal::Cancel { reason: None }, RunMove::Cancel, None),
    ];
    for (signal, run_move, step_move) in &actions {
        for status in ProtocolStatus::ALL {
            for step in StepStatus::ALL {
                let mut flow = flow(*status, &[*step]);
                flow.run.paused_from = (*status == ProtocolStatus::Paused).then_some(ProtocolStatus::Running);
                let again = matches!(
                    (signal, status),
                    (Signal::Pause { .. }, ProtocolStatus::Paused)
                        | (Signal::Cancel { .. }, ProtocolStatus::Cancelled)
                );
                let run_legal = again || run_move.row().from.contains(status);
                let step_legal = step_move.is_none_or(|it| it.row().from.contains(step));
                match decide(&flow, signal) {
                    Ok(decision) => {
                        assert!(run_legal && step_legal, "{} from {status}, {step}", signal.name());
                        assert_eq!(decision.events.is_empty(), again);
                    }
                    Err(Refused::IllegalTransition { entity, current, requested, legal_from, .. }) => {
                        assert_eq!(requested, signal.name());
                        let expected = if run_legal {
                            ("step_run", step.as_str())
                        } else {
                            ("protocol_run", status.as_str())
                        };
                        assert_eq!((entity, current), expected);
                        assert!(!legal_from.is_empty() && !legal_from.contains(&current));
                        assert!(!(run_legal && step_legal));
                    }
                    Err(other) => panic!("{} from {status}, {step}: {other}", signal.name()),
                }
            }
        }
    }
}

#[test]
fn run_next_takes_the_lowest_and_retry_the_highest() {
    use StepStatus::{Blocked, Completed, Failed, Pending};
    let mut world = World::new(flow(ProtocolStatus::Blocked, &[Completed, Failed, Pending, Blocked]));
    let decision = world.ok(&Signal::RunNext);
    assert_eq!(
        decision.enqueue[0],
        Enqueue { job: Job::ExecuteStep { step_run_id: id(1) }, priority: Priority::User }
    );
    assert_eq!((world.run(), world.flow.steps[1].retries), (ProtocolStatus::Running, 0));
    assert_eq!(world.told(), [EventKind::StepEnqueued]);
    let mut world = World::new(flow(ProtocolStatus::Blocked, &[Completed, Failed, Pending, Blocked]));
    world.ok(&Signal::RetryLatest);
    assert_eq!(world.flow.steps[3].retries, 1);
    assert_eq!(world.steps()[3], StepStatus::Running);
    assert_eq!(world.told(), [EventKind::StepRetryEnqueued]);
    let mut world = World::new(flow(ProtocolStatus::Running, &[Completed, StepStatus::NeedsQa]));
    assert_eq!(world.send(&Signal::RunNext), Err(Refused::NoStepReady));
    assert_eq!(world.send(&Signal::RetryLatest), Err(Refused::NoStepReady));
    assert_eq!(world.send(&Signal::RunQa { step: StepId(9) }), Err(Refused::UnknownStep { step: StepId(9) }));
}

#[test]
fn one_worktree_has_one_agent() {
    let mut world = at_work(false);
    let active = Err(Refused::StepAlreadyActive { active: id(0) });
    assert_eq!(world.send(&Signal::RunNext), active);
    assert_eq!(world.send(&Signal::RetryLatest), active);
    assert_eq!(world.send(&Signal::RunStep { step: id(1), source: Source::Api }), active);
    assert_eq!(world.send(&Signal::RunQa { step: id(1) }), active);
    world.ok(&executed(id(0), Executed::NeedsQa));
    world.ok(&Signal::RunQa { step: id(0) });
    assert_eq!(world.send(&Signal::RunQa { step: id(0) }), Err(Refused::QaAlreadyQueued { step: id(0) }));
    assert_eq!(world.send(&Signal::RunNext), active, "its QA is at work");
}

#[test]
fn execution_ends_by_the_qa_policy() {
    use EventKind::{QaFailedInline, QaInlineError, QaPassedInline, QaSkippedPolicy, StepCompleted};
    for (outcome, step, run, kinds) in [
        (
            Executed::Unjudged,
            StepStatus::Completed,
            ProtocolStatus::Running,
            vec![StepCompleted, QaSkippedPolicy],
        ),
        (Executed::NeedsQa, StepStatus::NeedsQa, ProtocolStatus::Running, vec![StepCompleted]),
        (
            Executed::LightPass,
            StepStatus::Completed,
            ProtocolStatus::Running,
            vec![StepCompleted, QaPassedInline],
        ),
        (
            Executed::LightFail,
            StepStatus::Failed,
            ProtocolStatus::Blocked,
            vec![StepCompleted, QaFailedInline],
        ),
        (
            Executed::LightError,
            StepStatus::NeedsQa,
            ProtocolStatus::Running,
            vec![StepCompleted, QaInlineError],
        ),
    ] {
        let mut world = at_work(false);
        world.ok(&executed(id(0), outcome));
        assert_eq!((world.steps()[0], world.run()), (step, run));
        assert_eq!(world.told(), kinds);
        assert_eq!(world.flow.steps[0].head_sha.as_deref(), Some("sha-100"));
        assert!(world.due().is_empty(), "nothing goes on without auto_advance");
    }
}

#[test]
fn qa_is_queued_by_the_rule_that_asks_for_it() {
    for (auto_advance, auto_qa, source) in
        [(true, false, "auto_advance"), (false, true, "auto_after_exec"), (true, true, "auto_after_exec")]
    {
        for outcome in [Executed::NeedsQa, Executed::LightError] {
            let mut world = at_work(auto_advance);
            world.flow.run.auto_qa_after_exec = auto_qa;
            let decision = world.ok(&executed(id(0), outcome));
            assert_eq!(world.due(), ["run_quality_job"]);
            assert_eq!(decision.events.last().unwrap().metadata["source"], source);
        }
    }
}

#[test]
fn a_verdict_moves_the_step_and_a_pass_walks_on_only_by_itself() {
    for (auto, due) in [(true, vec!["execute_step_job"]), (false, vec![])] {
        let mut world = at_work(auto);
        world.ok(&executed(id(0), Executed::NeedsQa));
        if !auto {
            world.ok(&Signal::RunQa { step: id(0) });
        }
        world.ok(&judged(id(0), true));
        assert_eq!((world.run(), world.due()), (ProtocolStatus::Running, due));
        assert_eq!(world.flow.steps[0].runtime.qa_verdict.as_deref(), Some("pass"));
    }
    let mut world = at_work(true);
    world.ok(&executed(id(0), Executed::NeedsQa));
    world.ok(&judged(id(0), false));
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::QaFailed)));
    assert_eq!(world.steps(), [StepStatus::Failed, StepStatus::Pending]);
    assert!(world.due().is_empty(), "a failed step stops the walk");
    assert!(world.ok(&Signal::WalkOn { source: Source::Scheduler }).events.is_empty());
}

#[test]
fn a_job_that_gives_up_fails_or_blocks_its_step() {
    use EventKind::{JobFailed, QaError, StepBlocked, StepExecutionFailed};
    for (reason, code, step, kind) in [
        (None, ReasonCode::StepFailed, StepStatus::Failed, StepExecutionFailed),
        (Some(ReasonCode::JobLost), ReasonCode::JobLost, StepStatus::Failed, StepExecutionFailed),
        (
            Some(ReasonCode::EngineUnavailable),
            ReasonCode::EngineUnavailable,
            StepStatus::Blocked,
            StepBlocked,
        ),
        (Some(ReasonCode::RepoMissing), ReasonCode::RepoMissing, StepStatus::Blocked, StepBlocked),
    ] {
        let mut world = at_work(true);
        world.ok(&gave_up(ErrorCategory::Codex, reason));
        assert_eq!(
            (world.run(), world.reason(), world.steps()[0]),
            (ProtocolStatus::Blocked, Some(code), step)
        );
        assert_eq!(world.told(), [kind, JobFailed]);
    }
    for (reason, code) in
        [(None, ReasonCode::QaError), (Some(ReasonCode::EngineUnavailable), ReasonCode::EngineUnavailable)]
    {
        let mut world = at_work(true);
        world.ok(&executed(id(0), Executed::NeedsQa));
        world.told();
        world.ok(&qa_gave_up(reason));
        assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(code)));
        assert_eq!(world.steps()[0], StepStatus::Blocked);
        assert_eq!(world.told(), [QaError, JobFailed]);
        world.ok(&Signal::RunQa { step: id(0) });
        assert_eq!((world.run(), world.steps()[0]), (ProtocolStatus::Running, StepStatus::NeedsQa));
    }
    let mut world = at_work(true);
    let maintenance =
        Signal::GaveUp { job: Job::Maintenance, failure: failure(ErrorCategory::Runtime, None) };
    assert!(world.ok(&maintenance).run.is_none());
    assert_eq!(world.told(), [JobFailed]);
}

#[test]
fn gates_and_broken_specs_stop_the_run() {
    let mut world = at_work(true);
    let event = Event::step(EventKind::PolicyBlocked, id(0));
    world.ok(&Signal::StepBlocked { step: id(0), reason: why(ReasonCode::Policy), event });
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::Policy)));
    assert_eq!(world.steps()[0], StepStatus::Blocked);
    assert_eq!(world.told(), [EventKind::PolicyBlocked]);
    for errors in [vec!["a: no prompt".to_owned(), "a: twice".to_owned()], Vec::new()] {
        let mut world = at_work(true);
        let count = errors.len().max(1);
        world.ok(&Signal::SpecInvalid { step: id(0), errors });
        assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::SpecInvalid)));
        assert_eq!(
            (world.steps()[0], world.told()),
            (StepStatus::Failed, vec![EventKind::SpecValidationError; count])
        );
    }
}

#[test]
fn approval_completes_steps_and_with_the_last_one_the_run() {
    let mut world = at_work(false);
    world.ok(&gave_up(ErrorCategory::Codex, None));
    world.told();
    let decision = world.ok(&Signal::Approve { step: id(1), note: Some("fine".to_owned()) });
    assert_eq!(decision.events[0].metadata["note"], "fine");
    assert_eq!(decision.events[0].metadata["from"], "pending");
    assert_eq!(world.run(), ProtocolStatus::Blocked, "step 0 is still failed");
    world.ok(&Signal::Approve { step: id(0), note: None });
    assert_eq!(world.run(), ProtocolStatus::Completed);
    assert_eq!(
        world.told(),
        [EventKind::ManualApproval, EventKind::ManualApproval, EventKind::ProtocolCompleted]
    );
    // A live QA job is cancelled.
    let mut world = at_work(true);
    world.ok(&executed(id(0), Executed::NeedsQa));
    let decision = world.ok(&Signal::Approve { step: id(0), note: None });
    assert_eq!(decision.cancel, [Job::CheckQuality { step_run_id: id(0) }]);
    assert_eq!(world.due(), ["execute_step_job"], "and the walk goes on");
    // A planned run whose step is done by hand is under way.
    let mut world = World::of(2, false);
    world.ok(&Signal::Approve { step: id(0), note: None });
    assert_eq!(world.run(), ProtocolStatus::Running);
}

#[test]
fn a_blocked_run_goes_on_when_its_cause_is_gone_and_takes_the_next_cause_over() {
    use StepStatus::{Blocked, Failed, Pending};
    let mut world = World::new(flow(ProtocolStatus::Blocked, &[Failed, Blocked, Pending]));
    world.flow.run.auto_advance = true;
    world.flow.run.reason = Some(why(ReasonCode::StepFailed));
    world.flow.steps[1].reason = Some(why(ReasonCode::RepoMissing));
    world.ok(&Signal::Approve { step: id(0), note: None });
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::RepoMissing)));
    world.ok(&Signal::Approve { step: id(1), note: None });
    assert_eq!((world.run(), world.due()), (ProtocolStatus::Running, vec!["execute_step_job"]));
}

#[test]
fn the_watchdog_fails_only_what_nobody_works_on() {
    let stuck = Signal::Stuck { step: id(0), age_seconds: 4000, threshold_seconds: 3600 };
    let mut world = at_work(true);
    assert!(world.ok(&stuck).events.is_empty(), "its job is live");
    world.jobs.clear();
    world.flow.steps[0].live = None;
    assert!(world.ok(&Signal::WalkOn { source: Source::Scheduler }).events.is_empty());
    world.ok(&stuck);
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::Stuck)));
    assert_eq!((world.steps()[0], world.told()), (StepStatus::Failed, vec![EventKind::StepStuckWatchdog]));
    assert!(world.ok(&stuck).events.is_empty());
}

#[test]
fn the_scheduler_repairs_a_missed_hand_over_and_nothing_else() {
    use StepStatus::{Completed, NeedsQa, Pending};
    let walk = Signal::WalkOn { source: Source::Scheduler };
    for (steps, auto_advance, auto_qa, due) in [
        (vec![Completed, Pending], true, false, vec!["execute_step_job"]),
        (vec![Completed, NeedsQa], true, false, vec!["run_quality_job"]),
        (vec![Completed, NeedsQa], false, true, vec!["run_quality_job"]),
        (vec![Pending, NeedsQa], true, false, vec!["run_quality_job"]),
        (vec![Completed, NeedsQa], false, false, vec![]),
        (vec![Completed, Pending], false, true, vec![]),
        (vec![StepStatus::Failed, Pending], true, true, vec![]),
    ] {
        let mut world = World::new(flow(ProtocolStatus::Running, &steps));
        world.flow.run.auto_advance = auto_advance;
        world.flow.run.auto_qa_after_exec = auto_qa;
        let decision = world.ok(&walk);
        assert_eq!(world.due(), due, "{steps:?} {auto_advance} {auto_qa}");
        if let Some(event) = decision.events.first() {
            assert_eq!(event.metadata["source"], "scheduler");
        }
        let again = world.ok(&walk);
        assert!(
            again.events.is_empty()
                && again.run.is_none()
                && again.steps.is_empty()
                && again.enqueue.is_empty()
        );
    }
    let mut world = World::new(flow(ProtocolStatus::Planning, &[]));
    world.ok(&walk);
    assert_eq!(world.due(), ["plan_protocol_job"]);
    assert!(world.ok(&walk).enqueue.is_empty());
    for status in ProtocolStatus::ALL {
        let idle =
            !matches!(status, ProtocolStatus::Planning | ProtocolStatus::Planned | ProtocolStatus::Running);
        if idle {
            let mut world = World::new(flow(*status, &[Pending]));
            world.flow.run.auto_advance = true;
            assert!(world.ok(&walk).events.is_empty(), "{status}");
        }
    }
}

#[test]
fn late_and_repeated_results_are_recorded_and_change_nothing() {
    let results = [
        executed(id(0), Executed::Unjudged),
        judged(id(0), true),
        judged(id(0), false),
        gave_up(ErrorCategory::Codex, None),
        qa_gave_up(None),
        planned(&["01-a.md"]),
        Signal::SpecInvalid { step: id(0), errors: vec!["e".to_owned()] },
        Signal::Directive { step: id(0), reason: PolicyReason::DirectiveLoop },
        Signal::CiRed { sha: "x".to_owned(), step: Some(id(0)), detail: serde_json::Map::new() },
        Signal::PullRequestMerged { detail: serde_json::Map::new(), merge_request: false },
        Signal::PullRequestReopened,
        Signal::PushDone { sha: None, events: Vec::new() },
    ];
    for status in [ProtocolStatus::Completed, ProtocolStatus::Cancelled, ProtocolStatus::Failed] {
        for signal in &results {
            let decision = World::new(flow(status, &[StepStatus::Cancelled])).ok(signal);
            assert_eq!(decision.events.len(), 1, "{}", signal.name());
            // A person may ask for the push of a completed run, so its end is nothing late.
            let asked = status == ProtocolStatus::Completed && matches!(signal, Signal::PushDone { .. });
            assert_eq!(decision.events[0].metadata.contains_key("late_result"), !asked);
            assert!(decision.run.is_none() && decision.steps.is_empty() && decision.sync.is_none());
            assert!(decision.enqueue.is_empty() && decision.cancel.is_empty() && decision.then.is_none());
        }
    }
    for signal in &results[..8] {
        let decision = World::new(flow(ProtocolStatus::Running, &[StepStatus::Pending])).ok(signal);
        assert_eq!(decision.events[0].metadata["late_result"], true, "{}", signal.name());
        assert!(decision.run.is_none() && decision.steps.is_empty());
    }
    let quiet = Signal::CiPending { sha: "x".to_owned() };
    assert!(World::of(1, true).ok(&quiet).events.is_empty());
}
