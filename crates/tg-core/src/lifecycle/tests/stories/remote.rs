//! Push, PR/MR, CI.

use serde_json::Map;

use super::super::{super::*, simulator::*};
use crate::{
    event::{Event, EventKind},
    job::{ErrorCategory, Priority},
    protocol::PullRequestState,
    status::{ProtocolStatus, ReasonCode},
    step::{QaPolicy, StepStatus},
};

fn push_job() -> Job {
    Job::OpenPullRequest { protocol_run_id: RunId(1) }
}

fn push_gave_up() -> Signal {
    Signal::GaveUp { job: push_job(), failure: failure(ErrorCategory::Git, None) }
}

fn push_done() -> Signal {
    Signal::PushDone { sha: Some("sha-100".to_owned()), events: vec![Event::run(EventKind::OpenPr)] }
}

fn executed_unpushed(index: i64) -> Signal {
    let Signal::Executed { step, outcome, sha, detail, verdict, .. } =
        executed(id(index), Executed::Unjudged)
    else {
        panic!()
    };
    Signal::Executed { step, outcome, sha, detail, verdict, push_failed: Some("no route".to_owned()) }
}

fn merged(merge_request: bool) -> Signal {
    Signal::PullRequestMerged { detail: Map::new(), merge_request }
}

fn closed() -> Signal {
    Signal::PullRequestClosed { detail: Map::new(), merge_request: false }
}

fn red(sha: &str, step: Option<i64>) -> Signal {
    Signal::CiRed { sha: sha.to_owned(), step: step.map(id), detail: Map::new() }
}

fn green(sha: &str, step: Option<i64>) -> Signal {
    Signal::CiGreen { sha: sha.to_owned(), step: step.map(id), detail: Map::new() }
}

/// A run of `steps` steps whose step 0 is at work.
fn at_work(steps: usize, auto_advance: bool) -> World {
    let mut world = World::of(steps, auto_advance);
    world.ok(&Signal::RunNext);
    world.told();
    world
}

#[test]
fn a_failed_push_gets_a_job_of_its_own_and_the_result_stands() {
    let mut world = at_work(2, true);
    world.ok(&executed_unpushed(0));
    assert_eq!(world.due(), ["open_pr_job", "execute_step_job"]);
    assert!(world.told().contains(&EventKind::OpenPrEnqueued));
    world.ok(&push_gave_up());
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::PushFailed)));
    assert_eq!(world.steps()[0], StepStatus::Completed);
    assert_eq!(world.told(), [EventKind::OpenPrFailed, EventKind::JobFailed]);
    let mut later = world.clone();
    later.ok(&push_done());
    assert_eq!(later.run(), ProtocolStatus::Running);
    // The next commit is pushed and takes the cause away too.
    world.ok(&executed(id(1), Executed::Unjudged));
    assert_eq!(world.run(), ProtocolStatus::Completed);
}

#[test]
fn a_run_is_not_complete_before_its_push() {
    let mut world = at_work(1, false);
    world.ok(&executed_unpushed(0));
    assert_eq!((world.run(), world.steps()), (ProtocolStatus::Running, vec![StepStatus::Completed]));
    assert!(world.ok(&Signal::WalkOn { source: Source::Scheduler }).events.is_empty());
    let mut pushed = world.clone();
    pushed.told();
    pushed.ok(&push_done());
    assert_eq!(pushed.run(), ProtocolStatus::Completed);
    assert_eq!(pushed.told(), [EventKind::OpenPr, EventKind::ProtocolCompleted]);
    world.ok(&push_gave_up());
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::PushFailed)));
    world.ok(&push_done());
    assert_eq!(world.run(), ProtocolStatus::Completed);
}

#[test]
fn a_retry_with_nothing_but_the_push_to_repeat_repeats_the_push() {
    let mut world = at_work(1, false);
    world.ok(&executed_unpushed(0));
    world.ok(&push_gave_up());
    world.told();
    world.ok(&Signal::RetryLatest);
    assert_eq!(world.due(), ["open_pr_job"]);
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::PushFailed)));
    world.ok(&push_done());
    assert_eq!(world.run(), ProtocolStatus::Completed);
}

#[test]
fn running_a_step_of_a_run_blocked_for_its_push_tries_that_again_too() {
    let mut world = at_work(2, false);
    world.ok(&executed_unpushed(0));
    world.ok(&push_gave_up());
    world.ok(&Signal::RunNext);
    assert_eq!(world.due(), ["execute_step_job", "open_pr_job"]);
    let mut world = at_work(2, false);
    world.ok(&executed_unpushed(0));
    world.ok(&push_gave_up());
    world.ok(&Signal::Approve { step: id(1), note: None });
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::PushFailed)));
}

#[test]
fn before_any_step_a_failed_push_is_only_recorded() {
    for status in [ProtocolStatus::Pending, ProtocolStatus::Planning, ProtocolStatus::Planned] {
        let mut world = World::new(flow(status, &[StepStatus::Pending]));
        assert!(world.ok(&push_gave_up()).run.is_none());
        assert_eq!(world.told(), [EventKind::OpenPrFailed, EventKind::JobFailed]);
    }
}

#[test]
fn an_open_pull_request_makes_the_run_wait_for_its_merge() {
    let mut world = at_work(1, false).pr(PullRequestState::Open);
    world.ok(&executed(id(0), Executed::Unjudged));
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Running, Some(ReasonCode::WaitingForMerge)));
    assert!(world.ok(&Signal::WalkOn { source: Source::Scheduler }).run.is_none());
    world.told();
    let mut other = world.clone();
    world.ok(&merged(false));
    assert_eq!(
        (world.run(), world.flow.run.pr_state),
        (ProtocolStatus::Completed, Some(PullRequestState::Merged))
    );
    assert_eq!(world.told(), [EventKind::PrMerged, EventKind::ProtocolCompleted]);
    other.ok(&closed());
    assert_eq!((other.run(), other.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::PrClosed)));
    other.ok(&Signal::PullRequestReopened);
    assert_eq!((other.run(), other.reason()), (ProtocolStatus::Running, Some(ReasonCode::WaitingForMerge)));
    other.ok(&closed());
    other.ok(&Signal::PullRequestOpened { detail: Map::new() });
    assert_eq!(
        (other.run(), other.flow.run.pr_state),
        (ProtocolStatus::Running, Some(PullRequestState::Open))
    );
    other.ok(&merged(true));
    assert!(other.told().contains(&EventKind::MrMerged));
}

#[test]
fn a_person_may_ask_for_the_push_where_there_is_something_to_push() {
    for status in ProtocolStatus::ALL {
        let mut flow = flow(*status, &[StepStatus::Completed]);
        flow.run.paused_from = (*status == ProtocolStatus::Paused).then_some(ProtocolStatus::Running);
        flow.run.reason = (*status == ProtocolStatus::Blocked).then(|| why(ReasonCode::PushFailed));
        let before = flow.clone();
        let mut world = World::new(flow);
        let legal = ["planned", "running", "blocked", "completed"];
        if !legal.contains(&status.as_str()) {
            let refused = world.send(&Signal::OpenPullRequest).unwrap_err();
            let Refused::IllegalTransition { current, requested, legal_from, .. } = refused else { panic!() };
            assert_eq!((current, requested, legal_from), (status.as_str(), "open_pr", legal.to_vec()));
            assert_eq!(world.flow, before);
            continue;
        }
        let decision = world.ok(&Signal::OpenPullRequest);
        assert!(decision.run.is_none() && decision.steps.is_empty(), "asking moves nothing");
        assert_eq!(decision.enqueue, [Enqueue { job: push_job(), priority: Priority::User }]);
        assert_eq!(world.told(), [EventKind::OpenPrEnqueued]);
        let again = world.ok(&Signal::OpenPullRequest);
        assert!(again.events.is_empty() && again.enqueue.is_empty(), "its push is live already");
        world.ok(&push_done());
        assert!(world.events.iter().all(|event| !event.metadata.contains_key("late_result")));
        assert!(world.jobs.is_empty());
    }
    let mut setup = flow(ProtocolStatus::Completed, &[]);
    setup.run.kind = RunKind::Setup;
    assert!(World::new(setup).send(&Signal::OpenPullRequest).is_err(), "a set-up run has no branch");
}

#[test]
fn a_completed_run_stays_completed_whatever_becomes_of_its_push() {
    let mut world = World::new(flow(ProtocolStatus::Completed, &[StepStatus::Completed]));
    world.ok(&Signal::OpenPullRequest);
    world.ok(&push_gave_up());
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Completed, None));
    assert_eq!(world.told(), [EventKind::OpenPrEnqueued, EventKind::OpenPrFailed, EventKind::JobFailed]);
}

#[test]
fn a_merge_ends_any_open_run_and_stops_its_agents() {
    use StepStatus::{Blocked, Cancelled, Completed, Failed, Pending, Running};
    for status in ProtocolStatus::ALL {
        let mut flow = flow(*status, &[Completed, Running, Pending, Blocked, Failed]);
        flow.run.paused_from = (*status == ProtocolStatus::Paused).then_some(ProtocolStatus::Running);
        flow.steps[1].live = Some(LiveJob::Execute);
        let mut world = World::new(flow);
        let decision = world.ok(&merged(false));
        if status.is_terminal() {
            assert!(decision.run.is_none());
            continue;
        }
        assert_eq!(world.run(), ProtocolStatus::Completed);
        assert_eq!(world.steps(), [Completed, Cancelled, Cancelled, Cancelled, Cancelled]);
        assert!(world.jobs.is_empty());
    }
}

#[test]
fn red_fails_the_step_that_waits_and_spares_the_one_at_work() {
    let mut world = at_work(2, false);
    world.flow.run.head_sha = Some("old".to_owned());
    world.ok(&red("old", Some(0)));
    assert_eq!((world.run(), world.told()), (ProtocolStatus::Running, vec![EventKind::CiFailed]));
    world.ok(&executed(id(0), Executed::NeedsQa));
    world.ok(&Signal::RunQa { step: id(0) });
    let decision = world.ok(&red("sha-100", Some(0)));
    assert_eq!(decision.cancel, [Job::CheckQuality { step_run_id: id(0) }]);
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::CiFailed)));
    assert_eq!(world.steps()[0], StepStatus::Failed);
    let again = world.ok(&red("sha-100", Some(0)));
    assert!(again.run.is_none() && again.steps.is_empty());
}

#[test]
fn red_at_a_completed_step_blocks_the_run_until_green() {
    let mut world = at_work(2, true);
    world.ok(&executed(id(0), Executed::Unjudged));
    world.ok(&red("sha-100", Some(0)));
    assert_eq!((world.run(), world.reason()), (ProtocolStatus::Blocked, Some(ReasonCode::CiFailed)));
    assert_eq!(world.steps(), [StepStatus::Completed, StepStatus::Running]);
    world.ok(&green("sha-100", Some(0)));
    assert_eq!(world.run(), ProtocolStatus::Running);
    let mut world = World::new(flow(ProtocolStatus::Running, &[StepStatus::Completed, StepStatus::Pending]));
    world.ok(&red("any", None));
    assert_eq!(world.run(), ProtocolStatus::Blocked);
}

#[test]
fn checks_of_an_older_commit_change_nothing() {
    let mut world = at_work(2, false);
    world.ok(&executed(id(0), Executed::NeedsQa));
    for signal in [red("older", Some(0)), green("older", Some(0))] {
        let decision = world.ok(&signal);
        assert!(decision.run.is_none() && decision.steps.is_empty());
        assert_eq!(decision.events[0].metadata["late_result"], true);
    }
}

#[test]
fn green_completes_or_queues_qa_by_what_the_step_asks_for() {
    for (qa, auto_qa_on_ci, judged) in [
        (Some(QaPolicy::Full), false, true),
        (Some(QaPolicy::Light), false, true),
        (None, true, true),
        (None, false, false),
        (Some(QaPolicy::Skip), false, false),
    ] {
        let mut world = at_work(1, false);
        world.flow.steps[0].qa = qa;
        world.flow.run.auto_qa_on_ci = auto_qa_on_ci;
        world.ok(&executed(id(0), Executed::NeedsQa));
        let decision = world.ok(&green("sha-100", Some(0)));
        if judged {
            assert_eq!((world.run(), world.due()), (ProtocolStatus::Running, vec!["run_quality_job"]));
            assert_eq!(decision.events[1].metadata["source"], "ci_webhook");
            assert!(world.ok(&green("sha-100", Some(0))).enqueue.is_empty());
        } else {
            assert_eq!(
                (world.run(), world.steps()),
                (ProtocolStatus::Completed, vec![StepStatus::Completed])
            );
        }
    }
}
