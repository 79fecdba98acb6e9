//! A run that works outside: registered, told, ended.

use serde_json::json;
use tg_server::worker::scheduler;

use super::{append, finished, member, started, stranger, world};

#[tokio::test]
async fn it_is_registered_told_and_ended_once() {
    let (app, api) = world().await;
    let new = json!({"job_type": "nightly", "run_kind": "lint", "project_id": app.project.id, "attempt": 2,
        "worker_id": "ci:7", "queue": "outside", "cost_tokens": 5,
        "params": {"branch": "main", "api_token": "abcdef", "note": "password=hunter2hunter2"}});
    let got = api.post("/runs/start", &new).await;
    assert_eq!(got.status, 201, "{}", got.json());
    let run = got.json();
    let id = run["run_id"].as_str().unwrap().to_owned();
    assert_eq!(got.header("location"), format!("/runs/{id}"));
    assert_eq!(
        (&run["status"], &run["has_log"], &run["job_id"], &run["queue"]),
        (&json!("running"), &json!(true), &json!(null), &json!("outside"))
    );
    assert_eq!(
        run["params"],
        json!({"branch": "main", "api_token": "[redacted]", "note": "password=[redacted]"})
    );

    let got = append(&api, &id, "hello\n").await;
    assert_eq!((got.status.as_u16(), got.json()), (200, json!({"next_offset": 6})));
    assert_eq!(append(&api, &id, "token: s3cr3t-value\n").await.status, 200);
    assert_eq!(append(&api, &id, vec![0xff, b'\n']).await.status, 200);
    let log = api.get(&format!("/runs/{id}/logs")).await;
    assert_eq!(log.body.as_ref(), b"hello\ntoken: [redacted]\n\xff\n");
    assert_eq!(log.header("content-type"), "text/plain; charset=utf-8");

    // Nobody holds a job of it, and yet it is not settled for it.
    scheduler::beat(&app.app, true).await.unwrap();
    assert_eq!(api.get(&format!("/codex/runs/{id}")).await.json()["status"], "running");

    let end = json!({"status": "failed", "error": "broke:\u{0} secret=abcdefgh", "result": {"ok": false}, "cost_tokens": 9});
    let got = api.post(&format!("/codex/runs/{id}/finish"), &end).await;
    assert_eq!(got.status, 200, "{}", got.json());
    let ended = got.json();
    assert_eq!((&ended["status"], &ended["cost_tokens"]), (&json!("failed"), &json!(9)));
    assert_eq!(ended["error"], "broke:\u{fffd} secret=[redacted]");
    assert!(ended["finished_at"].is_string());
    for got in [
        finished(&api, &id).await,
        append(&api, &id, "late\n").await,
        api.call("POST", &format!("/runs/{id}/cancel")).as_admin().send().await,
    ] {
        assert_eq!(got.refusal(), (409, "run_ended".to_owned()));
    }
    assert_eq!(api.get(&format!("/runs/{id}/logs")).await.body, log.body, "nothing came after the end");
}

#[tokio::test]
async fn it_may_be_cancelled() {
    let (_app, api) = world().await;
    started(&api, "mine").await;
    let got = api.call("POST", "/runs/mine/cancel").as_admin().send().await;
    assert_eq!((got.status.as_u16(), &got.json()["status"]), (200, &json!("cancelled")));
    assert_eq!(finished(&api, "mine").await.refusal(), (409, "run_ended".to_owned()));
}

#[tokio::test]
async fn no_path_and_no_odd_id_is_taken() {
    let (app, api) = world().await;
    for name in ["log_path", "path", "workdir", "log", "status"] {
        let got = api.post("/runs/start", &json!({"job_type": "x", name: "/etc/passwd"})).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{name}");
        assert_eq!(got.json()["errors"][0]["loc"], json!(["body", name]));
    }
    let long = "x".repeat(65);
    for id in ["", ".", "..", ".x", "-x", "a/b", "../x", "a\\b", "a b", "é", "a\u{0}", "start", long.as_str()]
    {
        let got = api.post("/runs/start", &json!({"job_type": "x", "run_id": id})).await;
        assert_eq!(got.refusal(), (422, "validation_failed".to_owned()), "{id:?}");
        assert_eq!(got.json()["errors"][0]["loc"], json!(["body", "run_id"]), "{id:?}");
    }
    for body in [
        json!({}),
        json!({"job_type": ""}),
        json!({"job_type": "a\u{1b}[31m"}),
        json!({"job_type": "x", "attempt": 0}),
        json!({"job_type": "x", "cost_tokens": -1}),
        json!({"job_type": 5}),
        json!({"job_type": "x", "worker_id": "y".repeat(201)}),
    ] {
        assert_eq!(api.post("/runs/start", &body).await.refusal().0, 422, "{body}");
    }
    assert_eq!(std::fs::read_dir(&app.app.config.home.runs).unwrap().count(), 0, "nothing was made");
    for id in ["A", "a..b", "0.x-_", &"x".repeat(64)] {
        started(&api, id).await;
    }
    for path in ["/runs/%2e%2e", "/runs/a%00b", "/runs/..%2f..%2fetc/logs", "/runs/nothing/logs/tail"] {
        assert_eq!(api.get(path).await.refusal(), (404, "not_found".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn an_id_is_taken_once_and_a_repeated_request_meets_its_answer() {
    let (app, api) = world().await;
    started(&api, "mine").await;
    append(&api, "mine", "kept\n").await;
    let got = api.post("/runs/start", &json!({"job_type": "x", "run_id": "mine"})).await;
    assert_eq!(got.refusal(), (409, "run_id_taken".to_owned()));
    assert_eq!(api.get("/runs/mine/logs").await.body.as_ref(), b"kept\n", "its log is as it was");
    let run = app.create("0001-a", None).await;
    app.start(run).await;
    let job = api.get("/queues/jobs").await.json()[0]["job_id"].as_str().unwrap().to_owned();
    let got = api.post("/runs/start", &json!({"job_type": "x", "run_id": job})).await;
    assert_eq!(got.refusal(), (409, "run_id_taken".to_owned()), "the id of a job stands for its runs");

    let send = |body: serde_json::Value| {
        api.call("POST", "/runs/start").as_admin().header("idempotency-key", "k1").json(&body).send()
    };
    let first = send(json!({"job_type": "once"})).await;
    let again = send(json!({"job_type": "once"})).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (201, 201));
    assert_eq!(first.body, again.body);
    assert_eq!(again.header("idempotency-replayed"), "true");
    let other = send(json!({"job_type": "twice"})).await;
    assert_eq!(other.refusal(), (422, "idempotency_key_reused".to_owned()));
    assert_eq!(api.get("/runs?job_type=once").await.json().as_array().unwrap().len(), 1);

    let text = |text: &'static str| {
        let call = api.call("POST", "/runs/mine/logs").as_admin().header("content-type", "text/plain");
        call.header("idempotency-key", "k2").body(text).send()
    };
    assert_eq!(text("once\n").await.body, text("once\n").await.body);
    assert_eq!(api.get("/runs/mine/logs").await.body.as_ref(), b"kept\nonce\n", "appended once");
}

#[tokio::test]
async fn a_member_registers_for_its_own_project_only() {
    let (app, api) = world().await;
    let own = app.project_id();
    let token = member(&api, own).await;
    let (other, _) = stranger(&app, &api).await;
    let run = app.create("0001-a", None).await;
    let start = |body: serde_json::Value| api.call("POST", "/runs/start").token(&token).json(&body).send();
    let got = start(json!({"job_type": "x", "project_id": own})).await;
    assert_eq!((got.status.as_u16(), &got.json()["project_id"]), (201, &json!(own)));
    let got = start(json!({"job_type": "x", "protocol_run_id": run})).await;
    assert_eq!(
        (got.status.as_u16(), &got.json()["project_id"]),
        (201, &json!(own)),
        "it follows from the run"
    );
    assert_eq!(start(json!({"job_type": "x"})).await.refusal(), (403, "forbidden".to_owned()));
    assert_eq!(start(json!({"job_type": "x", "project_id": other})).await.refusal().0, 404);
    assert_eq!(start(json!({"job_type": "x", "protocol_run_id": 999})).await.refusal().0, 404);
    assert_eq!(start(json!({"job_type": "x", "step_run_id": 999})).await.refusal().0, 404);
    let admin = |body| async move { body };
    let mixed = admin(json!({"job_type": "x", "project_id": other, "protocol_run_id": run})).await;
    assert_eq!(api.post("/runs/start", &mixed).await.refusal(), (422, "validation_failed".to_owned()));
    assert_eq!(api.post("/runs/start", &json!({"job_type": "x", "project_id": 999})).await.refusal().0, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_eight_ends_at_once_one_wins() {
    let (_app, api) = world().await;
    started(&api, "raced").await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let api = api.clone();
            tokio::spawn(async move { finished(&api, "raced").await.refusal() })
        })
        .collect();
    let mut outcomes = Vec::new();
    for task in tasks {
        outcomes.push(task.await.unwrap());
    }
    outcomes.sort();
    assert_eq!(outcomes[0].0, 200, "{outcomes:?}");
    assert!(outcomes[1..].iter().all(|outcome| *outcome == (409, "run_ended".to_owned())), "{outcomes:?}");
}

#[tokio::test]
async fn what_a_job_does_is_not_told_from_outside() {
    let app = crate::journey::short(&[]).make().await;
    let api = tg_server::testing::api::Api::new(&app.app);
    let run = crate::journey::worked(&app, None).await;
    let call = app.calls(run).await.remove(0).id;
    for got in [finished(&api, &call.0).await, append(&api, &call.0, "forged\n").await] {
        assert_eq!(got.refusal(), (409, "run_of_a_job".to_owned()));
    }
    let shown = api.get(&format!("/runs/{call}")).await;
    let text = String::from_utf8_lossy(&shown.body).into_owned();
    let binary = shown.json()["params"]["binary"].as_str().unwrap().to_owned();
    assert!(!binary.contains('/'), "no place of this machine: {binary}");
    let job = shown.json()["job_id"].as_str().unwrap().to_owned();
    let by_job = api.get(&format!("/runs/{job}")).await.json();
    assert_eq!(by_job["run_id"], json!(call), "a job stands for its newest attempt: {text}");
    let wrong = api.call("POST", &format!("/runs/{call}/logs")).as_admin();
    let wrong = wrong.header("content-type", "application/json").body("{}").send().await;
    assert_eq!(wrong.refusal(), (415, "unsupported_media_type".to_owned()));
}

#[tokio::test]
async fn secrets_of_the_project_are_taken_out_of_what_is_told() {
    let (app, api) = world().await;
    let secret = "correct horse battery staple";
    let path = format!("/projects/{}/secrets/github_token", app.project.id);
    let got = api.call("PUT", &path).as_admin().json(&json!({"value": secret})).send().await;
    assert_eq!(got.status, 200, "{}", got.json());
    let new =
        json!({"job_type": "x", "run_id": "mine", "project_id": app.project.id, "params": {"note": secret}});
    assert_eq!(api.post("/runs/start", &new).await.json()["params"]["note"], "[redacted]");
    append(&api, "mine", format!("it is {secret}.\nand {}", &secret[..9])).await;
    append(&api, "mine", format!("{}!\n", &secret[9..])).await;
    let log = api.get("/runs/mine/logs").await;
    assert_eq!(log.body.as_ref(), b"it is [redacted].\nand [redacted][redacted]!\n");
    let end = json!({"status": "failed", "error": secret, "result": [secret]});
    let got = api.post("/runs/mine/finish", &end).await.json();
    assert_eq!((&got["error"], &got["result"]), (&json!("[redacted]"), &json!(["[redacted]"])));
}
