//! Jobs as people see them, stop them and try them again.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tg_core::{ids::RunId, protocol::CallStatus};
use tg_server::testing::{api::Api, app::TestApp};

use super::world;
use crate::journey::{NAME, short};

async fn act(api: &Api, job: &str, action: &str) -> tg_server::testing::api::Got {
    api.call("POST", &format!("/queues/jobs/{job}/{action}")).as_admin().send().await
}

/// Jobs that stand so, newest first.
async fn listed(api: &Api, status: &str) -> Vec<Value> {
    api.get(&format!("/queues/jobs?status={status}")).await.json().as_array().unwrap().clone()
}

fn id(job: &Value) -> String {
    job["job_id"].as_str().unwrap().to_owned()
}

async fn counts(api: &Api) -> Value {
    api.get("/queues").await.json()["default"].clone()
}

async fn planning(app: &TestApp) -> RunId {
    let run = app.create(NAME, None).await;
    app.start(run).await;
    run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_job_is_cancelled_and_its_run_waits_for_a_person() {
    let (app, api) = world().await;
    let run = app.create(NAME, None).await;
    let got = api.call("GET", "/queues").as_admin().send().await.json();
    assert_eq!((&got["backend"], &got["dispatch"]), (&json!("sqlite"), &json!("inprocess")));
    app.start(run).await;
    let job = listed(&api, "queued").await.remove(0);
    assert_eq!(job["payload"], json!({"protocol_run_id": run, "job_id": job["job_id"]}));
    assert_eq!((&job["job_type"], &job["queue"]), (&json!("plan_protocol_job"), &json!("default")));
    assert!(job["next_run_at"].is_string() && job["ended_at"].is_null());
    let got = act(&api, &id(&job), "cancel").await;
    assert_eq!((got.status.as_u16(), &got.json()["status"]), (200, &json!("cancelled")));
    assert_eq!(app.standing(run).await, "blocked (job_lost)");
    assert_eq!(act(&api, &id(&job), "cancel").await.refusal(), (409, "job_ended".to_owned()));
    assert_eq!(act(&api, &id(&job), "retry").await.refusal(), (409, "job_not_failed".to_owned()));
    let event = app.events(run).await.pop().unwrap();
    assert_eq!((event.event_type.as_str(), event.actor.as_deref()), ("planning_failed", Some("admin")));
    assert_eq!(event.metadata["job_id"], job["job_id"]);
    assert_eq!(app.run_pending_jobs().await, 0, "nothing tries it again");
    assert_eq!(counts(&api).await["cancelled"], 1);
    app.start(run).await;
    assert_eq!(counts(&api).await["queued"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_started_job_is_cancelled_and_its_agent_is_gone_in_time() {
    for through_run in [false, true] {
        let app = short(&[]).make().await;
        let api = Api::new(&app.app);
        let run = app.create(NAME, Some("hang")).await;
        app.start(run).await;
        let worker = app.worker(Duration::from_secs(20));
        app.until_event(run, "step_started", Some("00-setup.md")).await;
        app.until("the agent is at work", || async { !app.processes().is_empty() }).await;
        let job = listed(&api, "started").await.remove(0);
        assert!(job["meta"]["worker"].as_str().unwrap().contains(':'), "{job}");
        let call = app.calls(run).await.pop().unwrap().id;
        let began = Instant::now();
        if through_run {
            let got = api.call("POST", &format!("/runs/{call}/cancel")).as_admin().send().await;
            assert_eq!(got.status, 200, "{}", got.json());
        } else {
            assert_eq!(act(&api, &id(&job), "cancel").await.status, 200);
        }
        assert_eq!(
            app.standing(run).await,
            "blocked (job_lost) | 00-setup.md blocked (job_lost) | 01-work.md pending"
        );
        app.until("the tree is gone", || async { app.processes().is_empty() }).await;
        assert!(began.elapsed() < Duration::from_secs(5), "the tree was gone after {:?}", began.elapsed());
        app.until("the call is settled", || async {
            app.calls(run).await.iter().all(|call| call.status != CallStatus::Running)
        })
        .await;
        worker.stop().await;
        assert_eq!(app.calls(run).await.pop().unwrap().status, CallStatus::Cancelled);
        let shown = api.get(&format!("/queues/jobs/{}", id(&job))).await.json();
        assert_eq!(shown["status"], "cancelled");
        assert_eq!(shown["meta"]["worker"], job["meta"]["worker"], "who did it is still told");
        app.run_step(run, "00-setup.md").await;
        assert_eq!(counts(&api).await["queued"], 1, "running it again is legal");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_eight_cancels_at_once_one_wins() {
    let (app, api) = world().await;
    for number in 0..5 {
        let run = app.create(&format!("{number:04}-a"), None).await;
        app.start(run).await;
        let job = id(&listed(&api, "queued").await[0]);
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (api, job) = (api.clone(), job.clone());
                tokio::spawn(async move { act(&api, &job, "cancel").await.refusal() })
            })
            .collect();
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await.unwrap());
        }
        outcomes.sort();
        assert_eq!(outcomes[0].0, 200, "{outcomes:?}");
        assert!(
            outcomes[1..].iter().all(|outcome| *outcome == (409, "job_ended".to_owned())),
            "{outcomes:?}"
        );
        let told = app.event_types(run).await;
        assert_eq!(told.iter().filter(|kind| *kind == "planning_failed").count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_job_is_tried_again_while_its_subject_waits() {
    let broken = json!({"match": {"phase": "execute", "step": "00-setup.md"}, "do": [{"exit": 3}]});
    let app = short(&[broken]).make().await;
    let api = Api::new(&app.app);
    let run = planning(&app).await;
    app.run_to_rest().await;
    let standing = app.standing(run).await;
    assert!(standing.starts_with("blocked"), "{standing}");
    let failed = listed(&api, "failed").await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    let job = id(&failed[0]);
    assert!(failed[0]["error"].is_string() && failed[0]["ended_at"].is_string());
    assert_eq!(act(&api, &job, "cancel").await.refusal(), (409, "job_ended".to_owned()));
    let got = api.call("POST", &format!("/queues/jobs/{job}/retry")).as_admin();
    let got = got.header("x-request-id", "again.1").send().await;
    assert_eq!(got.status, 200, "{}", got.json());
    let fresh = got.json();
    assert_ne!(fresh["job_id"], json!(job));
    assert_eq!((&fresh["status"], &fresh["attempts"]), (&json!("queued"), &json!(0)));
    assert_eq!(fresh["payload"]["step_run_id"], failed[0]["payload"]["step_run_id"]);
    assert_eq!(fresh["meta"]["request_id"], "again.1");
    assert_eq!(act(&api, &job, "retry").await.refusal(), (409, "subject_moved_on".to_owned()));
    app.run_to_rest().await;
    let again = listed(&api, "failed").await;
    assert_eq!(again.len(), 2);
    assert_eq!(
        act(&api, &job, "retry").await.refusal(),
        (409, "subject_moved_on".to_owned()),
        "a newer one failed since"
    );
    app.approve(run, "00-setup.md").await;
    assert_eq!(act(&api, &id(&again[0]), "retry").await.refusal(), (409, "subject_moved_on".to_owned()));
    let done = listed(&api, "finished").await;
    assert_eq!(act(&api, &id(&done[0]), "retry").await.refusal(), (409, "job_not_failed".to_owned()));
    assert!(done[0]["result"].is_object(), "what came out is told: {}", done[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_plan_is_planned_again() {
    let bad = crate::journey::answered(&json!({"plan_md": "# Plan\n"}));
    let app = tg_server::testing::app::Setup::new(crate::journey::SHIM).script(json!([bad])).make().await;
    let api = Api::new(&app.app);
    let run = planning(&app).await;
    app.run_to_rest().await;
    let failed = listed(&api, "failed").await;
    assert_eq!(failed.len(), 1, "{}", app.timeline(run).await);
    let got = act(&api, &id(&failed[0]), "retry").await;
    assert_eq!((got.status.as_u16(), &got.json()["job_type"]), (200, &json!("plan_protocol_job")));
    assert_eq!(app.standing(run).await, "planning");
}

#[tokio::test]
async fn a_job_that_is_none_and_a_query_that_does_not_hold_are_refused() {
    let (_app, api) = world().await;
    for path in [
        "/queues/jobs/1",
        "/queues/jobs/%00",
        "/queues/jobs/0192a000-0000-7000-8000-000000000000",
        "/queues/jobs/..%2f..",
    ] {
        assert_eq!(api.get(path).await.refusal(), (404, "not_found".to_owned()), "{path}");
    }
    assert_eq!(act(&api, "0192a000-0000-7000-8000-000000000000", "cancel").await.refusal().0, 404);
    assert_eq!(act(&api, "0192a000-0000-7000-8000-000000000000", "retry").await.refusal().0, 404);
    for query in
        ["status=done", "limit=0", "limit=501", "cursor=job-1", "cursor=run-x", "job_type=%00", "x=1"]
    {
        let got = api.get(&format!("/queues/jobs?{query}")).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{query}");
    }
}
