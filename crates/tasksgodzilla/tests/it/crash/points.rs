//! The process ends at every labelled point; needs a binary with fail points.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tg_server::failpoint::POINTS;

use super::stop;
use crate::{
    env::{signal, wait_until},
    story::Story,
};

/// Abort, as a fail point ends the process.
const ABORTED: i32 = 6;

/// Runs cases on a few threads: most of their time they wait for a lease to end.
fn side_by_side<T: Send>(cases: Vec<T>, case: impl Fn(T) + Sync) {
    let cases = Mutex::new(cases);
    let next = || cases.lock().unwrap_or_else(PoisonError::into_inner).pop();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(one) = next() {
                    case(one);
                }
            });
        }
    });
}

/// Engine calls that may be made again after a crash at this point: those whose work was not yet kept.
fn made_again(point: &str) -> &'static [&'static str] {
    match point {
        "plan.answered" | "plan.written" => &["plan", "decompose", "decompose"],
        "execute.answered" | "execute.written" => &["exec"],
        "quality.answered" => &["qa"],
        _ => &[],
    }
}

/// The passes of a point at which the process ends: for the points that every job passes (one of them is
/// house-keeping) early, at a step and at its judgement; for the others at the first step that is judged.
fn passes(point: &str) -> &'static [usize] {
    match point.split_once('.') {
        Some(("job", _)) => &[1, 4],
        Some(("advance", _)) => &[2, 4, 5],
        Some(("execute", _)) => &[2],
        // The last report gets a commit of its own.
        Some(("quality", _)) => &[1, 2],
        _ => &[1],
    }
}

#[test]
fn a_run_that_dies_at_any_point_completes_after_a_restart() {
    let usual = Story::new();
    let usual = usual.completed_once(&usual.env.run(&usual.begin()));
    let cases: Vec<_> = POINTS
        .iter()
        .flat_map(|point| passes(point).iter().map(move |pass| (*point, format!("{point}@{pass}"))))
        .collect();
    side_by_side(cases, |(point, case)| {
        let story = Story::new();
        let died = story.env.run_with("TASKSGODZILLA_FAILPOINT", &case, &story.begin());
        assert_eq!(died.signal, Some(ABORTED), "{case} never came: {died:?}");
        assert_ne!(story.run()["status"], "completed", "{case}");
        let ended = story.env.run(&Story::go_on());
        assert_eq!(ended.code, Some(0), "{case}: {ended:?}");
        let left = story.completed_once(&ended);
        assert_eq!(left.commits, usual.commits, "{case}");
        assert_eq!(left.files, usual.files, "{case}");
        let mut allowed = usual.calls.clone();
        for kind in made_again(point) {
            *allowed.get_mut(*kind).unwrap() += 1;
        }
        for (kind, count) in &left.calls {
            assert!(*count <= allowed[kind], "{case}: {count} calls of kind {kind}, {allowed:?} allowed");
        }
    });
}

#[test]
fn a_run_that_dies_again_and_again_ends_and_says_so() {
    let story = Story::new();
    let mut command = story.begin().to_vec();
    let mut deaths = 0;
    let last = loop {
        let ended = story.env.run_with("TASKSGODZILLA_FAILPOINT", "execute.started", &command);
        if ended.signal.is_none() {
            break ended;
        }
        deaths += 1;
        assert!(deaths < 10, "it is tried for ever");
        command = Story::go_on().to_vec();
    };
    // The attempts of a job are counted when it is claimed, so a death counts too.
    assert_eq!(deaths, 3, "{last:?}");
    last.refused(1, "job_lost");
    let run = story.run();
    assert_eq!(run["status"], "blocked", "{run}");
    assert_eq!(story.left().commits.len(), 1, "the plan alone");
    story.nothing_lost();
    story.nobody_works();
}

/// Every point but those around the commit of a transaction: a worker paused there holds the lock of the
/// database.
const PAUSES: &[&str] = &[
    "job.claimed@4",
    "job.renewed@4",
    "plan.answered",
    "plan.written",
    "plan.committed",
    "execute.started@2",
    "execute.answered@2",
    "execute.written@2",
    "execute.committed@2",
    "execute.pushed@2",
    "quality.answered",
    "quality.reported@2",
];

#[test]
fn a_worker_paused_between_any_two_effects_writes_nothing_late() {
    side_by_side(PAUSES.to_vec(), |point| {
        let mut story = Story::new();
        story.env.set("TASKSGODZILLA_LOG_LEVEL", "info");
        let here = story.env.path("here");
        let wanted = format!("{point}:{}", here.display());
        let paused = story.env.start_with("TASKSGODZILLA_FAILPOINT", &wanted, &story.begin());
        wait_until(&format!("the worker comes to {point}"), Duration::from_secs(30), || here.exists());
        stop(paused.id());
        let other = story.env.run(&Story::go_on());
        assert_eq!(other.code, Some(0), "{point}: {other:?}");
        let before = (story.left(), story.events());
        std::fs::remove_file(&here).unwrap();
        signal("-CONT", &[paused.id()]);
        let late = paused.end();
        assert_eq!(late.code, Some(0), "{point}: {late:?}");
        assert!(late.stderr.contains("fenced_out"), "nothing was fenced at {point}: {late:?}");
        story.completed_once(&other);
        assert_eq!((story.left(), story.events()), before, "{point}");
    });
}
