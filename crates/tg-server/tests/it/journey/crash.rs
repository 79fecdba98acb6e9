//! A worker dies between two effects: nothing is lost, nothing happens twice.

use std::time::Duration;

use serde_json::json;
use tg_core::protocol::CallStatus;
use tg_server::worker::answer;

use super::{NAME, short};
use tg_server::testing::app::TestApp;

async fn trailers(app: &TestApp, key: &str) -> Vec<String> {
    let format = format!("--format=%(trailers:key={key},valueonly)");
    let log = app.git(&app.remote, &["log", "--reverse", &format, &format!("main..{NAME}")]).await;
    log.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

fn count(kinds: &[String], kind: &str) -> usize {
    kinds.iter().filter(|found| *found == kind).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_job_that_dies_before_its_answer_is_taken_over_with_one_commit_and_one_agent() {
    let app = short(&[]).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    // plan, set-up, work, qa: each worker dies after all its effects, before its answer.
    for _ in 0..4 {
        app.work_and_die().await.expect("the work goes well").expect("there is an answer");
        assert_eq!(app.rescue().await, 1);
        assert!(app.run_one_job().await, "another worker takes over");
    }
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
    assert_eq!(trailers(&app, "TG-Step").await, ["plan", "1", "2"], "one commit per step");
    assert_eq!(trailers(&app, "TG-Qa").await, ["2"]);
    let kinds: Vec<_> = app.calls(run).await.into_iter().filter_map(|call| call.run_kind).collect();
    assert_eq!(kinds, ["plan", "exec", "exec", "qa"], "no agent ran twice");
    let events = app.event_types(run).await;
    for once in ["planned", "qa_passed", "protocol_completed"] {
        assert_eq!(count(&events, once), 1, "{once}");
    }
    assert_eq!(count(&events, "step_completed"), 2);
    let mut tx = app.app.db.read().await.unwrap();
    let chain = tg_server::store::event::verify(&mut tx, None).await.unwrap();
    assert_eq!(chain.first_bad, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_wakes_up_late_changes_nothing() {
    let app = short(&[]).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    app.run_one_job().await;
    let zombie = app.take().await.unwrap();
    let answer = tg_server::jobs::run(&app.app, &zombie, &tokio_util::sync::CancellationToken::new()).await;
    assert_eq!(app.rescue().await, 1);
    let heir = app.take().await.unwrap();
    assert_eq!((&heir.job, heir.attempt), (&zombie.job, 2));
    let before = app.events(run).await.len();
    answer::settle(&app.app, &zombie, None, answer).await.unwrap();
    assert_eq!(app.events(run).await.len(), before, "the late result is discarded");
    assert_eq!(app.step(run, "00-setup.md").await.status.as_str(), "running");
    let late = tg_server::jobs::run(&app.app, &zombie, &tokio_util::sync::CancellationToken::new()).await;
    assert_eq!(late.unwrap_err().next, tg_server::jobs::Next::Lost, "and it can do no work either");
    app.finish(heir).await;
    app.run_to_rest().await;
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
    assert_eq!(trailers(&app, "TG-Step").await, ["plan", "1", "2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_delivered_twice_calls_its_engine_once() {
    let app = short(&[]).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    let mut delivered = Vec::new();
    while let Some(lease) = app.take().await {
        app.finish(lease.clone()).await;
        delivered.push(lease);
    }
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
    let (calls, events) = (app.calls(run).await.len(), app.events(run).await.len());
    for lease in &delivered {
        let again = tg_server::jobs::run(&app.app, lease, &tokio_util::sync::CancellationToken::new()).await;
        assert_eq!(again, Ok(None), "{}", lease.job.kind());
    }
    assert_eq!((app.calls(run).await.len(), app.events(run).await.len()), (calls, events));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_attempt_left_is_kept_aside_and_the_next_starts_clean() {
    let rules = [
        json!({"match": {"phase": "execute", "step": "00-setup.md", "attempt": 1}, "do": [
            {"write": ["half.txt", "half done\n"]}, {"sleep_ms": 60000}]}),
        json!({"match": {"phase": "execute", "step": "00-setup.md"}, "do": [
            {"write": ["whole.txt", "done\n"]}, {"final": "done"}]}),
    ];
    let app = short(&rules).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    app.run_one_job().await;
    let tree = app.run(run).await.worktree_path.unwrap();
    let half = std::path::Path::new(&tree).join("half.txt");
    let dying = app.work_and_die();
    tokio::select! {
        _ = dying => unreachable!("the agent works for a minute"),
        () = app.until("half of the work", || async { half.exists() }) => {}
    }
    app.until("the agent of the dead worker is gone", || async { app.processes().is_empty() }).await;
    app.rescue().await;
    app.run_to_rest().await;
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
    assert!(app.file(run, "half.txt").await.is_none() && app.file(run, "whole.txt").await.is_some());
    let calls = app.calls(run).await;
    assert_eq!(calls[1].status, CallStatus::Failed, "the dead attempt keeps its row");
    assert!(calls[1].error.as_deref().unwrap().contains("worker died"));
    let files = app.artifacts(&calls[2].id).await;
    let patch = files.iter().find(|file| file.file.name == "leftover.patch").unwrap();
    let content =
        std::fs::read_to_string(app.app.config.home.call_dir(&calls[2].id).join(&patch.file.path)).unwrap();
    assert!(content.contains("+half done"), "{content}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_kills_its_worker_each_time_is_given_up() {
    let app = short(&[]).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    for attempt in 1..=3 {
        assert_eq!(app.take().await.unwrap().attempt, attempt);
        app.rescue().await;
    }
    assert_eq!(app.standing(run).await, "blocked (job_lost)");
    assert!(app.take().await.is_none());
    let events = app.event_types(run).await;
    assert_eq!(count(&events, "job_failed"), 1, "{events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_cannot_renew_ends_its_agent_before_its_lease_does() {
    let slow = json!({"match": {"phase": "execute"}, "do": [{"sleep_ms": 60000}]});
    let app = short(&[slow]).set("TASKSGODZILLA_LEASE_SECONDS", "2").make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    let worker = app.worker(Duration::from_millis(100));
    app.until_event(run, "step_started", Some("00-setup.md")).await;
    app.until("the agent is at work", || async { !app.processes().is_empty() }).await;
    let lock = app.app.db.begin().await.unwrap();
    let began = std::time::Instant::now();
    app.until("the agent is gone", || async { app.processes().is_empty() }).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(2), "the agent outlived the lease: {took:?}");
    drop(lock);
    worker.stop().await;
    assert_eq!(app.step(run, "00-setup.md").await.status.as_str(), "running", "nothing was written");
}
