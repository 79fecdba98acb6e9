//! A person steers while an agent is at work: pause, resume, cancel.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tg_core::{job::JobStatus, protocol::CallStatus};
use tg_server::queue;

use super::{NAME, short};

/// The agent of the set-up step works for this long.
fn slow(milliseconds: u64) -> Value {
    json!({"match": {"phase": "execute", "step": "00-setup.md"}, "do": [
        {"write": ["begun.txt", "x\n"]}, {"sleep_ms": milliseconds}, {"final": "done"}]})
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_in_mid_step_keeps_the_result_and_withholds_the_next_job() {
    let app = short(&[slow(700)]).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    let worker = app.worker(PATIENCE);
    app.until_event(run, "step_started", Some("00-setup.md")).await;
    app.pause(run).await;
    app.until_event(run, "step_completed", Some("00-setup.md")).await;
    assert_eq!(app.standing(run).await, "paused | 00-setup.md completed | 01-work.md pending");
    worker.stop().await;
    assert_eq!(app.run_pending_jobs().await, 0, "nothing is claimed while paused");
    app.resume(run).await;
    app.run_to_rest().await;
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_during_planning_ends_in_planned_and_goes_on_later() {
    let app = short(&[]).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    let lease = app.take().await.unwrap();
    app.pause(run).await;
    app.finish(lease).await;
    assert_eq!(app.standing(run).await, "paused | 00-setup.md pending | 01-work.md pending");
    app.resume(run).await;
    app.run_to_rest().await;
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
}

async fn cancelled(scenario: &str) {
    let app = short(&[]).make().await;
    let run = app.create(NAME, Some(scenario)).await;
    app.start(run).await;
    let worker = app.worker(PATIENCE);
    app.until_event(run, "step_started", Some("00-setup.md")).await;
    app.until("the agent is at work", || async { !app.processes().is_empty() }).await;
    let began = Instant::now();
    app.cancel(run).await;
    app.until("the tree is gone", || async { app.processes().is_empty() }).await;
    let took = began.elapsed();
    assert!(took < Duration::from_secs(5), "{scenario}: the tree was gone after {took:?}");
    app.until("the call is settled", || async {
        app.calls(run).await.iter().all(|call| call.status != CallStatus::Running)
    })
    .await;
    worker.stop().await;
    assert_eq!(app.standing(run).await, "cancelled | 00-setup.md cancelled | 01-work.md cancelled");
    let call = app.calls(run).await.pop().unwrap();
    assert_eq!(call.status, CallStatus::Cancelled);
    let mut tx = app.app.db.read().await.unwrap();
    let jobs = queue::list(&mut tx, None, 50).await.unwrap();
    assert_eq!(jobs.iter().filter(|job| job.status == JobStatus::Cancelled).count(), 1);
    assert!(app.pushed(NAME).await.len() == 1, "only the plan is there");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_ends_the_whole_tree_within_five_seconds() {
    cancelled("hang").await;
    cancelled("chatty-hang").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancel_from_another_process_is_noticed_too() {
    let app = short(&[slow(60_000)]).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    let worker = app.worker(PATIENCE);
    app.until_event(run, "step_started", Some("00-setup.md")).await;
    let began = Instant::now();
    app.cancel_from_afar(run).await;
    app.until("the tree is gone", || async { app.processes().is_empty() }).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_stops_waits_for_its_agents_then_hands_back() {
    let app = short(&[slow(500)]).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    let worker = app.worker(PATIENCE);
    app.until_event(run, "step_started", Some("00-setup.md")).await;
    worker.stop().await;
    assert_eq!(app.step(run, "00-setup.md").await.status.as_str(), "completed", "its agent could end");

    let app = short(&[slow(60_000)]).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    let worker = app.worker(Duration::from_millis(200));
    app.until_event(run, "step_started", Some("00-setup.md")).await;
    worker.stop().await;
    assert!(app.processes().is_empty());
    app.replace_script(&json!([super::short_plan()]));
    let lease = app.take().await.expect("the job is due again at once");
    assert_eq!(lease.attempt, 1, "the attempt is not counted");
    app.finish(lease).await;
    app.run_to_rest().await;
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
    assert!(!app.event_types(run).await.contains(&"job_retry_scheduled".to_owned()));
}
