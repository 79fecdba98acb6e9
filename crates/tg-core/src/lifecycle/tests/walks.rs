//! Random walks: what holds after any order of signals.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Map, json};

use super::{super::*, simulator::*};
use crate::{
    event::{COMMON_KEYS, Event, EventKind},
    ids::{JobId, StepId},
    job::ErrorCategory,
    protocol::PullRequestState,
    spec::Policy,
    status::{ProtocolStatus, ReasonCode},
    step::{QaPolicy, StepStatus},
};

/// One thing that happens: which signal, and numbers to choose its details by.
type Happening = (u8, usize, u8);

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    let policy = (0_u8..8, 0_i64..4, 0_u32..3).prop_map(|(kind, number, limit)| {
        let target = format!("s{number}");
        match kind {
            0 => looping("a"),
            1 => Policy { max_iterations: Some(limit), step_back: Some(number), ..looping("b") },
            2 => Policy { target_step: Some(target), skip_steps: vec![number - 1], ..looping("c") },
            3 => Policy { condition: Some(json!("qa_failed")), ..looping("d") },
            4 => trigger("e", &target),
            5 => Policy { conditions: Some(json!(["exec_failed", "ci_failed"])), ..trigger("f", &target) },
            6 => Policy { condition: Some(json!("directive:loop")), ..looping("g") },
            _ => Policy { behavior: "other".to_owned(), ..looping("h") },
        }
    });
    prop::collection::vec(policy, 0..3)
}

fn worlds() -> impl Strategy<Value = World> {
    let step = (policies(), prop::option::of(prop::sample::select(QaPolicy::ALL)));
    (prop::collection::vec(step, 1..5), any::<[bool; 4]>()).prop_map(
        |(steps, [advance, qa, qa_on_ci, pr])| {
            let mut flow = flow(ProtocolStatus::Planned, &vec![StepStatus::Pending; steps.len()]);
            flow.run.auto_advance = advance;
            flow.run.auto_qa_after_exec = qa;
            flow.run.auto_qa_on_ci = qa_on_ci;
            flow.run.pr_state = pr.then_some(PullRequestState::Open);
            for (step, (policies, qa)) in flow.steps.iter_mut().zip(steps) {
                step.policies = policies;
                step.qa = qa;
            }
            World::new(flow)
        },
    )
}

/// How a job ends.
fn answer(job: &Job, detail: u8) -> Signal {
    let gave_up = |category, reason| Signal::GaveUp { job: job.clone(), failure: failure(category, reason) };
    match job {
        Job::ExecuteStep { step_run_id: step } => {
            let outcome = match detail % 9 {
                0 => return gave_up(ErrorCategory::Codex, None),
                1 => return gave_up(ErrorCategory::Config, Some(ReasonCode::EngineUnavailable)),
                2 => return Signal::SpecInvalid { step: *step, errors: vec!["e".to_owned()] },
                3 => {
                    let event = Event::step(EventKind::StepBlockedClarifications, *step);
                    return Signal::StepBlocked {
                        step: *step,
                        reason: why(ReasonCode::Clarifications),
                        event,
                    };
                }
                4 => Executed::LightPass,
                5 => Executed::LightFail,
                6 => Executed::LightError,
                7 => Executed::NeedsQa,
                _ => Executed::Unjudged,
            };
            let Signal::Executed { step, outcome, sha, detail: facts, verdict, .. } =
                executed(*step, outcome)
            else {
                panic!("executed makes an Executed")
            };
            let push_failed = (detail > 200).then(|| "refused".to_owned());
            Signal::Executed { step, outcome, sha, detail: facts, verdict, push_failed }
        }
        Job::CheckQuality { step_run_id: step } => match detail % 4 {
            0 => gave_up(ErrorCategory::Codex, None),
            1 => judged(*step, false),
            _ => judged(*step, true),
        },
        Job::PlanProtocol { .. } => match detail % 3 {
            0 => gave_up(ErrorCategory::Validation, None),
            1 => Signal::PlanBlocked { reason: why(ReasonCode::Clarifications), events: Vec::new() },
            _ => planned(&["00-setup.md", "01-build.md"]),
        },
        Job::OpenPullRequest { .. } if detail.is_multiple_of(2) => gave_up(ErrorCategory::Git, None),
        Job::OpenPullRequest { .. } => Signal::PushDone { sha: None, events: Vec::new() },
        Job::Maintenance => gave_up(ErrorCategory::Runtime, None),
    }
}

fn signal(world: &World, (kind, which, detail): Happening) -> Signal {
    let steps = &world.flow.steps;
    let step = if steps.is_empty() { StepId(0) } else { steps[which % steps.len()].id };
    let sha = world.flow.run.head_sha.clone().unwrap_or_else(|| "none".to_owned());
    let owner = (detail % 3 > 0).then_some(step);
    match kind % 40 {
        0 => Signal::Start,
        1 => Signal::RunStep { step, source: Source::Api },
        2 | 3 => Signal::RunNext,
        4 => Signal::RetryLatest,
        5 => Signal::RunQa { step },
        6 => Signal::Approve { step, note: None },
        7 => Signal::Pause { reason: None },
        8 | 9 => Signal::Resume { reason: None },
        10 if detail < 40 => Signal::Cancel { reason: None },
        11 => Signal::CiRed { sha, step: owner, detail: Map::new() },
        12 => Signal::CiGreen { sha, step: owner, detail: Map::new() },
        13 => Signal::PullRequestOpened { detail: Map::new() },
        14 => Signal::PullRequestClosed { detail: Map::new(), merge_request: detail.is_multiple_of(2) },
        15 => Signal::PullRequestReopened,
        16 if detail < 40 => {
            Signal::PullRequestMerged { detail: Map::new(), merge_request: detail.is_multiple_of(2) }
        }
        17 => Signal::Answered,
        18 => Signal::WalkOn { source: Source::Scheduler },
        19 => Signal::Stuck { step, age_seconds: 2, threshold_seconds: 1 },
        20 => Signal::PlanLost { age_seconds: 2 },
        21 => Signal::Directive { step, reason: PolicyReason::DirectiveLoop },
        22 => Signal::Directive { step, reason: PolicyReason::DirectiveTrigger },
        23 => Signal::CiPending { sha },
        // Answers of jobs that may not be live any more.
        24 => answer(&Job::ExecuteStep { step_run_id: step }, detail),
        25 => answer(&Job::CheckQuality { step_run_id: step }, detail),
        26 => answer(&Job::OpenPullRequest { protocol_run_id: world.flow.run.id }, detail),
        28 => Signal::OpenPullRequest,
        29 if !world.jobs.is_empty() => {
            let job = world.jobs[which % world.jobs.len()].clone();
            Signal::JobCancelled { job, job_id: JobId("job".to_owned()) }
        }
        27 => answer(&Job::PlanProtocol { protocol_run_id: world.flow.run.id }, detail),
        _ if world.jobs.is_empty() => Signal::WalkOn { source: Source::Scheduler },
        _ => answer(&world.jobs[which % world.jobs.len()], detail),
    }
}

fn changes_nothing(decision: &Decision) -> bool {
    decision.run.is_none()
        && decision.steps.is_empty()
        && decision.sync.is_none()
        && decision.enqueue.is_empty()
        && decision.cancel.is_empty()
        && decision.then.is_none()
}

/// What must hold between any two signals.
fn check(world: &World) {
    let run = &world.flow.run;
    let active =
        world.flow.steps.iter().filter(|step| step.status == StepStatus::Running || step.live.is_some());
    assert!(active.count() <= 1, "two steps are active: {:?}", world.flow.steps);
    for step in &world.flow.steps {
        match step.status {
            StepStatus::Running => {
                assert_eq!(step.live, Some(LiveJob::Execute), "nobody works on {}", step.name);
            }
            StepStatus::NeedsQa => assert_ne!(step.live, Some(LiveJob::Execute)),
            StepStatus::Pending
            | StepStatus::Completed
            | StepStatus::Failed
            | StepStatus::Cancelled
            | StepStatus::Blocked => assert_eq!(step.live, None, "{} is {}", step.name, step.status),
        }
        for (module, rounds) in &step.runtime.loop_counts {
            let limit = step.policies.iter().filter(|policy| policy.module_id == *module);
            let limit = limit.map(|policy| policy.max_iterations.unwrap_or(run.max_loop_iterations)).max();
            assert!(Some(*rounds) <= limit, "{module} went {rounds} rounds");
        }
        assert!(step.runtime.inline_trigger_depth < MAX_INLINE_TRIGGER_DEPTH);
        let needs_a_reason = matches!(step.status, StepStatus::Failed | StepStatus::Blocked);
        assert_eq!(step.reason.is_some(), needs_a_reason, "{} is {}", step.name, step.status);
    }
    assert_eq!(run.paused_from.is_some(), run.status == ProtocolStatus::Paused);
    let standing = run.paused_from.unwrap_or(run.status);
    match (standing, world.reason()) {
        (ProtocolStatus::Blocked, Some(code)) => assert_ne!(code, ReasonCode::WaitingForMerge),
        (ProtocolStatus::Blocked, None) => panic!("blocked for no reason"),
        (ProtocolStatus::Running, Some(ReasonCode::WaitingForMerge)) => {
            assert!(world.flow.steps.iter().all(|step| step.status.is_settled()));
        }
        (_, reason) => assert_eq!(reason, None, "{standing} needs no reason"),
    }
    if run.status.is_terminal() {
        let asked = |job: &&Job| {
            run.status == ProtocolStatus::Completed && matches!(job, Job::OpenPullRequest { .. })
        };
        let left: Vec<_> = world.jobs.iter().filter(|job| !asked(job)).collect();
        assert!(left.is_empty(), "work is left on a run that is over: {left:?}");
    }
    if run.status == ProtocolStatus::Completed {
        assert!(world.flow.steps.iter().all(|step| step.status.is_settled()));
        assert_ne!(run.pr_state, Some(PullRequestState::Open));
    }
    let repair = decide(&world.flow, &Signal::WalkOn { source: Source::Scheduler }).unwrap();
    assert!(changes_nothing(&repair), "a hand-over was missed: {repair:?}");
}

/// What must hold of one decision; the statuses known from events alone follow it.
fn check_decision(decision: &Decision, known: &mut BTreeMap<i64, String>) {
    for (entity, id, from, to) in transitions(decision) {
        let key = if entity == "protocol_run" { 0 } else { id };
        let old = known.insert(key, to);
        assert!(old.as_ref().is_none_or(|old| *old == from), "{entity} {id} was {old:?}, not {from}");
    }
    for event in &decision.events {
        for key in event.metadata.keys() {
            let declared = event.kind.keys().contains(&key.as_str()) || COMMON_KEYS.contains(&key.as_str());
            assert!(declared, "{} does not declare {key}", event.kind);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_signals_keeps_the_rules(
        mut world in worlds(),
        happenings in prop::collection::vec(any::<Happening>(), 1..60),
    ) {
        let mut known = BTreeMap::new();
        world.ok(&Signal::WalkOn { source: Source::Scheduler });
        known.insert(0, world.run().to_string());
        world.flow.steps.iter().for_each(|step| drop(known.insert(step.id.0, step.status.to_string())));
        check(&world);
        for happening in happenings {
            let before = world.clone();
            let signal = signal(&world, happening);
            let Ok(decision) = world.send(&signal) else {
                prop_assert_eq!(&before.flow, &world.flow);
                continue;
            };
            check_decision(&decision, &mut known);
            check(&world);
            prop_assert_eq!(known.get(&0), Some(&world.run().to_string()));
            for step in &world.flow.steps {
                let told = known.get(&step.id.0).map_or("pending", String::as_str);
                prop_assert_eq!(told, step.status.as_str());
            }
            if before.run().is_terminal() {
                let mut after = world.flow.clone();
                after.run.live_push = before.flow.run.live_push;
                prop_assert_eq!(&before.flow, &after);
            }
            let fenced = job_of(&signal).is_some_and(|job| world.jobs.contains(&job));
            if super::super::fact::told(&signal).is_empty() || fenced {
                continue;
            }
            let decided = world.clone().ok(&signal);
            prop_assert!(changes_nothing(&decided), "a repeated {} changed: {:?}", signal.name(), decided);
        }
        if world.send(&Signal::Cancel { reason: None }).is_ok() {
            prop_assert_eq!(world.run(), ProtocolStatus::Cancelled);
            prop_assert!(world.jobs.is_empty());
            for step in world.steps() {
                prop_assert!(!matches!(step, StepStatus::Pending | StepStatus::Running | StepStatus::NeedsQa));
            }
        }
    }

    #[test]
    fn a_run_that_walks_by_itself_comes_to_rest(
        mut world in worlds(),
        answers in prop::collection::vec(any::<u8>(), 400),
    ) {
        world.flow.run.auto_advance = true;
        world.ok(&Signal::WalkOn { source: Source::Scheduler });
        let mut answers = answers.into_iter();
        while let Some(job) = world.jobs.first().cloned() {
            let Some(detail) = answers.next() else { panic!("still at work after 400 jobs") };
            world.ok(&answer(&job, detail));
            check(&world);
        }
        let rest = matches!(world.run(), ProtocolStatus::Completed | ProtocolStatus::Blocked)
            || world.reason() == Some(ReasonCode::WaitingForMerge);
        prop_assert!(rest, "rests in {}: {:?}", world.run(), world.steps());
    }

    #[test]
    fn a_run_whose_jobs_all_succeed_completes(mut world in worlds()) {
        world.flow.run.auto_advance = true;
        world.flow.run.pr_state = None;
        world.ok(&Signal::WalkOn { source: Source::Scheduler });
        while let Some(job) = world.jobs.first().cloned() {
            world.ok(&answer(&job, 7));
        }
        prop_assert_eq!(world.run(), ProtocolStatus::Completed);
    }
}
