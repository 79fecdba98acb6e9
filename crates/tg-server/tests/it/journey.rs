//! Journeys: a task from start to rest with real git, real processes and a scripted agent.

mod by_hand;
mod crash;
mod engines;
mod plans;
mod quality;
mod review;
mod steering;

use serde_json::{Value, json};
use tg_core::ids::RunId;
use tg_server::testing::app::{Setup, TestApp};

pub const SHIM: &str = env!("CARGO_BIN_EXE_tg-shim");
pub const NAME: &str = "0001-say-hello";

/// Rule of the dummy engine for a phase: this plan, with these step files.
pub fn plan(files: &[(&str, &str)]) -> Value {
    let files: Vec<Value> =
        files.iter().map(|(name, content)| json!({"filename": name, "content": content})).collect();
    answered(&json!({
        "plan_md": "# Plan\n", "context_md": "# Context\n\n- Current Step: none\n", "log_md": "# Log\n",
        "step_files": files,
    }))
}

/// Rule of the dummy engine: planning answers with this value.
pub fn answered(value: &Value) -> Value {
    json!({"match": {"phase": "plan", "step": ""}, "do": [{"structured": value}]})
}

/// A plan of a set-up step and one step of work, too simple to be refined.
pub fn short_plan() -> Value {
    plan(&[("00-setup.md", "# Set-up\n"), ("01-work.md", "# Work\n\n- write the greeting\n")])
}

/// A world whose plan is the short one, with these further rules.
pub fn short(rules: &[Value]) -> Setup {
    let mut script = rules.to_vec();
    script.push(short_plan());
    Setup::new(SHIM).set("PROTOCOL_SKIP_SIMPLE_DECOMPOSE", "true").script(Value::Array(script))
}

/// Starts a run of a scenario and works on it until it rests.
pub async fn worked(app: &TestApp, scenario: Option<&str>) -> RunId {
    let run = app.create(NAME, scenario).await;
    app.start(run).await;
    app.run_to_rest().await;
    run
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_becomes_a_pushed_and_completed_run() {
    let app = TestApp::new(SHIM).await;
    let run = worked(&app, None).await;
    insta::assert_snapshot!("happy_path", app.timeline(run).await);
    insta::assert_snapshot!("happy_path_commits", app.normalised(&app.pushed(NAME).await.join("\n")));
    let row = app.run(run).await;
    assert_eq!(row.head_sha, row.pushed_sha, "everything is on the remote");
    let folder = format!(".protocols/{NAME}");
    for file in ["plan.md", "outputs/01-implement.md", "reports/01-implement.md", "quality-report.md"] {
        assert!(app.file(run, &format!("{folder}/{file}")).await.is_some(), "{file} is there");
    }
    let log = app.file(run, &format!("{folder}/log.md")).await.unwrap();
    assert!(log.contains(" UTC - 02-verify.md executed"), "{log}");
    let context = app.file(run, &format!("{folder}/context.md")).await.unwrap();
    assert!(context.contains("Current Step: 02-verify.md"), "{context}");
    let status = app.git(&app.checkout, &["status", "--porcelain"]).await;
    assert_eq!(status, "", "the user's checkout is as it was");
    assert_eq!(app.git(&app.checkout, &["branch", "--list"]).await.trim(), "* main");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_is_recorded_with_prompt_model_usage_log_and_files() {
    let app = short(&[]).make().await;
    let run = worked(&app, None).await;
    let calls = app.calls(run).await;
    let kinds: Vec<_> = calls.iter().map(|call| call.run_kind.clone().unwrap()).collect();
    assert_eq!(kinds, ["plan", "exec", "exec", "qa"]);
    for call in &calls {
        let params = call.params.as_ref().unwrap();
        assert_eq!(params["engine_id"], "dummy");
        assert_eq!(call.prompt_version.as_ref().unwrap().len(), 12);
        assert!(!params["prompt_versions"].as_object().unwrap().is_empty());
        assert!(call.usage.unwrap().reported && call.usage.unwrap().total() > 0);
        assert!(call.has_log && app.app.config.home.call_log(&call.id).is_file());
        assert_eq!(call.attempt, Some(1));
    }
    let exec = &calls[2];
    let result = exec.result.as_ref().unwrap();
    assert_eq!(result["outputs"]["protocol"], format!(".protocols/{NAME}/outputs/01-work.md"));
    assert_eq!(result["engine_call"]["success"], true);
    let files = app.artifacts(&exec.id).await;
    assert_eq!(files[0].file.name, "protocol");
    let content = app.file(run, &files[0].file.path).await.unwrap();
    assert_eq!(files[0].file.sha256, tg_core::canonical::sha256_hex(content.as_bytes()));
    assert_eq!(files[0].file.bytes, i64::try_from(content.len()).unwrap());
    let step = app.step(run, "01-work.md").await;
    let used: u64 = calls[2..].iter().map(|call| call.usage.unwrap().total()).sum();
    assert_eq!(step.runtime_state.tokens_used, used);
    let message =
        app.git(&app.remote, &["log", "-1", "--format=%B", step.head_sha.as_deref().unwrap()]).await;
    insta::assert_snapshot!("commit_message", app.normalised(&message));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_step_file_is_never_a_target() {
    let app = short(&[]).make().await;
    let run = worked(&app, None).await;
    let file = app.file(run, &format!(".protocols/{NAME}/01-work.md")).await.unwrap();
    assert_eq!(file, "# Work\n\n- write the greeting\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_remote_nothing_is_pushed_and_that_is_said() {
    let app = short(&[]).without_remote().make().await;
    let run = worked(&app, None).await;
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
    let events = app.event_types(run).await;
    assert!(events.contains(&"open_pr_skipped".to_owned()), "{events:?}");
    assert!(app.run(run).await.pushed_sha.is_none());
    assert!(app.run(run).await.head_sha.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_that_is_gone_blocks_after_its_attempts_and_goes_on_when_it_is_back() {
    let app = short(&[]).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    assert!(app.run_one_job().await, "the plan");
    let away = app.folder().join("away.git");
    std::fs::rename(&app.remote, &away).unwrap();
    app.run_to_rest().await;
    assert_eq!(
        app.standing(run).await,
        "blocked (push_failed) | 00-setup.md completed | 01-work.md completed"
    );
    assert!(app.event_types(run).await.contains(&"open_pr_failed".to_owned()));
    let agents = app.calls(run).await.len();
    std::fs::rename(&away, &app.remote).unwrap();
    app.push_again(run).await;
    app.run_to_rest().await;
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
    assert_eq!(app.calls(run).await.len(), agents, "no agent ran again for it");
    assert_eq!(app.pushed(NAME).await.len(), 4, "all commits are there: plan, two steps, one report");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_repository_blocks_planning_and_execution() {
    let app = short(&[]).make().await;
    let run = app.create(NAME, None).await;
    let (checkout, remote) = (app.folder().join("a"), app.folder().join("b"));
    std::fs::rename(&app.checkout, &checkout).unwrap();
    std::fs::rename(&app.remote, &remote).unwrap();
    app.start(run).await;
    app.run_to_rest().await;
    let standing = app.standing(run).await;
    assert!(standing.starts_with("blocked ("), "{standing}");
    assert!(app.steps(run).await.is_empty());
    std::fs::rename(&checkout, &app.checkout).unwrap();
    std::fs::rename(&remote, &app.remote).unwrap();
    app.start(run).await;
    app.run_to_rest().await;
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_of_a_megabyte_and_one_of_nothing_are_worked_on() {
    let app = short(&[]).make().await;
    for (name, task) in [("0001-large", "words ".repeat(170_000)), ("0002-empty", String::new())] {
        let mut new = app.usual(name, None);
        new.description = Some(task);
        let run = app.create_as(new).await;
        app.start(run).await;
        app.run_to_rest().await;
        assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_story_is_told_on_postgres() {
    let Some(url) = tg_server::testing::postgres::database().await.expect("postgres") else { return };
    let mut setup = Setup::new(SHIM);
    setup.database = Some(url);
    let app = setup.make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    let worker = app.worker(std::time::Duration::from_secs(20));
    app.until_event(run, "protocol_completed", None).await;
    worker.stop().await;
    insta::assert_snapshot!("happy_path", app.timeline(run).await);
}
