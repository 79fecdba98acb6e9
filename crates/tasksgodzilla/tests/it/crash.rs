//! A run survives the end of its process at any point: it completes after a restart, with one commit
//! per step, nothing lost, nobody left, and no agent asked again for work that was kept.

#[cfg(feature = "failpoints")]
mod points;

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    env::{Ended, signal, wait_until},
    story::Story,
};

/// What each agent of the step does first: it holds a lock while it lives, as all of its children do,
/// and tells when it is not alone.
const ALONE: &str = "exec 9>>\"$HOME/lock\"; flock -n 9 || echo overlap >>\"$HOME/overlaps\"; echo \"$$\" >>\"$HOME/starts\"; ";

const STEP: &str = "01-implement.md";

/// The first agent of the step does `first`, later ones do their work after `later`.
fn story(first: &str, later: &str) -> Story {
    let run = |text: &str| json!({"run": format!("{ALONE}{text}")});
    Story::scripted(&json!([
        {"match": {"phase": "execute", "step": STEP, "attempt": 1}, "do": [run(first), {"scenario": "ok"}]},
        {"match": {"phase": "execute", "step": STEP}, "do": [run(later), {"scenario": "ok"}]},
    ]))
}

/// Waits until this many agents of the step have begun.
#[track_caller]
fn until_begun(story: &Story, agents: usize) {
    wait_until("the agent begins", Duration::from_secs(30), || story.noted("starts").len() >= agents);
}

#[track_caller]
fn never_two_agents(story: &Story, agents: usize) {
    assert_eq!(story.noted("overlaps"), Vec::<String>::new());
    assert_eq!(story.noted("starts").len(), agents);
}

#[test]
fn a_worker_that_is_killed_leaves_no_agent_and_the_next_one_works_alone() {
    let story = story("setsid sleep 600 & sleep 600", "");
    let first = story.env.start(&story.begin());
    until_begun(&story, 1);
    assert_eq!(first.signal("-KILL").signal, Some(9));
    // Nobody restarts anything yet: the agent ends because its worker did.
    story.nobody_works();
    let ended = story.env.run(&Story::go_on());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let left = story.completed_once(&ended);
    never_two_agents(&story, 2);
    assert_eq!(left.calls["exec"], 4, "{left:?}");
}

#[test]
fn an_agent_that_outlives_worker_and_supervisor_is_ended_before_the_next_one_begins() {
    let mut story = story("setsid sleep 600 & sleep 600", "");
    // Without the sandbox no namespace ends the tree.
    story.env.set("TASKSGODZILLA_SANDBOX", "off");
    let first = story.env.start(&story.begin());
    until_begun(&story, 1);
    let is_shim = |pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"__supervise\0"))
    };
    let mut at_once: Vec<u32> = story.env.processes().into_iter().filter(is_shim).collect();
    assert_eq!(at_once.len(), 1);
    at_once.insert(0, first.id());
    signal("-KILL", &at_once);
    assert_eq!(first.end().signal, Some(9));
    assert!(
        story.env.processes().len() >= 2,
        "the agent should have outlived them, else this proves nothing"
    );
    let ended = story.env.run(&Story::go_on());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    story.completed_once(&ended);
    never_two_agents(&story, 2);
}

/// Stops a process where it holds no lock: a paused holder of the database lock stops everybody, which
/// is what SQLite promises and not what is tested here.
fn stop(process: u32) {
    let holds_a_lock = || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        let of = |line: &str| {
            let words: Vec<_> = line.split_whitespace().collect();
            words.get(3) == Some(&"WRITE") && words.get(4) == Some(&process.to_string().as_str())
        };
        locks.lines().any(of)
    };
    wait_until("the worker holds no lock", Duration::from_secs(5), || {
        signal("-STOP", &[process]);
        let is_good = !holds_a_lock();
        if !is_good {
            signal("-CONT", &[process]);
        }
        is_good
    });
}

/// Stops a worker for longer than its lease while another takes its job over, and lets it go on while
/// the other one is at work. Returns what both said.
fn paused(story: &Story) -> (Ended, Ended) {
    let paused = story.env.start(&story.begin());
    until_begun(story, 1);
    stop(paused.id());
    let other = story.env.start(&Story::go_on());
    until_begun(story, 2);
    signal("-CONT", &[paused.id()]);
    let other = other.end();
    let paused = paused.end();
    assert_eq!(other.code, Some(0), "{other:?}");
    assert!(paused.stderr.contains("fenced_out"), "nothing was fenced, so nothing was tested: {paused:?}");
    (paused, other)
}

#[test]
fn the_late_result_of_a_paused_worker_is_fenced_out() {
    // The first agent ends well while its worker sleeps: its result is there when the worker wakes up.
    let mut story = story("sleep 0.7", "sleep 1");
    story.env.set("TASKSGODZILLA_LOG_LEVEL", "info");
    let (_, other) = paused(&story);
    story.completed_once(&other);
    never_two_agents(&story, 2);
    let started =
        |event: &&Value| event["event_type"] == "step_started" && event["metadata"]["step_name"] == STEP;
    assert_eq!(story.events().iter().filter(started).count(), 2);
}

#[test]
fn the_agent_of_a_paused_worker_is_ended_before_another_begins() {
    let mut story = story("setsid sleep 600 & sleep 600", "sleep 0.5");
    story.env.set("TASKSGODZILLA_LOG_LEVEL", "info");
    let (_, other) = paused(&story);
    story.completed_once(&other);
    never_two_agents(&story, 2);
}
