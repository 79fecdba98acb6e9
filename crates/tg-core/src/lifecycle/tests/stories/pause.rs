//! Pause, resume, cancel.

use super::super::{super::*, simulator::*};
use crate::{
    event::EventKind,
    job::ErrorCategory,
    status::{ProtocolStatus, ReasonCode},
    step::StepStatus,
};

fn pause() -> Signal {
    Signal::Pause { reason: Some("lunch".to_owned()) }
}

fn resume() -> Signal {
    Signal::Resume { reason: None }
}

#[test]
fn a_pause_remembers_where_it_came_from() {
    for status in ProtocolStatus::ALL {
        let mut world = World::new(flow(*status, &[StepStatus::Pending]));
        world.flow.run.reason = (*status == ProtocolStatus::Blocked).then(|| why(ReasonCode::StepFailed));
        let reason = world.reason();
        if world.send(&pause()).is_err() {
            assert!(status.is_terminal(), "{status}");
            continue;
        }
        if *status == ProtocolStatus::Paused {
            assert!(world.events.is_empty(), "paused already: nothing happens");
            continue;
        }
        assert_eq!((world.run(), world.flow.run.paused_from), (ProtocolStatus::Paused, Some(*status)));
        let decision = world.ok(&resume());
        let expected = if *status == ProtocolStatus::Planning { Some("plan_protocol_job") } else { None };
        assert_eq!((world.run(), world.flow.run.paused_from, world.reason()), (*status, None, reason));
        assert_eq!(world.due(), expected.into_iter().collect::<Vec<_>>());
        assert_eq!(decision.events[0].metadata["to"], status.as_str());
        assert_eq!(world.told()[..2], [EventKind::Paused, EventKind::Resumed]);
    }
}

#[test]
fn a_result_while_paused_is_kept_and_its_next_job_withheld_until_resume() {
    let mut world = World::of(2, true);
    world.ok(&Signal::WalkOn { source: Source::AutoAdvance });
    let decision = world.ok(&pause());
    assert!(decision.cancel.is_empty(), "the agent at work finishes");
    world.ok(&executed(id(0), Executed::Unjudged));
    assert_eq!((world.run(), world.steps()[0]), (ProtocolStatus::Paused, StepStatus::Completed));
    assert!(world.jobs.is_empty());
    assert!(world.ok(&Signal::WalkOn { source: Source::Scheduler }).events.is_empty());
    for signal in [
        Signal::RunNext,
        Signal::RetryLatest,
        Signal::RunStep { step: id(1), source: Source::Api },
        Signal::RunQa { step: id(1) },
        Signal::Start,
    ] {
        assert!(matches!(world.send(&signal), Err(Refused::IllegalTransition { current: "paused", .. })));
    }
    let decision = world.ok(&resume());
    assert_eq!((world.run(), world.due()), (ProtocolStatus::Running, vec!["execute_step_job"]));
    assert_eq!(decision.events.last().unwrap().metadata["source"], "resume");
}

#[test]
fn a_plan_or_a_failure_while_paused_moves_what_the_run_returns_to() {
    let mut world = World::new(flow(ProtocolStatus::Pending, &[]));
    world.flow.run.auto_advance = true;
    world.ok(&Signal::Start);
    world.ok(&pause());
    world.ok(&planned(&["01-a.md"]));
    assert_eq!(
        (world.run(), world.flow.run.paused_from),
        (ProtocolStatus::Paused, Some(ProtocolStatus::Planned))
    );
    assert!(world.jobs.is_empty());
    world.ok(&resume());
    assert_eq!((world.run(), world.due()), (ProtocolStatus::Running, vec!["execute_step_job"]));
    world.ok(&pause());
    let step_run_id = world.flow.steps[0].id;
    let job = Job::ExecuteStep { step_run_id };
    world.ok(&Signal::GaveUp { job, failure: failure(ErrorCategory::Codex, None) });
    assert_eq!(world.flow.run.paused_from, Some(ProtocolStatus::Blocked));
    world.ok(&resume());
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::StepFailed)));
}

#[test]
fn the_last_step_done_while_paused_completes_the_run_at_resume() {
    let mut world = World::of(1, false);
    world.ok(&Signal::RunNext);
    world.ok(&pause());
    world.ok(&executed(id(0), Executed::NeedsQa));
    world.ok(&Signal::Approve { step: id(0), note: None });
    assert_eq!((world.run(), world.steps()), (ProtocolStatus::Paused, vec![StepStatus::Completed]));
    world.ok(&resume());
    assert_eq!(world.run(), ProtocolStatus::Completed);
    assert_eq!(world.told().last(), Some(&EventKind::ProtocolCompleted));
}

#[test]
fn cancel_settles_steps_and_jobs_once() {
    use StepStatus::{Blocked, Cancelled, Completed, Failed, NeedsQa, Pending, Running};
    let mut flow = flow(ProtocolStatus::Running, &[Completed, Failed, Blocked, NeedsQa, Running, Pending]);
    flow.steps[3].live = Some(LiveJob::Quality);
    flow.steps[4].live = Some(LiveJob::Execute);
    flow.run.live_plan = true;
    flow.run.live_push = true;
    let mut world = World::new(flow);
    let cancel = Signal::Cancel { reason: None };
    let decision = world.ok(&cancel);
    assert_eq!(decision.cancel.len(), 4);
    assert!(world.jobs.is_empty());
    assert_eq!(world.run(), ProtocolStatus::Cancelled);
    assert_eq!(world.steps(), [Completed, Failed, Blocked, Cancelled, Cancelled, Cancelled]);
    assert_eq!(world.told(), [EventKind::Cancelled]);
    assert!(world.ok(&cancel).events.is_empty(), "a second time nothing happens");
    for status in [ProtocolStatus::Completed, ProtocolStatus::Failed] {
        let refused = World::new(super::super::simulator::flow(status, &[])).send(&cancel).unwrap_err();
        assert!(
            refused.to_string().contains(status.as_str()) && refused.to_string().contains("cancel"),
            "{refused}"
        );
    }
    let mut world = World::of(1, false);
    world.ok(&pause());
    world.ok(&cancel);
    assert_eq!((world.run(), world.flow.run.paused_from), (ProtocolStatus::Cancelled, None));
}
