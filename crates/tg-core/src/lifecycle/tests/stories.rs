//! Each row of the tables and each acceptance case as a small story.

use super::{super::*, simulator::*};
use crate::{event::EventKind, status::ProtocolStatus, step::StepStatus};

#[test]
fn a_task_walks_from_start_to_completed_by_itself() {
    let mut world = World::new(flow(ProtocolStatus::Pending, &[]));
    world.flow.run.auto_advance = true;
    world.ok(&Signal::Start);
    assert_eq!((world.run(), world.due()), (ProtocolStatus::Planning, vec!["plan_protocol_job"]));
    assert_eq!(world.told(), [EventKind::PlanningEnqueued]);
    let decision = world.ok(&planned(&["00-setup.md", "01-build.md"]));
    assert_eq!((world.run(), world.due()), (ProtocolStatus::Running, vec!["execute_step_job"]));
    assert_eq!(world.told(), [EventKind::Planned, EventKind::StepEnqueued]);
    assert_eq!(transitions(&decision).len(), 3);
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
