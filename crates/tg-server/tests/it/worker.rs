//! The worker and its scheduler: slots, panics, repairs, house-keeping.

use std::time::Duration;

use serde_json::json;
use tg_core::{
    job::{Job, JobStatus},
    lifecycle::Signal,
    step::StepStatus,
};
use tg_server::{
    jobs::JobError,
    queue,
    testing::app::{Setup, TestApp},
    worker::{self, heartbeat::Held, scheduler},
};

use crate::journey::{NAME, SHIM, short};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_is_a_failure_of_that_job_alone() {
    let app = TestApp::new(SHIM).await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    for delay in [Some(2), Some(4), None] {
        let held = Held::default();
        let taken = worker::take(&app.app, &worker::new_owner(), &held).await.unwrap();
        let (lease, slot) = taken.unwrap();
        assert!(lease.worker().ends_with(&format!(":{}", std::process::id())), "{}", lease.worker());
        worker::carry_out(app.app.clone(), held, lease, slot, async { panic!("boom") }).await;
        assert_eq!(app.skip_back_off().await.first().copied(), delay);
    }
    assert_eq!(app.standing(run).await, "blocked (job_lost)");
    let told = app.run(run).await.status_reason.unwrap().message;
    assert!(told.contains("boom"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_claimed_than_there_are_slots() {
    let slow = json!({"match": {"phase": "plan"}, "do": [{"sleep_ms": 60000}]});
    let app = Setup::new(SHIM)
        .set("TASKSGODZILLA_WORKER_CONCURRENCY", "2")
        .set("TASKSGODZILLA_PROJECT_CONCURRENCY", "8")
        .script(json!([slow]))
        .make()
        .await;
    for number in 1..=4 {
        let run = app.create(&format!("{number:04}-run"), None).await;
        app.start(run).await;
    }
    let worker = app.worker(Duration::ZERO);
    app.until("two agents", || async { app.plans(JobStatus::Started).await == 2 }).await;
    assert_eq!(app.plans(JobStatus::Queued).await, 2);
    worker.stop().await;
    assert_eq!(app.plans(JobStatus::Queued).await, 4, "all are handed back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_scheduler_queues_what_was_missed() {
    let app = short(&[]).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    app.run_one_job().await;
    app.forget_queued_jobs().await;
    assert!(app.take().await.is_none());
    scheduler::beat(&app.app, false).await.unwrap();
    assert!(app.take().await.is_none(), "a running step without a job is the watchdog's matter");

    let other = app.create("0002-other", None).await;
    app.start(other).await;
    app.forget_queued_jobs().await;
    scheduler::beat(&app.app, false).await.unwrap();
    let lease = app.take().await.expect("planning is queued again");
    assert_eq!(lease.job, Job::PlanProtocol { protocol_run_id: other });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_without_a_worker_is_given_up_after_the_threshold() {
    let app = short(&[]).set("TASKSGODZILLA_STEP_STUCK_SECONDS", "60").make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    app.run_one_job().await;
    app.forget_queued_jobs().await;
    scheduler::beat(&app.app, false).await.unwrap();
    assert_eq!(app.step(run, "00-setup.md").await.status, StepStatus::Running, "not yet");
    app.pass(Duration::from_secs(61));
    scheduler::beat(&app.app, false).await.unwrap();
    assert_eq!(app.standing(run).await, "blocked (stuck) | 00-setup.md failed (stuck) | 01-work.md pending");
    assert!(app.event_types(run).await.contains(&"step_stuck_watchdog".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn house_keeping_removes_old_jobs_and_old_calls_only() {
    let app = Setup::new(SHIM).set("TASKSGODZILLA_RUN_LOG_RETENTION_DAYS", "3650").make().await;
    let runs = &app.app.config.home.runs;
    let (old, stranger) = (runs.join(uuid()), runs.join("notes"));
    for folder in [&old, &stranger] {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("logs.txt"), "x").unwrap();
    }
    let run = app.create(NAME, None).await;
    app.start(run).await;
    app.run_to_rest().await;
    app.keep_house().await;
    assert!(old.exists(), "younger than ten years");
    app.pass(Duration::from_hours(175_200));
    app.keep_house().await;
    assert!(!old.exists() && stranger.exists());
    assert_eq!(app.jobs(JobStatus::Finished).await, 1, "only the job that cleaned up is left");
}

fn uuid() -> String {
    "01890000-0000-7000-8000-000000000000".to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_is_refused_ends_its_job() {
    let app = short(&[]).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    let lease = app.take().await.unwrap();
    let signal = Signal::RunNext;
    let answer = tg_server::jobs::Answer { run, signal };
    let settled = worker::answer::settle(&app.app, &lease, None, Ok(Some(answer))).await;
    settled.unwrap();
    let mut tx = app.app.db.read().await.unwrap();
    let jobs = queue::list(&mut tx, None, 10).await.unwrap();
    assert_eq!(jobs[0].status, JobStatus::Finished);
    assert_eq!(app.standing(run).await, "planning");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_names_a_delay_is_waited_for() {
    let app = TestApp::new(SHIM).await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    let lease = app.take().await.unwrap();
    let mut error = JobError::retry(tg_core::job::ErrorCategory::Codex, "rate_limited", "slow down");
    error.next = tg_server::jobs::Next::Retry { after_seconds: Some(30) };
    worker::answer::settle(&app.app, &lease, None, Err(error)).await.unwrap();
    assert_eq!(app.skip_back_off().await, [30]);
}
