//! Steps that a person adds to a run: they run, are judged and complete like planned ones.

use serde_json::{Value, json};
use tg_core::{ids::RunId, spec::spec_hash};
use tg_server::testing::{api::Api, app::TestApp};

use super::{NAME, short};

/// The agent of the added step keeps the prompt it was given.
fn keeps_prompt(step: &str) -> Value {
    json!({"match": {"phase": "execute", "step": step}, "do": [{"write_prompt": "prompt.txt"}, {"final": "Said."}]})
}

/// A run that waits for a person at every step.
async fn waiting(app: &TestApp) -> RunId {
    let mut new = app.usual(NAME, None);
    new.auto_advance = false;
    app.create_as(new).await
}

async fn planned(app: &TestApp) -> RunId {
    let run = waiting(app).await;
    app.start(run).await;
    app.run_to_rest().await;
    assert_eq!(app.standing(run).await, "planned | 00-setup.md pending | 01-work.md pending");
    run
}

async fn add(api: &Api, run: RunId, body: &Value) -> i64 {
    let got = api.post(&format!("/protocols/{run}/steps"), body).await;
    assert_eq!(got.status, 201, "{:?}", got.json());
    got.json()["id"].as_i64().unwrap()
}

/// A person asks for something of a step, and the workers do it.
async fn act(app: &TestApp, api: &Api, step: i64, action: &str) {
    let got = api.post(&format!("/steps/{step}/actions/{action}"), &json!({})).await;
    assert_eq!(got.status, 200, "{action}: {:?}", got.json());
    app.run_to_rest().await;
}

fn farewell() -> Value {
    json!({"step_index": 2, "step_name": "02-farewell.md", "step_type": "work", "summary": "Say goodbye as well",
        "engine_id": "dummy"})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_added_to_a_planned_run_is_executed_judged_and_completed() {
    let app = short(&[keeps_prompt("02-farewell.md")]).make().await;
    let (run, api) = (planned(&app).await, Api::new(&app.app));
    let before = app.run(run).await.spec_hash;
    let step = add(&api, run, &farewell()).await;
    let row = app.run(run).await;
    let config = row.template_config.unwrap();
    assert_eq!(row.spec_hash, Some(spec_hash(&config["protocol_spec"])));
    assert_ne!(row.spec_hash, before);
    let shown = api.get(&format!("/protocols/{run}")).await.json();
    assert_eq!(shown["spec_validation_status"], "valid", "{config}");
    assert!(shown["spec_validated_at"].is_string());

    act(&app, &api, step, "run").await;
    let standing = "running | 00-setup.md pending | 01-work.md pending | 02-farewell.md";
    assert_eq!(app.standing(run).await, format!("{standing} needs_qa"));
    let prompt = app.file(run, "prompt.txt").await.unwrap();
    assert!(prompt.contains("# 02-farewell\n\nSay goodbye as well\n"), "{prompt}");
    let call = app.calls(run).await.pop().unwrap();
    let result = call.result.unwrap();
    assert_eq!(result["prompt_path"], "spec:02-farewell.md");
    assert_eq!(result["outputs"]["protocol"], format!(".protocols/{NAME}/outputs/02-farewell.md"));
    let output = app.file(run, result["outputs"]["protocol"].as_str().unwrap()).await;
    assert_eq!(output.as_deref(), Some("Said.\n"));

    act(&app, &api, step, "run_qa").await;
    assert_eq!(app.standing(run).await, format!("{standing} completed"));
    for planned in ["00-setup.md", "01-work.md"] {
        app.run_step(run, planned).await;
        app.run_to_rest().await;
    }
    let work = app.step(run, "01-work.md").await.id.0;
    act(&app, &api, work, "run_qa").await;
    assert!(app.standing(run).await.starts_with("completed | "), "{}", app.standing(run).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_may_consist_of_added_steps_alone() {
    let app = short(&[]).make().await;
    let (run, api) = (waiting(&app).await, Api::new(&app.app));
    let mut done = farewell();
    done["step_index"] = json!(0);
    done["step_name"] = json!("00-by-a-person");
    done["status"] = json!("needs_qa");
    let done = add(&api, run, &done).await;
    let step = add(&api, run, &farewell()).await;
    let shown = api.get(&format!("/protocols/{run}")).await.json();
    assert_eq!(shown["spec_validation_status"], Value::Null, "there are no files to check it against yet");
    act(&app, &api, step, "run").await;
    act(&app, &api, done, "run_qa").await;
    act(&app, &api, step, "run_qa").await;
    assert_eq!(app.standing(run).await, "completed | 00-by-a-person completed | 02-farewell.md completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_its_name_and_a_later_word_are_what_its_agent_is_told() {
    let app = short(&[keeps_prompt("02-farewell.md")]).make().await;
    let (run, api) = (planned(&app).await, Api::new(&app.app));
    let step = add(&api, run, &farewell()).await;
    let changed = json!({"summary": "Wave"});
    assert_eq!(
        api.call("PATCH", &format!("/steps/{step}")).as_admin().json(&changed).send().await.status,
        200
    );
    act(&app, &api, step, "run").await;
    assert!(app.file(run, "prompt.txt").await.unwrap().contains("# 02-farewell\n\nWave\n"));

    let write = json!({"match": {"phase": "execute", "step": "00-setup.md"}, "do": [
        {"write": [format!(".protocols/{NAME}/03-note.md"), "# Note\n\nWrite it down\n"]}, {"final": "done"}]});
    app.replace_script(&json!([write, keeps_prompt("03-note.md")]));
    app.approve(run, "02-farewell.md").await;
    app.run_step(run, "00-setup.md").await;
    app.run_to_rest().await;
    let note =
        json!({"step_index": 3, "step_name": "03-note.md", "step_type": "work", "summary": "not this"});
    let step = add(&api, run, &note).await;
    act(&app, &api, step, "run").await;
    let prompt = app.file(run, "prompt.txt").await.unwrap();
    assert!(prompt.contains("Write it down") && !prompt.contains("not this"), "{prompt}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_that_does_not_hold_is_said_at_once_and_stops_its_step_alone() {
    let app = short(&[]).make().await;
    let (run, api) = (planned(&app).await, Api::new(&app.app));
    let mut body = farewell();
    body["policy"] = json!({"behavior": "trigger", "module_id": "m", "trigger_agent_id": "nobody"});
    let step = add(&api, run, &body).await;
    let shown = api.get(&format!("/protocols/{run}")).await.json();
    assert_eq!(shown["spec_validation_status"], "invalid");
    let errors = &shown["template_config"]["spec_meta"]["errors"];
    assert!(errors[0].as_str().unwrap().contains("starts \"nobody\", which is no step"), "{errors}");
    act(&app, &api, step, "run").await;
    let failed = "02-farewell.md failed (spec_invalid)";
    assert_eq!(
        app.standing(run).await,
        format!("blocked (spec_invalid) | 00-setup.md pending | 01-work.md pending | {failed}")
    );
    app.run_step(run, "00-setup.md").await;
    app.run_to_rest().await;
    assert_eq!(app.step(run, "00-setup.md").await.status.as_str(), "completed");

    let same = json!({"step_index": 7, "step_name": "01-work", "step_type": "work"});
    let got = api.post(&format!("/protocols/{run}/steps"), &same).await;
    assert_eq!(got.refusal(), (409, "duplicate_step".to_owned()), "their outputs would be one file");
    assert_eq!(app.steps(run).await.len(), 3, "and no row is left of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_plan_replaces_added_steps_with_their_entries() {
    let app = short(&[]).make().await;
    let (run, api) = (planned(&app).await, Api::new(&app.app));
    let hash = app.run(run).await.spec_hash;
    add(&api, run, &farewell()).await;
    app.start(run).await;
    app.run_to_rest().await;
    assert_eq!(app.standing(run).await, "planned | 00-setup.md pending | 01-work.md pending");
    assert_eq!(app.run(run).await.spec_hash, hash);
}
