//! What `/metrics`, `/ready`, `/version` and `/engines` tell, and that totals are exact through crashes.

#![expect(clippy::float_cmp, reason = "counts are small whole numbers")]

mod exposition;

use std::time::{Duration, Instant};

use axum::http::StatusCode;
use serde_json::json;
use tg_core::{event::EventKind, wire::EngineOut};
use tg_server::{
    api::{self, Facts, KnownEngine},
    app::App,
    db::Db,
    jobs::JobError,
    metrics::family,
    testing::{
        api::Api,
        app::{Setup, TestApp},
    },
    wake::Wake,
    worker,
};

use self::exposition::Page;
use crate::{
    database::{NOW, TestDatabase, on_both},
    journey::{NAME, SHIM},
};

/// The page as the admin sees it, read anew.
async fn page(app: &App) -> Page {
    let got = Api::new(app).get("/metrics").await;
    assert_eq!(got.status, StatusCode::OK);
    assert_eq!(got.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    exposition::read(std::str::from_utf8(&got.body).unwrap())
}

/// The page as anybody sees it.
async fn open_page(app: &App) -> Page {
    let got = Api::new(app).call("GET", "/metrics").send().await;
    assert_eq!(got.status, StatusCode::OK);
    exposition::read(std::str::from_utf8(&got.body).unwrap())
}

/// Another process on the same database.
async fn elsewhere(app: &App) -> App {
    let db = Db::open(app.config.database_url.expose(), 2).await.unwrap();
    App { db, wake: Wake::default(), ..app.clone() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_process_did_shows_here_once() {
    for database in [None, tg_server::testing::postgres::database().await.unwrap()] {
        let world = Setup { database, ..Setup::new(SHIM) }.make().await;
        let run = world.create(NAME, None).await;
        world.start(run).await;
        let jobs = world.run_pending_jobs().await;
        assert!(jobs >= 3, "{}", world.standing(run).await);

        let here = elsewhere(&world.app).await;
        let page = page(&here).await;
        #[expect(clippy::cast_precision_loss, reason = "few jobs")]
        let jobs = jobs as f64;
        assert_eq!(page.sum("jobs_processed_total", &[("status", "completed")]), jobs);
        assert_eq!(page.sum("jobs_processed_total", &[]), jobs);
        assert_eq!(page.sum("jobs_duration_seconds_count", &[("status", "completed")]), jobs);
        assert_eq!(page.sum("job_wait_seconds_count", &[]), jobs);
        assert_eq!(page.sum("jobs_processed_total", &[("job_type", "plan_protocol_job")]), 1.0);

        let events = world.event_types(run).await;
        let told = |kinds: &[EventKind]| {
            events.iter().filter(|event| kinds.iter().any(|kind| kind.as_str() == **event)).count()
        };
        let passes = told(&[EventKind::QaPassed, EventKind::QaPassedInline]);
        assert!(passes > 0, "{events:?}");
        #[expect(clippy::cast_precision_loss, reason = "few verdicts")]
        let passes = passes as f64;
        assert_eq!(page.sum("qa_verdict_total", &[("verdict", "pass")]), passes);
        assert_eq!(page.sum("qa_verdict_total", &[]), passes);

        let used: u64 =
            world.calls(run).await.iter().filter_map(|call| call.usage).map(|usage| usage.total()).sum();
        #[expect(clippy::cast_precision_loss, reason = "few tokens")]
        let used = used as f64;
        let project = world.project_id().to_string();
        assert!(used > 0.0);
        assert_eq!(page.sum("codex_token_used_total", &[("project_id", &project)]), used);
        assert!(page.sum("codex_token_estimated_total", &[("phase", "planning")]) > 0.0);
        assert_eq!(page.sum("engine_errors_total", &[]), 0.0);
        assert_eq!(page.sum("jobs_waiting", &[]), 0.0);
    }
}

async fn lost_leases_and_retries_are_counted_once(test: TestDatabase) {
    let world = Setup { database: Some(test.url.clone()), ..Setup::new(SHIM) }.make().await;
    let run = world.create(NAME, None).await;
    world.start(run).await;
    let dead = world.take().await.unwrap();
    assert_eq!(world.rescue().await, 1);
    // The dead worker answers late; nothing it says counts.
    worker::answer::settle(&world.app, &dead, None, Ok(None)).await.unwrap();
    let lease = world.take().await.unwrap();
    let error = JobError::retry(tg_core::job::ErrorCategory::Runtime, "io", "disk trouble");
    worker::answer::settle(&world.app, &lease, None, Err(error.clone())).await.unwrap();
    // An answer is written once, however often it is sent.
    worker::answer::settle(&world.app, &lease, None, Err(error)).await.unwrap();
    let page_now = page(&world.app).await;
    let plan = |status: &'static str| [("job_type", "plan_protocol_job"), ("status", status)];
    assert_eq!(page_now.sum("leases_lost_total", &[]), 1.0);
    assert_eq!(page_now.sum("jobs_processed_total", &plan("retried")), 2.0, "one lost, one failed");
    assert_eq!(
        page_now.sum("jobs_duration_seconds_count", &plan("retried")),
        1.0,
        "a lost one has no length"
    );
    assert_eq!(page_now.sum("jobs_processed_total", &plan("completed")), 0.0);
    assert_eq!(page_now.sum("scheduler_actions_total", &[("action", "take_back")]), 1.0);
    assert_eq!(page_now.sum("jobs_waiting", &[("status", "scheduled")]), 1.0);
    world.skip_back_off().await;
    world.cancel(run).await;
    let page_now = page(&world.app).await;
    assert_eq!(page_now.sum("jobs_processed_total", &plan("cancelled")), 1.0);
    assert_eq!(page_now.sum("jobs_processed_total", &[]), 3.0);
    assert_eq!(page_now.sum("job_wait_seconds_count", &[]), 2.0);
}

async fn a_transaction_that_is_dropped_counts_nothing(test: TestDatabase) {
    let mut tx = test.db.begin().await.unwrap();
    tx.count(&family::SCHEDULER_ACTIONS, &[("action", "dropped")], 1);
    drop(tx);
    let mut tx = test.db.begin().await.unwrap();
    tx.count(&family::SCHEDULER_ACTIONS, &[("action", "kept")], 1);
    tx.count(&family::SCHEDULER_ACTIONS, &[("action", "kept")], 2);
    tx.commit().await.unwrap();
    let page = page(&test.app()).await;
    assert_eq!(page.sum("scheduler_actions_total", &[("action", "kept")]), 3.0);
    assert_eq!(page.sum("scheduler_actions_total", &[]), 3.0);
}

async fn many_at_once_lose_no_count_and_never_wait_in_a_circle(test: TestDatabase) {
    let all: Vec<_> = (0..8)
        .map(|number: usize| {
            let db = test.db.clone();
            tokio::spawn(async move {
                for round in 0..20 {
                    let mut tx = db.begin().await.unwrap();
                    let mut actions = ["a", "b", "c", "d"];
                    actions.rotate_left((number + round) % 4);
                    for action in actions {
                        tx.count(&family::SCHEDULER_ACTIONS, &[("action", action)], 1);
                    }
                    tx.commit().await.unwrap();
                }
            })
        })
        .collect();
    for one in all {
        one.await.unwrap();
    }
    let page = page(&test.app()).await;
    for action in ["a", "b", "c", "d"] {
        assert_eq!(page.sum("scheduler_actions_total", &[("action", action)]), 160.0);
    }
}

async fn models_without_number_share_a_series(test: TestDatabase) {
    let most = usize::try_from(tg_server::db::tally::MOST_SERIES).unwrap();
    let mut tx = test.db.begin().await.unwrap();
    for number in 0..most {
        let model = format!("m{number}");
        tx.count(&family::TOKENS_ESTIMATED, &[("phase", "exec"), ("model", &model)], 1);
    }
    tx.commit().await.unwrap();
    for model in ["new", "newer", "m7"] {
        let mut tx = test.db.begin().await.unwrap();
        tx.count(&family::TOKENS_ESTIMATED, &[("phase", "exec"), ("model", model)], 10);
        tx.commit().await.unwrap();
    }
    let page = page(&test.app()).await;
    assert_eq!(page.sum("codex_token_estimated_total", &[("model", "other")]), 20.0);
    assert_eq!(page.sum("codex_token_estimated_total", &[("model", "m7")]), 11.0, "known ones go on");
    assert_eq!(page.values("model").len(), most + 1);
}

async fn only_the_admin_sees_what_belongs_to_a_project(test: TestDatabase) {
    let mut app = test.app();
    let config = std::sync::Arc::make_mut(&mut app.config);
    config.models.exec = Some("house-model,spare-model".to_owned());
    let mut tx = test.db.begin().await.unwrap();
    for model in ["house-model", "canary-model"] {
        let labels = [("phase", "exec"), ("model", model), ("project_id", "77"), ("kind", "input")];
        tx.count(&family::TOKENS_USED, &labels, 5);
    }
    tx.commit().await.unwrap();
    let seen = page(&app).await;
    assert_eq!(seen.sum("codex_token_used_total", &[("project_id", "77"), ("model", "canary-model")]), 5.0);
    for token in [None, Some("wrong")] {
        let api = Api::new(&app);
        let call = api.call("GET", "/metrics");
        let call = if let Some(token) = token { call.token(token) } else { call };
        let got = call.send().await;
        let text = String::from_utf8(got.body.to_vec()).unwrap();
        assert!(!text.contains("canary") && !text.contains("project_id"), "{text}");
        let seen = exposition::read(&text);
        assert_eq!(seen.sum("codex_token_used_total", &[("model", "house-model")]), 5.0);
        assert_eq!(seen.sum("codex_token_used_total", &[("model", "other")]), 5.0);
    }
}

async fn the_setting_closes_the_page(test: TestDatabase) {
    let mut app = test.app();
    std::sync::Arc::make_mut(&mut app.config).access.metrics_auth = true;
    let api = Api::new(&app);
    let got = api.call("GET", "/metrics").send().await;
    assert_eq!(got.refusal(), (401, "unauthorized".to_owned()));
    let got = api.call("GET", "/metrics").token("wrong").send().await;
    assert_eq!(got.refusal(), (401, "unauthorized".to_owned()));
    assert_eq!(api.get("/metrics").await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_path_is_counted_under_its_template_whatever_it_holds() {
    let test = TestDatabase::sqlite().await;
    let app = test.app();
    let api = Api::new(&app);
    for path in
        ["/projects/123456", "/projects/0", "/canary-path", "/canary/%22%7D%0Ax", "/projects/canary/x"]
    {
        api.get(path).await;
    }
    api.call("CANARY", "/projects").as_admin().send().await;
    let page = page(&app).await;
    let document = serde_json::to_value(api::document()).unwrap();
    let mut known: Vec<&str> = document["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    known.extend(["unmatched", "other"]);
    for path in page.values("path") {
        // A unit test in the same process may have counted its own.
        assert!(known.contains(&path.as_str()) || path.starts_with("/counted"), "{path}");
    }
    assert!(page.sum("requests_total", &[("path", "/projects/{id}"), ("status", "404")]) >= 2.0);
    assert!(page.sum("requests_total", &[("path", "unmatched"), ("status", "404")]) >= 3.0);
    assert!(page.sum("requests_total", &[("method", "other"), ("status", "405")]) >= 1.0);
    assert!(page.values("method").iter().all(|method| method != "CANARY"));
}

#[tokio::test]
async fn every_family_of_the_contract_is_there_from_the_start() {
    let test = TestDatabase::sqlite().await;
    let page = open_page(&test.app()).await;
    let expected = [
        "codex_token_estimated_total",
        "codex_token_used_total",
        "cost_cents_total",
        "engine_errors_total",
        "job_wait_seconds",
        "jobs_duration_seconds",
        "jobs_oldest_waiting_seconds",
        "jobs_processed_total",
        "jobs_waiting",
        "leases_lost_total",
        "model_fallback_total",
        "qa_verdict_total",
        "requests_duration_seconds",
        "requests_total",
        "scheduler_actions_total",
        "sse_clients",
        "workers_alive",
    ];
    assert_eq!(page.families(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_scrapes_ask_the_database_once() {
    let test = TestDatabase::sqlite().await;
    let app = test.app();
    let api = Api::new(&app);
    api.get("/metrics").await;
    let mut tx = test.db.begin().await.unwrap();
    tx.count(&family::SCHEDULER_ACTIONS, &[("action", "later")], 1);
    tx.commit().await.unwrap();
    let read = |body: &[u8]| exposition::read(std::str::from_utf8(body).unwrap());
    let began = Instant::now();
    let first = api.get("/metrics").await;
    if began.elapsed() < Duration::from_millis(500) {
        assert_eq!(read(&first.body).sum("scheduler_actions_total", &[]), 0.0, "the look of before serves");
    }
    loop {
        let seen = read(&api.get("/metrics").await.body).sum("scheduler_actions_total", &[]);
        if seen > 0.0 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "never looked again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_health_is_well_and_ready_says_no() {
    let world = TestApp::new(SHIM).await;
    let api = Api::new(&world.app);
    assert_eq!(api.call("GET", "/ready").send().await.status, StatusCode::OK);
    world.app.db.close().await;
    let began = Instant::now();
    assert_eq!(api.call("GET", "/health").send().await.status, StatusCode::OK);
    let ready = api.call("GET", "/ready").send().await;
    assert_eq!(ready.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ready.json()["status"], "not_ready");
    assert_eq!(ready.json()["checks"]["db"]["ok"], false);
    let fresh = Api::new(&world.app).call("GET", "/metrics").send().await;
    assert_eq!(fresh.status, StatusCode::OK);
    let page = exposition::read(std::str::from_utf8(&fresh.body).unwrap());
    assert!(page.families().contains(&"requests_total") && !page.families().contains(&"jobs_waiting"));
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_counts_what_waits_and_who_works() {
    let world = TestApp::new(SHIM).await;
    let ready = Api::new(&world.app).call("GET", "/ready").send().await.json();
    assert_eq!(ready["status"], "degraded", "no worker, no engine");
    assert_eq!(
        ready["checks"]["queue"],
        json!({"ok": true, "waiting": 0, "oldest_seconds": 0, "workers": 0})
    );
    for name in ["0001-one", "0002-two"] {
        let run = world.create(name, None).await;
        world.start(run).await;
    }
    let ready = Api::new(&world.app).call("GET", "/ready").send().await.json();
    assert_eq!(ready["checks"]["queue"]["waiting"], 2);
    let lease = world.take().await.unwrap();
    let ready = Api::new(&world.app).call("GET", "/ready").send().await.json();
    assert_eq!(ready["checks"]["queue"]["waiting"], 1);
    assert_eq!(ready["checks"]["queue"]["workers"], 1, "its lease is live: {}", lease.owner);

    let facts = Facts::default();
    facts.set_workers(1, &worker::name());
    let ready = Api::with_facts(&world.app, facts).call("GET", "/ready").send().await.json();
    assert_eq!(ready["checks"]["queue"]["workers"], 1, "our own is not counted twice");
    world.expire_leases().await;
    let ready = Api::new(&world.app).call("GET", "/ready").send().await.json();
    assert_eq!(ready["checks"]["queue"]["workers"], 0, "a dead one is not alive");
}

#[tokio::test]
async fn version_and_engines_are_told() {
    let test = TestDatabase::sqlite().await;
    let app = test.app();
    let version = Api::new(&app).call("GET", "/version").send().await.json();
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&version["api"], version["schema"].as_i64()), (&json!("1"), Some(9)));
    assert_eq!(app.clock.now(), NOW);

    let facts = Facts::default();
    let engine = EngineOut {
        id: "codex".to_owned(),
        display_name: "Codex".to_owned(),
        kind: "cli".to_owned(),
        default_model: None,
        available: false,
        reason: Some("not installed".to_owned()),
    };
    facts.set_engines(vec![KnownEngine { engine, version: None }]);
    let api = Api::with_facts(&app, facts);
    assert_eq!(api.call("GET", "/engines").send().await.status, StatusCode::UNAUTHORIZED);
    let told = api.get("/engines").await.json();
    let expected = json!([{
        "id": "codex", "display_name": "Codex", "kind": "cli", "default_model": null, "available": false,
        "reason": "not installed",
    }]);
    assert_eq!(told, expected);
}

mod both {
    use super::on_both;
    on_both!(
        lost_leases_and_retries_are_counted_once,
        a_transaction_that_is_dropped_counts_nothing,
        many_at_once_lose_no_count_and_never_wait_in_a_circle,
        models_without_number_share_a_series,
        only_the_admin_sees_what_belongs_to_a_project,
        the_setting_closes_the_page,
    );
}
