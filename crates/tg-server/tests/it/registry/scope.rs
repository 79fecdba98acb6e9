//! What a token of another project sees of this one through these routes: nothing.

use serde_json::json;
use tg_server::testing::api::Api;

use super::stranger;
use crate::journey::{short, worked};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_sees_nothing_of_it() {
    let app = short(&[]).make().await;
    let api = Api::new(&app.app);
    let run = worked(&app, None).await;
    let (other, token) = stranger(&app, &api).await;
    let started = api
        .post("/runs/start", &json!({"job_type": "x", "run_id": "open", "project_id": app.project.id}))
        .await;
    assert_eq!(started.status, 201);
    let step = app.step(run, "01-work.md").await.id;
    let artifact = api.get(&format!("/protocols/{run}/artifacts")).await.json()[0].clone();
    let call = artifact["run_id"].as_str().unwrap();
    let job = api.get("/queues/jobs").await.json()[0]["job_id"].as_str().unwrap().to_owned();
    let own = app.project_id();

    let ask = |method: &str, path: &str| {
        let call = api.call(method, path).token(&token);
        let path = path.to_owned();
        async move {
            let call = if path.ends_with("/finish") { call.json(&json!({"status": "failed"})) } else { call };
            call.send().await
        }
    };
    for prefix in ["", "/codex"] {
        for tail in ["", "/logs", "/logs/tail", "/logs/stream", "/artifacts"] {
            let path = format!("{prefix}/runs/{call}{tail}");
            assert_eq!(ask("GET", &path).await.refusal(), (404, "not_found".to_owned()), "{path}");
            assert_eq!(api.get(&path).await.status, 200, "{path}: it is there");
        }
        let path = format!("{prefix}/runs/{call}/artifacts/{}/content", artifact["id"]);
        assert_eq!(ask("GET", &path).await.refusal(), (404, "not_found".to_owned()), "{path}");
        for tail in ["cancel", "finish", "logs"] {
            let path = format!("{prefix}/runs/open/{tail}");
            assert_eq!(ask("POST", &path).await.refusal(), (404, "not_found".to_owned()), "{path}");
        }
        for query in [
            String::new(),
            format!("?protocol_run_id={run}"),
            format!("?step_run_id={step}"),
            "?status=succeeded".to_owned(),
            "?run_kind=exec".to_owned(),
            "?job_type=x".to_owned(),
        ] {
            let got = ask("GET", &format!("{prefix}/runs{query}")).await;
            assert_eq!(got.json(), json!([]), "{query}");
            let all = api.get(&format!("{prefix}/runs{query}")).await.json();
            assert!(!all.as_array().unwrap().is_empty(), "{query}: there is something to see");
        }
        let foreign = ask("GET", &format!("{prefix}/runs?project_id={own}")).await;
        assert_eq!(foreign.refusal(), (404, "not_found".to_owned()));
        assert_eq!(ask("GET", &format!("{prefix}/runs?project_id={other}")).await.json(), json!([]));
    }
    for path in [
        format!("/protocols/{run}/runs"),
        format!("/protocols/{run}/artifacts"),
        format!("/steps/{step}/runs"),
        format!("/steps/{step}/artifacts"),
        format!("/queues/jobs/{job}"),
        format!("/runs/{job}"),
    ] {
        assert_eq!(ask("GET", &path).await.refusal(), (404, "not_found".to_owned()), "{path}");
        assert_eq!(api.get(&path).await.status, 200, "{path}: it is there");
    }
    for action in ["cancel", "retry"] {
        let path = format!("/queues/jobs/{job}/{action}");
        assert_eq!(ask("POST", &path).await.refusal(), (404, "not_found".to_owned()), "{path}");
    }
    for query in
        ["", "?status=finished", "?job_type=execute_step_job", "?status=finished&job_type=plan_protocol_job"]
    {
        assert_eq!(ask("GET", &format!("/queues/jobs{query}")).await.json(), json!([]), "{query}");
        assert!(!api.get(&format!("/queues/jobs{query}")).await.json().as_array().unwrap().is_empty());
    }
    let none = json!({"queued": 0, "scheduled": 0, "started": 0, "finished": 0, "failed": 0, "cancelled": 0});
    assert_eq!(ask("GET", "/queues").await.json()["default"], none);
    assert_ne!(api.get("/queues").await.json()["default"], none);
    assert_eq!(api.get("/runs/open").await.json()["status"], "running", "nothing was done to it");
}
