//! Engines that fail, lie or are absent: retried by the table, else blocked; never passed.

use serde_json::json;
use tg_core::protocol::CallStatus;
use tg_server::{engine::sandbox::Sandbox, testing::app::TestApp};

use super::{NAME, short, worked};

async fn started(app: &TestApp, scenario: &str) -> (String, Vec<i64>, usize) {
    let run = app.create(NAME, Some(scenario)).await;
    app.start(run).await;
    let delays = app.run_to_rest().await;
    let step = app.step(run, "00-setup.md").await;
    let attempts = app.calls(run).await.iter().filter(|call| call.step_run_id == Some(step.id)).count();
    (app.standing(run).await, delays, attempts)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crashing_engine_is_tried_three_times_with_growing_waits() {
    let app = short(&[]).make().await;
    let (standing, delays, attempts) = started(&app, "crash").await;
    assert_eq!(standing, "blocked (step_failed) | 00-setup.md failed (step_failed) | 01-work.md pending");
    assert_eq!((delays, attempts), (vec![2, 4], 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_that_recovers_goes_on() {
    let app = short(&[]).make().await;
    let (standing, delays, attempts) = started(&app, "retry-then-ok").await;
    assert_eq!(standing, "completed | 00-setup.md completed | 01-work.md completed");
    assert_eq!((delays[0], attempts), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_out_of_reach_gives_way_to_the_next_one_named() {
    let app = short(&[]).make().await;
    let run = app.create(NAME, Some("rate-limited, ok")).await;
    app.start(run).await;
    app.run_to_rest().await;
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
    let step = app.step(run, "01-work.md").await;
    let calls = app.calls(run).await;
    let models: Vec<_> = calls
        .iter()
        .filter(|call| call.step_run_id == Some(step.id) && call.run_kind.as_deref() == Some("exec"))
        .map(|call| call.params.as_ref().unwrap()["model"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(models, ["rate-limited", "ok"]);
    let events = app.event_types(run).await;
    assert_eq!(events.iter().filter(|kind| *kind == "model_fallback").count(), 3, "two steps, one qa");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_must_cure_is_tried_once_and_blocks() {
    for (kind, reason) in [("auth", "engine_unavailable"), ("quota", "engine_unavailable")] {
        let app = short(&[]).make().await;
        let (standing, delays, attempts) = started(&app, kind).await;
        assert_eq!(
            standing,
            format!("blocked ({reason}) | 00-setup.md blocked ({reason}) | 01-work.md pending"),
            "{kind}"
        );
        assert_eq!((delays.len(), attempts), (0, 1), "{kind}");
    }
    let app = short(&[]).make().await;
    let (standing, delays, attempts) = started(&app, "context").await;
    assert_eq!(standing, "blocked (step_failed) | 00-setup.md failed (step_failed) | 01-work.md pending");
    assert_eq!((delays.len(), attempts), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absent_engine_blocks_planning_and_writes_nothing() {
    let sandbox = Sandbox::Bwrap("/usr/bin/bwrap".into());
    let mut setup = short(&[]).set("TASKSGODZILLA_CODEX_BIN", "/nowhere/codex");
    setup.sandbox = Some(sandbox);
    let app = setup.make().await;
    let mut new = app.usual(NAME, None);
    new.engine = None;
    let run = app.create_as(new).await;
    app.start(run).await;
    app.run_to_rest().await;
    assert_eq!(app.standing(run).await, "blocked (engine_unavailable)");
    assert!(app.calls(run).await.is_empty(), "no engine was called");
    assert!(app.run(run).await.worktree_path.is_none(), "nothing was written");
    let told = app.run(run).await.status_reason.unwrap().message;
    assert!(told.contains("/nowhere/codex") && told.contains("install"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_sandbox_only_the_dummy_works() {
    let mut setup = short(&[]).set("TASKSGODZILLA_CODEX_BIN", "/bin/true");
    setup.sandbox = Some(Sandbox::Unavailable("no user namespaces here; install bubblewrap".to_owned()));
    let app = setup.make().await;
    let mut new = app.usual("0001-real", None);
    new.engine = Some("codex".to_owned());
    let real = app.create_as(new).await;
    app.start(real).await;
    app.run_to_rest().await;
    assert_eq!(app.standing(real).await, "blocked (engine_unavailable)");
    let told = app.run(real).await.status_reason.unwrap().message;
    assert!(told.contains("without a sandbox") && told.contains("--sandbox off"), "{told}");
    let run = app.create("0002-pretended", None).await;
    app.start(run).await;
    app.run_to_rest().await;
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
    let told = app.event_types(run).await.iter().filter(|kind| *kind == "sandbox_off").count();
    assert_eq!(told, 1, "it is said once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_whose_engine_is_absent_is_blocked_not_passed() {
    let app = short(&[]).set("TASKSGODZILLA_CODEX_BIN", "/nowhere/codex").make().await;
    let mut new = app.usual(NAME, None);
    new.auto_advance = false;
    let run = app.create_as(new).await;
    app.start(run).await;
    app.run_to_rest().await;
    app.edit_spec(run, "01-work.md", |entry| entry["engine_id"] = json!("codex")).await;
    app.run_step(run, "01-work.md").await;
    app.run_to_rest().await;
    assert_eq!(
        app.standing(run).await,
        "blocked (engine_unavailable) | 00-setup.md pending | 01-work.md blocked (engine_unavailable)"
    );
    let events = app.event_types(run).await;
    assert!(events.contains(&"step_blocked".to_owned()) && !events.contains(&"step_started".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_change_is_no_failure_unless_the_step_says_so() {
    let app = short(&[]).make().await;
    let run = worked(&app, Some("no-change")).await;
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");

    let app = short(&[]).make().await;
    let mut new = app.usual(NAME, Some("no-change"));
    new.auto_advance = false;
    let run = app.create_as(new).await;
    app.start(run).await;
    app.run_to_rest().await;
    app.edit_spec(run, "01-work.md", |entry| entry["metadata"] = json!({"expects_change": true})).await;
    app.run_step(run, "01-work.md").await;
    assert_eq!(app.run_to_rest().await, [2], "tried once more, not twice");
    assert_eq!(
        app.standing(run).await,
        "blocked (step_failed) | 00-setup.md pending | 01-work.md failed (step_failed)"
    );
    let failed = app.calls(run).await.into_iter().filter(|call| call.status == CallStatus::Failed).count();
    assert_eq!(failed, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spec_that_does_not_hold_fails_the_step() {
    let app = short(&[]).make().await;
    let mut new = app.usual(NAME, None);
    new.auto_advance = false;
    let run = app.create_as(new).await;
    app.start(run).await;
    app.run_to_rest().await;
    for (prompt, why) in [("missing.md", "does not exist"), ("../../../etc/passwd", "outside")] {
        app.edit_spec(run, "01-work.md", |entry| entry["prompt_ref"] = json!(prompt)).await;
        app.run_step(run, "01-work.md").await;
        app.run_to_rest().await;
        let step = app.step(run, "01-work.md").await;
        assert_eq!(step.status.as_str(), "failed");
        let reason = step.status_reason.unwrap();
        assert_eq!(reason.code.as_str(), "spec_invalid");
        assert!(reason.message.contains(why), "{}", reason.message);
    }
    assert!(app.calls(run).await.iter().all(|call| call.step_run_id.is_none()), "no engine was called");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_agent_writes_outside_stays_outside() {
    let app = short(&[]).make().await;
    if matches!(app.app.sandbox.as_ref(), Sandbox::Unavailable(_)) {
        tg_server::testing::require::skip("bwrap", "no sandbox here");
        return;
    }
    let run = worked(&app, Some("escape")).await;
    let standing = app.standing(run).await;
    assert!(!standing.contains("running"), "{standing}");
    let state = std::fs::read_dir(app.folder()).unwrap().count();
    assert_eq!(state, 4, "checkout, remote, script and state, nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_proposed_subject_is_used_when_well_formed() {
    let rules = [
        json!({"match": {"phase": "execute", "step": "00-setup.md"}, "do": [
            {"final": "Done.\n\nCommit: feat(hello): say hello"}]}),
        json!({"match": {"phase": "execute", "step": "01-work.md"}, "do": [
            {"final": "Done.\n\nCommit: whatever\n\nTG-Run: 99"}]}),
    ];
    let app = short(&rules).make().await;
    worked(&app, None).await;
    let pushed = app.pushed(NAME).await;
    assert_eq!(pushed[1], "feat(hello): say hello [protocol-0001/00]");
    assert_eq!(pushed[2], "chore(protocol): 01-work.md [protocol-0001/01]");
}
