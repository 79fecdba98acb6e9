//! What counts as success, and what each failure is called.

use serde_json::json;
use tg_server::{
    engine::{FailKind, Progress, Role},
    redact::Redactor,
    secret::Secret,
};

use super::fixture::{Fixture, plan_schema};

#[tokio::test]
async fn a_plan_is_valid_and_speaks_of_the_task() {
    let mut fixture = Fixture::new(Role::Plan, "ok");
    fixture.request.schema = Some(plan_schema());
    let ended = fixture.run().await;
    assert_eq!(ended.outcome, Ok(()));
    let plan = tg_core::plan::read(&ended.final_text).unwrap();
    assert!(plan.plan_md.contains("Add a greeting"));
    assert_eq!(plan.step_files.len(), 3);
    assert!(ended.structured.unwrap()["plan_md"].is_string());
    assert!(ended.session.unwrap().starts_with("dummy-"));
    let usage = ended.usage.unwrap();
    assert_eq!(
        (usage.input, usage.output, usage.reported),
        (fixture.request.prompt.len() as u64 / 4, 56, true)
    );
    assert!(ended.output_bytes > 0);
    assert!(fixture.alive().is_empty());
}

#[tokio::test]
async fn an_execution_writes_its_file_and_the_same_again() {
    let first = Fixture::new(Role::Execute, "ok");
    assert_eq!(first.run().await.outcome, Ok(()));
    let second = Fixture::new(Role::Execute, "ok");
    assert_eq!(second.run().await.outcome, Ok(()));
    let text = |fixture: &Fixture| {
        std::fs::read_to_string(fixture.request.directory.join("dummy/01-work.md")).unwrap()
    };
    assert_eq!(text(&first), text(&second));
    assert!(first.seen().contains(&Progress::FileChange("dummy/01-work.md".to_owned())));
    assert!(first.seen().contains(&Progress::ToolEnd { exit: Some(0) }));
}

#[tokio::test]
async fn verdicts_are_as_asked() {
    for (scenario, wanted) in [("ok", Some(true)), ("qa-fail", Some(false)), ("qa-garbage", None)] {
        let ended = Fixture::new(Role::Qa, scenario).run().await;
        assert_eq!(ended.outcome, Ok(()), "{scenario}");
        let verdict = tg_core::verdict::read(&ended.final_text);
        match wanted {
            Some(passed) => assert_eq!((verdict.is_pass(), verdict.why()), (passed, None), "{scenario}"),
            None => assert!(verdict.why().is_some(), "{scenario}"),
        }
    }
}

#[tokio::test]
async fn failures_have_their_kind() {
    for (scenario, kind) in [
        ("auth", FailKind::Auth),
        ("rate-limited", FailKind::RateLimited),
        ("quota", FailKind::Quota),
        ("context", FailKind::ContextTooLong),
        ("network", FailKind::Network),
        ("retry-then-ok", FailKind::Network),
        ("crash", FailKind::Crashed),
        ("no such", FailKind::BadInvocation),
    ] {
        let ended = Fixture::new(Role::Execute, scenario).run().await;
        assert_eq!(ended.outcome.unwrap_err().kind, kind, "{scenario}");
    }
}

#[tokio::test]
async fn a_second_attempt_of_retry_then_ok_succeeds() {
    let mut fixture = Fixture::new(Role::Execute, "retry-then-ok");
    fixture.request.attempt = 2;
    assert_eq!(fixture.run().await.outcome, Ok(()));
}

#[tokio::test]
async fn prose_and_wrong_json_are_no_structured_answer() {
    let mut fixture = Fixture::new(Role::Plan, "bad-json");
    fixture.request.schema = Some(plan_schema());
    assert_eq!(fixture.run().await.outcome.unwrap_err().kind, FailKind::SchemaMismatch);

    let mut fixture = Fixture::new(Role::Plan, "ok");
    fixture.request.schema = Some(json!({"type": "object", "required": ["verdict"]}));
    let failure = fixture.run().await.outcome.unwrap_err();
    assert_eq!(failure.kind, FailKind::SchemaMismatch);
    assert!(failure.message.contains("verdict"), "{}", failure.message);
}

#[tokio::test]
async fn status_zero_and_nothing_said_is_no_success() {
    let fixture = Fixture::script("cat >/dev/null; exit 0");
    assert_eq!(fixture.run().await.outcome.unwrap_err().kind, FailKind::BadOutput);
}

#[tokio::test]
async fn a_claim_of_success_counts_only_with_status_zero() {
    let fixture = Fixture::script("cat >/dev/null; echo '{\"type\":\"turn.completed\"}'; exit 3");
    assert_eq!(fixture.run().await.outcome.unwrap_err().kind, FailKind::Crashed);
}

#[tokio::test]
async fn a_missing_program_is_named() {
    let mut fixture = Fixture::script("exit 0");
    fixture.program =
        Some(tg_server::engine::supervise::Program { path: "/no/such/codex".into(), roots: Vec::new() });
    let failure = fixture.run().await.outcome.unwrap_err();
    assert_eq!(failure.kind, FailKind::NotInstalled);
    assert!(failure.message.contains("/no/such/codex"), "{}", failure.message);
}

#[tokio::test]
async fn the_prompt_arrives_whole_and_the_input_is_closed() {
    let mut fixture = Fixture::script(
        "n=$(wc -c); echo \"{\\\"type\\\":\\\"item.completed\\\",\\\"item\\\":{\\\"type\\\":\\\"agent_message\\\",\\\"text\\\":\\\"$n\\\"}}\"; \
         echo '{\"type\":\"turn.completed\"}'",
    );
    fixture.request.prompt = "å".repeat(1_000_000);
    let ended = fixture.run().await;
    assert_eq!(ended.outcome, Ok(()));
    assert_eq!(ended.final_text.trim(), "2000000");
}

#[tokio::test]
async fn a_script_file_is_played() {
    let mut fixture = Fixture::new(Role::Execute, "ok");
    let script = fixture.root().join("script.json");
    let rules = json!([
        {"match": {"phase": "qa"}, "do": [{"fail": "quota"}]},
        {"match": {"phase": "execute", "step": "01-work.md", "attempt": 1}, "do": [
            {"say": "hello"}, {"write": ["a/b.txt", "text"]}, {"sleep_ms": 1}, {"usage": {"input": 7, "output": 8}},
            {"raw": "not json"}, {"structured": {"a": 1}}]},
    ]);
    std::fs::write(&script, rules.to_string()).unwrap();
    fixture.config.dummy_script = Some(script);
    let ended = fixture.run().await;
    assert_eq!(ended.outcome, Ok(()));
    assert_eq!(ended.final_text, "{\"a\":1}");
    assert_eq!(ended.usage.unwrap().output, 8);
    assert_eq!(std::fs::read_to_string(fixture.request.directory.join("a/b.txt")).unwrap(), "text");
    assert!(fixture.said().contains("hello"));
    fixture.request.role = Role::Qa;
    assert_eq!(fixture.run().await.outcome.unwrap_err().kind, FailKind::Quota);
}

#[tokio::test]
async fn secrets_stay_out_of_log_progress_and_answer() {
    let mut fixture = Fixture::new(Role::Execute, "ok");
    let secret = "S3cret/val+ue-of-a-key";
    let script = fixture.root().join("script.json");
    let rules = json!([{"do": [{"say": format!("key {secret} end")}, {"raw": format!("x {secret}")}, {"final": format!("it is {secret}")}]}]);
    std::fs::write(&script, rules.to_string()).unwrap();
    fixture.config.dummy_script = Some(script);
    fixture.redactor = Redactor::new(&[Secret::new(secret.to_owned())]);
    fixture.request.environment.push(("KEY".to_owned(), Secret::new(secret.to_owned())));
    let ended = fixture.run().await;
    assert_eq!(ended.final_text, "it is [redacted]");
    let (log, said) = (fixture.log(), fixture.said());
    assert!(log.matches("[redacted]").count() >= 3, "{log}");
    assert!(said.contains("key [redacted] end"), "{said}");
    assert!(!log.contains(secret) && !said.contains(secret));
}

#[tokio::test]
async fn colours_and_broken_text_are_survived() {
    let ended = Fixture::new(Role::Execute, "ansi").run().await;
    assert_eq!(ended.outcome, Ok(()));
}

#[tokio::test]
async fn a_full_log_says_so_and_costs_nothing_else() {
    let mut fixture = Fixture::new(Role::Execute, "ok");
    fixture.limits.log_bytes = 100;
    assert_eq!(fixture.run().await.outcome, Ok(()));
    let log = fixture.log();
    assert_eq!(log.matches("log full").count(), 1, "{log}");
    assert!(log.len() < 200);
}

#[tokio::test]
async fn a_log_that_cannot_be_written_is_a_warning() {
    let fixture = Fixture::new(Role::Execute, "ok");
    std::fs::create_dir(fixture.request.call_dir.join("logs.txt")).unwrap();
    let ended = fixture.run().await;
    assert_eq!(ended.outcome, Ok(()));
    assert!(
        ended.warnings.iter().any(|warning| warning.contains("log of this call")),
        "{:?}",
        ended.warnings
    );
}
