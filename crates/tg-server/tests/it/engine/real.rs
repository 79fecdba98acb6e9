//! The real codex against a scripted provider, confined as in real life.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tg_server::{
    engine::{FailKind, Role, Session},
    testing::model_server::ModelServer,
};

use super::fixture::Fixture;

fn schema() -> Value {
    json!({"type": "object", "properties": {
        "verdict": {"type": "string", "enum": ["PASS", "FAIL"]}, "summary": {"type": "string"},
        "files": {"type": "array", "items": {"type": "string"}}},
        "required": ["verdict", "summary", "files"], "additionalProperties": false})
}

async fn confined(role: Role, base_url: &str) -> Option<Fixture> {
    Fixture::codex(role, base_url)?.confined().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_execution_changes_the_worktree_and_can_be_resumed() {
    let server = ModelServer::start().unwrap();
    let Some(mut fixture) = confined(Role::Execute, &server.base_url("ok")).await else { return };
    fixture.request.schema = Some(schema());
    let ended = fixture.run().await;
    assert_eq!(ended.outcome, Ok(()), "{}", fixture.log());
    assert_eq!(ended.structured.unwrap()["verdict"], "PASS");
    assert!(fixture.request.directory.join("hello.txt").is_file(), "{}", fixture.log());
    let usage = ended.usage.unwrap();
    assert_eq!((usage.input, usage.cache_read, usage.output, usage.reasoning), (468, 2000, 112, Some(32)));
    assert!(!fixture.log().contains("key-of-the-mock"));
    assert_eq!(fixture.alive(), Vec::<i32>::new());

    fixture.request.resume = Some(Session { id: ended.session.clone().unwrap(), prior: usage });
    let again = fixture.run().await;
    assert_eq!(again.outcome, Ok(()), "{}", fixture.log());
    assert_eq!(again.session, ended.session);
    let usage = again.usage.unwrap();
    assert!(usage.input < 1000 && usage.output <= 112, "{usage:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reading_role_changes_nothing() {
    let server = ModelServer::start().unwrap();
    let Some(fixture) = confined(Role::Qa, &server.base_url("ok")).await else { return };
    let ended = fixture.run().await;
    assert!(!fixture.request.directory.join("hello.txt").exists());
    assert_eq!(ended.outcome, Ok(()), "{}", fixture.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_escape_by_its_shell_fails() {
    let server = ModelServer::start().unwrap();
    let Some(fixture) = confined(Role::Execute, &server.base_url("escape")).await else { return };
    fixture.run().await;
    assert!(!fixture.root().join("tg-escape-probe.txt").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn prose_is_no_structured_answer() {
    let server = ModelServer::start().unwrap();
    let Some(mut fixture) = confined(Role::Plan, &server.base_url("badjson")).await else { return };
    fixture.request.schema = Some(schema());
    assert_eq!(fixture.run().await.outcome.unwrap_err().kind, FailKind::SchemaMismatch, "{}", fixture.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_of_the_provider_have_their_kind() {
    let server = ModelServer::start().unwrap();
    for (scenario, kind) in [
        ("e401", FailKind::Auth),
        ("equota", FailKind::Quota),
        ("ectx", FailKind::ContextTooLong),
        ("trunc", FailKind::Network),
    ] {
        let Some(fixture) = confined(Role::Execute, &server.base_url(scenario)).await else { return };
        let failure = fixture.run().await.outcome.unwrap_err();
        assert_eq!(failure.kind, kind, "{scenario}: {}", failure.message);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_it_does_not_know_and_a_lost_session_are_told_apart() {
    let server = ModelServer::start().unwrap();
    let Some(mut fixture) = confined(Role::Execute, &server.base_url("ok")).await else { return };
    fixture.request.resume = Some(Session {
        id: "00000000-0000-0000-0000-000000000000".to_owned(),
        prior: tg_core::protocol::Usage::default(),
    });
    assert_eq!(fixture.run().await.outcome.unwrap_err().kind, FailKind::SessionLost, "{}", fixture.log());
    fixture.request.resume = None;
    fixture.request.arguments.push("--no-such-flag".to_owned());
    assert_eq!(fixture.run().await.outcome.unwrap_err().kind, FailKind::BadInvocation, "{}", fixture.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_run_leaves_no_process() {
    let server = ModelServer::start().unwrap();
    let Some(fixture) = Fixture::codex(Role::Execute, &server.base_url("longshell")) else { return };
    for fixture in
        [Some(fixture), confined(Role::Execute, &server.base_url("longshell")).await].into_iter().flatten()
    {
        let (ended, start) = tokio::join!(fixture.run(), async {
            let is_at_work = |fixture: &Fixture| {
                fixture.alive().iter().any(|pid| {
                    std::fs::read(format!("/proc/{pid}/cmdline"))
                        .is_ok_and(|line| line.starts_with(b"sleep\0"))
                })
            };
            fixture.until("its shell sleeps", is_at_work).await;
            fixture.cancel.cancel();
            Instant::now()
        });
        assert_eq!(ended.outcome.unwrap_err().kind, FailKind::Cancelled);
        assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
        assert_eq!(fixture.alive(), Vec::<i32>::new());
    }
}
