//! A person stops one job and leaves the run alive.

use super::super::{super::*, simulator::*};
use crate::{
    event::EventKind,
    ids::JobId,
    status::{ProtocolStatus, ReasonCode},
    step::StepStatus,
};

fn cancel(job: Job) -> Signal {
    Signal::JobCancelled { job, job_id: JobId("j1".to_owned()) }
}

fn execution() -> Job {
    Job::ExecuteStep { step_run_id: id(0) }
}

#[test]
fn a_cancelled_execution_rests_and_may_be_run_again() {
    let mut world = World::of(2, true);
    world.ok(&Signal::RunNext);
    world.told();
    let decision = world.ok(&cancel(execution()));
    assert_eq!(decision.cancel, [execution()]);
    assert_eq!(world.told(), [EventKind::StepBlocked]);
    assert_eq!(decision.events[0].metadata["job_id"], "j1");
    assert_eq!(world.steps(), [StepStatus::Blocked, StepStatus::Pending]);
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::JobLost)));
    let walked = world.ok(&Signal::WalkOn { source: Source::Scheduler });
    assert!(walked.enqueue.is_empty(), "nothing undoes what the person did");
    assert!(world.send(&cancel(execution())).is_err(), "it is cancelled once");
    world.ok(&Signal::RetryLatest);
    assert_eq!((world.run(), world.due()), (ProtocolStatus::Running, vec!["execute_step_job"]));
}

#[test]
fn a_result_after_the_cancel_changes_nothing() {
    let mut world = World::of(1, false);
    world.ok(&Signal::RunNext);
    world.ok(&cancel(execution()));
    let late = world.ok(&executed(id(0), Executed::Unjudged));
    assert_eq!(late.events[0].metadata["late_result"], true);
    assert_eq!(world.steps(), [StepStatus::Blocked]);
}

#[test]
fn a_cancelled_judgement_says_nothing_about_the_work() {
    let mut world = World::of(1, true);
    world.flow.steps[0].policies = vec![looping("again")];
    world.ok(&Signal::RunNext);
    world.ok(&executed(id(0), Executed::NeedsQa));
    assert_eq!(world.due(), ["run_quality_job"]);
    world.told();
    let quality = Job::CheckQuality { step_run_id: id(0) };
    assert!(world.send(&cancel(execution())).is_err(), "another job of the step is live, not this one");
    world.ok(&cancel(quality));
    assert_eq!(world.told(), [EventKind::QaError]);
    assert_eq!((world.run(), world.steps()), (ProtocolStatus::Blocked, vec![StepStatus::Blocked]));
    world.ok(&Signal::RunQa { step: id(0) });
    assert_eq!(world.due(), ["run_quality_job"]);
}

#[test]
fn a_cancelled_plan_blocks_the_run_until_it_is_started_again() {
    let mut world = World::new(flow(ProtocolStatus::Pending, &[]));
    world.ok(&Signal::Start);
    world.told();
    let plan = Job::PlanProtocol { protocol_run_id: RunId(1) };
    world.ok(&cancel(plan.clone()));
    assert_eq!(world.told(), [EventKind::PlanningFailed]);
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::JobLost)));
    assert!(world.send(&cancel(plan)).is_err());
    world.ok(&Signal::Start);
    assert_eq!(world.due(), ["plan_protocol_job"]);
}

#[test]
fn a_cancelled_push_keeps_the_run_from_completing_until_it_is_pushed() {
    let mut world = World::new(flow(ProtocolStatus::Running, &[StepStatus::Completed]));
    world.ok(&Signal::OpenPullRequest);
    world.told();
    let push = Job::OpenPullRequest { protocol_run_id: RunId(1) };
    world.ok(&cancel(push.clone()));
    assert_eq!(world.told(), [EventKind::OpenPrFailed]);
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::PushFailed)));
    assert!(world.send(&cancel(push)).is_err());
    world.ok(&Signal::RetryLatest);
    assert_eq!(world.due(), ["open_pr_job"]);

    let mut done = World::new(flow(ProtocolStatus::Completed, &[StepStatus::Completed]));
    done.ok(&Signal::OpenPullRequest);
    done.ok(&cancel(Job::OpenPullRequest { protocol_run_id: RunId(1) }));
    assert_eq!((done.run(), done.reason(), done.due()), (ProtocolStatus::Completed, None, vec![]));
}

#[test]
fn a_paused_run_stays_paused_and_returns_to_blocked() {
    let mut world = World::of(1, false);
    world.ok(&Signal::RunNext);
    world.ok(&Signal::Pause { reason: None });
    world.ok(&cancel(execution()));
    assert_eq!(
        (world.run(), world.flow.run.paused_from),
        (ProtocolStatus::Paused, Some(ProtocolStatus::Blocked))
    );
    assert_eq!(world.steps(), [StepStatus::Blocked]);
    world.ok(&Signal::Resume { reason: None });
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::JobLost)));
}
