//! Start, plan, import, set-up, questions.

use serde_json::Map;

use super::super::{super::*, simulator::*};
use crate::{
    event::{Event, EventKind},
    job::{ErrorCategory, Priority},
    status::{ProtocolStatus, ReasonCode},
    step::StepStatus,
};

fn plan_job() -> Job {
    Job::PlanProtocol { protocol_run_id: RunId(1) }
}

fn gave_up(category: ErrorCategory, reason: Option<ReasonCode>) -> Signal {
    Signal::GaveUp { job: plan_job(), failure: failure(category, reason) }
}

#[test]
fn a_task_walks_from_start_to_completed_by_itself() {
    let mut world = World::new(flow(ProtocolStatus::Pending, &[]));
    world.flow.run.auto_advance = true;
    let decision = world.ok(&Signal::Start);
    assert_eq!((world.run(), world.due()), (ProtocolStatus::Planning, vec!["plan_protocol_job"]));
    assert_eq!(decision.enqueue[0].priority, Priority::User);
    assert_eq!(decision.events[0].job, Some(plan_job()));
    assert_eq!(world.told(), [EventKind::PlanningEnqueued]);
    let decision = world.ok(&planned(&["00-setup.md", "01-build.md"]));
    assert_eq!((world.run(), world.due()), (ProtocolStatus::Running, vec!["execute_step_job"]));
    assert_eq!(decision.events[1].metadata["source"], "auto_advance");
    assert_eq!(world.told(), [EventKind::Planned, EventKind::StepEnqueued]);
    assert_eq!(transitions(&decision).len(), 3, "planning, planned, running and one step");
    let (first, second) = (world.flow.steps[0].id, world.flow.steps[1].id);
    world.ok(&executed(first, Executed::Unjudged));
    assert_eq!(world.told(), [EventKind::StepCompleted, EventKind::QaSkippedPolicy, EventKind::StepEnqueued]);
    world.ok(&executed(second, Executed::NeedsQa));
    assert_eq!(world.told(), [EventKind::StepCompleted, EventKind::QaEnqueued]);
    world.ok(&judged(second, true));
    assert_eq!(world.told(), [EventKind::QaPassed, EventKind::ProtocolCompleted]);
    assert_eq!((world.run(), world.due().len()), (ProtocolStatus::Completed, 0));
    assert_eq!(world.steps(), [StepStatus::Completed, StepStatus::Completed]);
}

#[test]
fn start_is_legal_only_before_any_step_ran() {
    for status in ProtocolStatus::ALL {
        let mut world = World::new(flow(*status, &[StepStatus::Pending]));
        let legal =
            matches!(status, ProtocolStatus::Pending | ProtocolStatus::Planned | ProtocolStatus::Blocked);
        assert_eq!(world.send(&Signal::Start).is_ok(), legal, "{status}");
        if legal {
            assert_eq!((world.run(), world.due()), (ProtocolStatus::Planning, vec!["plan_protocol_job"]));
        } else {
            assert!(world.events.is_empty());
        }
        world = World::new(flow(*status, &[StepStatus::Failed]));
        world.flow.steps[0].has_run = true;
        let refused = world.send(&Signal::Start).unwrap_err();
        let Refused::IllegalTransition { entity, current, requested, legal_from, .. } = refused else {
            panic!("{refused}")
        };
        assert_eq!((entity, current, requested), ("protocol_run", status.as_str(), "start"));
        assert_eq!(legal_from.is_empty(), legal, "{status} would be legal but for the step that ran");
    }
}

#[test]
fn start_waits_for_a_step_at_work() {
    let mut flow = flow(ProtocolStatus::Blocked, &[StepStatus::Running]);
    flow.steps[0].live = Some(LiveJob::Execute);
    assert_eq!(decide(&flow, &Signal::Start), Err(Refused::StepAlreadyActive { active: id(0) }));
}

#[test]
fn a_plan_without_auto_advance_waits_for_a_person() {
    let mut world = World::new(flow(ProtocolStatus::Pending, &[StepStatus::Pending]));
    world.ok(&Signal::Start);
    let finding = Event::run(EventKind::PolicyAutofix);
    let Signal::PlanReady { steps, detail, .. } = planned(&["01-a.md"]) else { panic!() };
    world.ok(&Signal::PlanReady { steps, detail, events: vec![finding] });
    assert_eq!(world.run(), ProtocolStatus::Planned);
    assert_eq!(world.flow.steps.len(), 1, "the step of the old plan never ran and is replaced");
    assert_eq!(world.told(), [EventKind::PlanningEnqueued, EventKind::PolicyAutofix, EventKind::Planned]);
    assert!(world.due().is_empty());
}

#[test]
fn a_plan_that_cannot_go_on_blocks_and_can_be_started_again() {
    let blocked = Signal::PlanBlocked {
        reason: why(ReasonCode::EngineUnavailable),
        events: vec![Event::run(EventKind::PlanningBlockedClarifications)],
    };
    let silent = Signal::PlanBlocked { reason: why(ReasonCode::Policy), events: Vec::new() };
    for (signal, code, kinds) in [
        (blocked, ReasonCode::EngineUnavailable, vec![EventKind::PlanningBlockedClarifications]),
        (silent, ReasonCode::Policy, vec![EventKind::PlanningFailed]),
        (
            gave_up(ErrorCategory::Codex, None),
            ReasonCode::EngineError,
            vec![EventKind::PlanningFailed, EventKind::JobFailed],
        ),
        (
            gave_up(ErrorCategory::Validation, None),
            ReasonCode::PlanningInvalid,
            vec![EventKind::PlanningFailed, EventKind::JobFailed],
        ),
        (
            gave_up(ErrorCategory::Runtime, None),
            ReasonCode::JobLost,
            vec![EventKind::PlanningFailed, EventKind::JobFailed],
        ),
        (
            gave_up(ErrorCategory::Codex, Some(ReasonCode::RepoMissing)),
            ReasonCode::RepoMissing,
            vec![EventKind::PlanningFailed, EventKind::JobFailed],
        ),
    ] {
        let mut world = World::new(flow(ProtocolStatus::Pending, &[]));
        world.ok(&Signal::Start);
        world.told();
        world.ok(&signal);
        assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(code)));
        assert_eq!(world.told(), kinds);
        world.ok(&Signal::Start);
        assert_eq!((world.run(), world.reason()), (ProtocolStatus::Planning, None));
    }
}

#[test]
fn a_lost_plan_blocks_but_a_live_one_does_not() {
    let mut world = World::new(flow(ProtocolStatus::Planning, &[]));
    world.jobs.push(plan_job());
    assert!(world.ok(&Signal::PlanLost { age_seconds: 900 }).events.is_empty());
    world.jobs.clear();
    world.ok(&Signal::PlanLost { age_seconds: 900 });
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::JobLost)));
    assert_eq!(world.told(), [EventKind::PlanningFailed]);
}

#[test]
fn an_import_is_planned_or_blocked_from_pending_and_planning() {
    for status in [ProtocolStatus::Pending, ProtocolStatus::Planning] {
        let mut world = World::new(flow(status, &[]));
        let Signal::PlanReady { steps, detail, .. } = planned(&["01-a.md"]) else { panic!() };
        world.ok(&Signal::ImportReady { steps, detail });
        assert_eq!((world.run(), world.steps().len()), (ProtocolStatus::Planned, 1));
        assert_eq!(world.told(), [EventKind::CodemachineImported]);
        let mut world = World::new(flow(status, &[]));
        world.ok(&Signal::ImportFailed { reason: why(ReasonCode::SpecInvalid), detail: Map::new() });
        assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::SpecInvalid)));
        assert_eq!(world.told(), [EventKind::CodemachineImportFailed]);
    }
}

fn setup(status: ProtocolStatus) -> World {
    let mut flow = flow(status, &[]);
    flow.run.kind = RunKind::Setup;
    World::new(flow)
}

#[test]
fn set_up_has_rows_of_its_own() {
    let mut world = setup(ProtocolStatus::Pending);
    let started = Signal::SetupStarted { detail: Map::new() };
    world.ok(&started);
    assert_eq!(world.run(), ProtocolStatus::Running);
    world.ok(&Signal::SetupBlocked { reason: why(ReasonCode::Clarifications), detail: Map::new() });
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::Clarifications)));
    assert!(world.ok(&Signal::Answered).events.is_empty());
    world.ok(&started);
    assert!(world.ok(&started).run.is_none(), "a second attempt of the job");
    world.ok(&Signal::SetupReady);
    assert_eq!(world.run(), ProtocolStatus::Completed);
    assert_eq!(
        world.told(),
        [
            EventKind::SetupStarted,
            EventKind::SetupBlocked,
            EventKind::SetupStarted,
            EventKind::SetupStarted,
            EventKind::SetupCompleted
        ]
    );
    assert!(setup(ProtocolStatus::Pending).send(&Signal::Start).is_err());
    for signal in [started, Signal::SetupReady] {
        let mut world = World::new(flow(ProtocolStatus::Running, &[StepStatus::Pending]));
        let decision = world.ok(&signal);
        assert!(decision.run.is_none() && decision.events[0].metadata.contains_key("late_result"));
    }
    let late = setup(ProtocolStatus::Pending).ok(&planned(&["01-a.md"]));
    assert!(late.run.is_none() && late.sync.is_none());
}

#[test]
fn the_last_answer_goes_on_with_what_it_held_back() {
    // Planning.
    let mut world = World::new(flow(ProtocolStatus::Blocked, &[]));
    world.flow.run.reason = Some(why(ReasonCode::Clarifications));
    assert!(world.ok(&Signal::Answered).run.is_none(), "without auto_advance a person goes on");
    world.flow.run.auto_advance = true;
    world.ok(&Signal::Answered);
    assert_eq!((world.run(), world.due()), (ProtocolStatus::Planning, vec!["plan_protocol_job"]));
    // Execution and QA of a step.
    for (held_back, goes_on) in
        [("execute_step_job", StepStatus::Running), ("run_quality_job", StepStatus::NeedsQa)]
    {
        let mut world = World::of(1, true);
        world.ok(&Signal::WalkOn { source: Source::Scheduler });
        if goes_on == StepStatus::NeedsQa {
            world.ok(&executed(id(0), Executed::NeedsQa));
        }
        world.jobs.clear();
        world.flow.steps[0].live = None;
        let event = Event::step(EventKind::StepBlockedClarifications, id(0));
        world.ok(&Signal::StepBlocked { step: id(0), reason: why(ReasonCode::Clarifications), event });
        assert_eq!((world.run(), world.steps()), (ProtocolStatus::Blocked, vec![StepStatus::Blocked]));
        let decision = world.ok(&Signal::Answered);
        assert_eq!((world.run(), world.steps()), (ProtocolStatus::Running, vec![goes_on]));
        assert_eq!(world.due(), [held_back]);
        assert_eq!(decision.events.last().unwrap().metadata["source"], "clarification");
    }
    // Other reasons are not its matter.
    let mut world = World::new(flow(ProtocolStatus::Blocked, &[]));
    world.flow.run.auto_advance = true;
    world.flow.run.reason = Some(why(ReasonCode::EngineUnavailable));
    assert!(world.ok(&Signal::Answered).run.is_none());
}
