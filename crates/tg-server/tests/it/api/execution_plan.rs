//! What an execution would do, asked over HTTP: the same as it then does, and nothing is moved by asking.

use serde_json::{Value, json};
use tg_core::ids::RunId;
use tg_server::testing::{
    api::Api,
    app::{Setup, TestApp},
};

use crate::journey::{NAME, short};

/// A planned run that waits for a person at every step.
async fn planned(setup: Setup) -> (TestApp, Api, RunId) {
    let app = setup.make().await;
    let mut new = app.usual(NAME, None);
    new.auto_advance = false;
    let run = app.create_as(new).await;
    app.start(run).await;
    app.run_to_rest().await;
    let api = Api::new(&app.app);
    (app, api, run)
}

async fn path(app: &TestApp, run: RunId, step: &str) -> String {
    format!("/steps/{}/execution_plan", app.step(run, step).await.id)
}

/// What a gate of a plan says: nothing when it is open.
fn gate<'a>(plan: &'a Value, word: &str) -> Option<&'a str> {
    let gates = plan["gates"].as_array().unwrap();
    let gate =
        gates.iter().find(|gate| gate["gate"] == word).unwrap_or_else(|| panic!("no {word} in {plan}"));
    assert_eq!(gate["open"], gate["reason"].is_null(), "{gate}");
    gate["reason"].as_str()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_execution_does_what_its_plan_said() {
    let (app, api, run) = planned(short(&[]).set("PROTOCOL_QA_MODEL", "judge-a,judge-b")).await;
    app.edit_spec(run, "01-work.md", |entry| {
        entry["outputs"]["aux"] = json!({"notes": "aux/notes.md"});
        entry["exec_timeout_seconds"] = json!(77);
    })
    .await;
    let comment =
        json!({"path": "README.md", "side": "new", "line": 1, "sha": "a".repeat(40), "body": "greet all"});
    let made = api.post(&format!("/protocols/{run}/review_comments"), &comment).await;
    assert_eq!(made.status, 201, "{:?}", made.json());
    let path = path(&app, run, "01-work.md").await;
    let (events, row) = (app.events(run).await.len(), app.run(run).await);
    let plan = api.get(&path).await.json();
    assert_eq!((app.events(run).await.len(), app.run(run).await), (events, row.clone()), "nothing was moved");
    let tree = std::path::PathBuf::from(row.worktree_path.unwrap());
    assert_eq!(app.git(&tree, &["status", "--porcelain"]).await, "");
    assert_eq!(plan["timeout_seconds"], 77);
    assert_eq!(plan["qa"]["policy"], "full");
    assert_eq!((&plan["qa"]["model"], &plan["qa"]["engine_id"]), (&json!("judge-a"), &json!("dummy")));
    assert_eq!(plan["qa"]["prompt_path"], "bundled:quality-validator");
    let gates = ["status", "engine", "qa_engine"].map(|word| gate(&plan, word));
    assert_eq!(gates, [None, None, None]);

    app.run_step(run, "01-work.md").await;
    app.run_to_rest().await;
    let call =
        app.calls(run).await.into_iter().find(|call| call.run_kind.as_deref() == Some("exec")).unwrap();
    let result = call.result.unwrap();
    for key in
        ["engine_id", "model", "prompt_path", "prompt_versions", "outputs", "workdir", "estimated_tokens"]
    {
        assert_eq!(plan[key], result[key], "{key}");
    }
    assert!(plan["prompt_versions"]["review"].is_string(), "{plan}");
    assert!(plan["estimated_tokens"]["exec"].as_u64() > Some(50), "{plan}");
    let after = api.get(&path).await.json();
    assert!(gate(&after, "status").unwrap().contains("run is allowed only from"), "{after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_gate_says_what_would_stop_the_step() {
    let (app, api, run) = planned(short(&[]).set("TASKSGODZILLA_CODEX_BIN", "/nowhere/codex")).await;
    app.edit_spec(run, "00-setup.md", |entry| {
        entry["engine_id"] = json!("codex");
        entry["model"] = json!("big");
    })
    .await;
    let path = path(&app, run, "00-setup.md").await;
    let plan = api.get(&path).await.json();
    assert_eq!((&plan["engine_id"], &plan["model"]), (&json!("codex"), &json!("big")));
    let reason = gate(&plan, "engine").unwrap().to_owned();
    assert!(
        plan["gates"].as_array().unwrap().iter().all(|gate| gate["gate"] != "qa_engine"),
        "it needs no verdict"
    );
    app.run_step(run, "00-setup.md").await;
    app.run_to_rest().await;
    let stopped = app.step(run, "00-setup.md").await;
    assert_eq!(stopped.status_reason.unwrap().message, reason, "the job says the same");

    app.run_step(run, "01-work.md").await;
    let busy = api.get(&path).await.json();
    assert!(gate(&busy, "status").unwrap().contains("one worktree has one agent"), "{busy}");
    app.cancel(run).await;
    let over = api.get(&path).await.json();
    assert!(gate(&over, "status").is_some(), "{over}");
    let project = json!({"confirm": true});
    let gone =
        api.call("DELETE", &format!("/projects/{}", app.project.id)).as_admin().json(&project).send().await;
    assert_eq!(gone.status, 204);
    let over = api.get(&path).await.json();
    assert!(gate(&over, "status").unwrap().contains("is archived"), "{over}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_resolved_is_refused_as_the_execution_would_be() {
    let (app, api, run) = planned(short(&[])).await;
    let path = path(&app, run, "01-work.md").await;
    let tree = std::path::PathBuf::from(app.run(run).await.worktree_path.unwrap());
    std::fs::create_dir(tree.join("prompts")).unwrap();
    let template = tree.join("prompts/execute.prompt.md");
    std::fs::write(&template, "{{ nobody_gives_this }}").unwrap();
    let got = api.get(&path).await;
    assert_eq!(got.refusal(), (409, "prompt_invalid".to_owned()));
    assert!(got.json()["detail"].as_str().unwrap().contains("nobody_gives_this"));
    std::fs::remove_file(&template).unwrap();
    assert_eq!(api.get(&path).await.status, 200);

    app.edit_spec(run, "01-work.md", |entry| entry["prompt_ref"] = json!("gone.md")).await;
    let got = api.get(&path).await;
    assert_eq!(got.refusal(), (409, "spec_invalid".to_owned()));
    app.run_step(run, "01-work.md").await;
    app.run_to_rest().await;
    let reason = app.step(run, "01-work.md").await.status_reason.unwrap();
    assert_eq!(
        (reason.code.as_str(), Some(reason.message.as_str())),
        ("spec_invalid", got.json()["detail"].as_str())
    );

    std::fs::rename(&tree, app.folder().join("away")).unwrap();
    assert_eq!(api.get(&path).await.refusal(), (409, "worktree_missing".to_owned()));
    let pending = app.create("0002-later", None).await;
    let step = json!({"step_index": 0, "step_name": "00-first", "step_type": "work"});
    assert_eq!(api.post(&format!("/protocols/{pending}/steps"), &step).await.status, 201);
    let path = self::path(&app, pending, "00-first").await;
    let got = api.get(&path).await;
    assert_eq!(got.refusal(), (409, "worktree_missing".to_owned()));
    assert!(got.json()["detail"].as_str().unwrap().contains("has no worktree yet"));
}
