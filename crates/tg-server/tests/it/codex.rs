//! The codex adapter: real transcripts, cut everywhere, and its command lines.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tg_core::{ids::CallId, protocol::Usage};
use tg_server::engine::{
    CommandLine, Engine, Exit, FailKind, Pipe, Progress, Reading, Request, Role, Session, codex::Codex,
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/transcripts")
}

fn expected() -> BTreeMap<String, Value> {
    serde_json::from_slice(&fs::read(folder().join("expected.json")).unwrap()).unwrap()
}

fn request() -> Request {
    Request {
        call: CallId("call".to_owned()),
        role: Role::Execute,
        step: "01-work.md".to_owned(),
        attempt: 1,
        directory: "/repo".into(),
        prompt: "do it".to_owned(),
        model: Some("some-model".to_owned()),
        schema: None,
        resume: None,
        home: "/state/engines/1/codex".into(),
        login: None,
        call_dir: "/state/runs/call".into(),
        unconfined: false,
        environment: Vec::new(),
        arguments: Vec::new(),
    }
}

fn read(request: &Request, out: &str, err: &str, exit: Exit) -> (Reading, Vec<Progress>) {
    let mut reader = Codex.reader(request);
    let mut seen = Vec::new();
    for line in err.lines() {
        seen.extend(reader.line(Pipe::Err, line));
    }
    for line in out.lines() {
        seen.extend(reader.line(Pipe::Out, line));
    }
    (reader.finish(exit), seen)
}

fn transcript(name: &str) -> (String, String) {
    let text =
        |ending: &str| fs::read_to_string(folder().join(format!("{name}.{ending}"))).unwrap_or_default();
    (text("jsonl"), text("stderr"))
}

fn kind(word: &str) -> FailKind {
    match word {
        "auth" => FailKind::Auth,
        "bad_invocation" => FailKind::BadInvocation,
        "cancelled" => FailKind::Cancelled,
        "context_too_long" => FailKind::ContextTooLong,
        "network" => FailKind::Network,
        "quota" => FailKind::Quota,
        "rate_limited" => FailKind::RateLimited,
        "sandbox" => FailKind::Sandbox,
        "session_lost" => FailKind::SessionLost,
        other => panic!("no such kind: {other}"),
    }
}

#[test]
fn every_transcript_is_read_as_expected() {
    let expected = expected();
    assert_eq!(expected.len(), 18);
    for (name, wanted) in &expected {
        let (out, err) = transcript(name);
        assert!(!out.is_empty() || !err.is_empty(), "{name}");
        let exit = wanted["exit"].as_i64();
        let exit = exit.map_or(Exit::Stopped, |status| Exit::Status(i32::try_from(status).unwrap()));
        let (reading, seen) = read(&request(), &out, &err, exit);
        assert_eq!(reading.session.as_deref(), wanted["session"].as_str(), "{name}");
        let usage = reading.usage.map(|usage| {
            serde_json::json!({"input": usage.input, "cache_read": usage.cache_read, "cache_write": usage.cache_write,
                "output": usage.output, "reasoning": usage.reasoning, "cost_usd": usage.cost_usd})
        });
        assert_eq!(usage.unwrap_or_default(), wanted["usage"], "{name}");
        // Prose in the place of JSON is for the supervisor to refuse: it knows the schema.
        let is_schema = wanted["failure"] == "schema_mismatch";
        match wanted["failure"].as_str().filter(|_| !is_schema) {
            None => {
                assert_eq!(reading.outcome, Ok(()), "{name}");
                let text = if is_schema { &wanted["message"] } else { &wanted["final_text"] };
                assert_eq!(reading.final_text.as_deref(), text.as_str(), "{name}");
            }
            Some(word) => {
                let failure = reading.outcome.unwrap_err();
                assert_eq!(failure.kind, kind(word), "{name}: {}", failure.message);
                let message = wanted["message"].as_str().unwrap_or_default();
                let beginning = message.split('…').next().unwrap();
                assert!(failure.message.contains(beginning), "{name}: {} / {message}", failure.message);
                assert_eq!(reading.final_text, None, "{name}");
            }
        }
        let note = wanted["note"].as_str().unwrap_or_default();
        let retries = seen.iter().filter(|item| matches!(item, Progress::Retry(_))).count();
        assert_eq!(retries, usize::from(note.contains("1 retry event")), "{name}");
        let warned = reading.warnings.iter().any(|warning| warning.contains("command failed"));
        assert_eq!(warned, note.contains("command failed"), "{name}");
    }
}

#[test]
fn a_signal_that_was_not_ours_is_a_crash() {
    let (out, err) = transcript("codex-sigterm");
    let (reading, seen) = read(&request(), &out, &err, Exit::Signal(15));
    assert_eq!(reading.outcome.unwrap_err().kind, FailKind::Crashed);
    assert!(matches!(&seen[..], [.., Progress::ToolStart(_)]), "a tool is open: {seen:?}");
}

#[test]
fn a_resumed_session_counts_only_its_own() {
    let prior = Usage { input: 468, cache_read: 2000, output: 112, reasoning: Some(32), ..Usage::default() };
    let session = Session { id: "01a1f934-4e73-7c02-8c6c-0404734c742a".to_owned(), prior };
    let request = Request { resume: Some(session), ..request() };
    let (out, err) = transcript("codex-resume");
    let usage = read(&request, &out, &err, Exit::Status(0)).0.usage.unwrap();
    assert_eq!(
        (usage.input, usage.cache_read, usage.cache_write, usage.output, usage.reasoning),
        (234, 1000, 0, 56, Some(16))
    );
    assert!(usage.reported);
}

/// Whatever is missing at the end, nobody may take it for success, not even with status 0.
#[test]
fn a_transcript_cut_anywhere_is_no_success() {
    for name in expected().into_keys() {
        let (out, err) = transcript(&name);
        let end = out.trim_end().len();
        for cut in (0..end).filter(|cut| out.is_char_boundary(*cut)) {
            let (reading, _) = read(&request(), &out[..cut], &err, Exit::Status(0));
            assert!(reading.outcome.is_err(), "{name} cut at {cut}");
            assert_eq!(reading.final_text, None, "{name} cut at {cut}");
        }
        for status in [1, 2, 137] {
            let (reading, _) = read(&request(), &out, &err, Exit::Status(status));
            assert!(reading.outcome.is_err(), "{name} with status {status}");
        }
        for gone in 0..out.lines().count() {
            let rest: Vec<&str> =
                out.lines().enumerate().filter(|(at, _)| *at != gone).map(|(_, line)| line).collect();
            let is_end = |line: &&str| line.contains("\"turn.completed\"");
            let (reading, _) = read(&request(), &rest.join("\n"), &err, Exit::Status(0));
            assert!(reading.outcome.is_err() || rest.iter().any(is_end), "{name} without line {gone}");
        }
    }
}

#[test]
fn a_turn_that_begins_again_is_open_again() {
    let out = "{\"type\":\"turn.completed\"}\n{\"type\":\"turn.started\"}";
    assert_eq!(read(&request(), out, "", Exit::Status(0)).0.outcome.unwrap_err().kind, FailKind::BadOutput);
}

#[test]
fn strange_lines_are_noise() {
    let strange = "null\n[]\n{}\n{\"type\":7}\n{\"type\":\"item.completed\"}\n{\"type\":\"item.completed\",\"item\":7}\n\
        {\"type\":\"item.started\",\"item\":{\"type\":\"command_execution\",\"id\":[]}}\n\u{0}\n{\"type\":\"thread.started\"}\n\
        {\"type\":\"brand.new\",\"a\":1}\n{\"type\":\"turn.completed\",\"usage\":{\"input_tokens\":-1}}\n";
    let (reading, _) = read(&request(), strange, "", Exit::Status(0));
    assert_eq!(reading.outcome.unwrap_err().kind, FailKind::BadOutput);
}

fn words(line: &CommandLine) -> Vec<String> {
    line.arguments.iter().map(|word| word.to_str().unwrap().to_owned()).collect()
}

fn follows(words: &[String], first: &str, second: &str) -> bool {
    words.windows(2).any(|pair| pair == [first, second])
}

#[test]
fn the_command_line_is_as_narrow_as_the_role() {
    for (role, access) in [
        (Role::Discover, "read-only"),
        (Role::Plan, "read-only"),
        (Role::Execute, "workspace-write"),
        (Role::Qa, "read-only"),
    ] {
        let request = Request { role, arguments: vec!["-c".into(), "x=1".into()], ..request() };
        let line = Codex.command(Path::new("/opt/codex"), &request);
        let words = words(&line);
        assert_eq!(words[0], "exec");
        assert!(
            follows(&words, "-s", access)
                && follows(&words, "-C", "/repo")
                && follows(&words, "-m", "some-model")
        );
        assert_eq!(words[words.len() - 3..], ["-c", "x=1", "-"]);
        assert!(
            words.iter().all(|word| !word.contains("do it")
                && !word.contains("danger")
                && !word.contains("full-auto"))
        );
        assert!(!words.contains(&"--output-schema".to_owned()));
        let home = &line.environment.iter().find(|(name, _)| name == "CODEX_HOME").unwrap().1;
        assert_eq!(home.expose(), "/state/engines/1/codex/codex");
    }
}

#[test]
fn a_schema_goes_into_a_file_the_engine_may_see() {
    let request = Request { schema: Some(serde_json::json!({"type": "object"})), ..request() };
    let line = Codex.command(Path::new("/opt/codex"), &request);
    let path = "/state/runs/call/exchange/schema.json";
    assert!(follows(&words(&line), "--output-schema", path));
    let (_, content) = line.files.iter().find(|(file, _)| file == Path::new(path)).unwrap();
    assert_eq!(content, b"{\"type\":\"object\"}");
}

#[test]
fn a_resumed_session_is_named_before_the_prompt() {
    let session = Session { id: "0199-abc".to_owned(), prior: Usage::default() };
    let words =
        words(&Codex.command(Path::new("/opt/codex"), &Request { resume: Some(session), ..request() }));
    assert_eq!(words[..2], ["exec", "resume"]);
    assert_eq!(words[words.len() - 2..], ["0199-abc", "-"]);
    assert!(follows(&words, "-c", "sandbox_mode=workspace-write"));
    assert!(!words.contains(&"-C".to_owned()) && !words.contains(&"-s".to_owned()));
}

#[test]
fn a_flood_of_long_items_is_not_kept() {
    let long = "x".repeat(500_000);
    let mut reader = Codex.reader(&request());
    for at in 0..50 {
        reader.line(Pipe::Err, &format!("ERROR {at} {long}"));
        reader.line(Pipe::Out, &serde_json::json!({"type": "error", "message": long}).to_string());
        let item = serde_json::json!({"id": at, "type": "error", "message": long});
        reader.line(Pipe::Out, &serde_json::json!({"type": "item.completed", "item": item}).to_string());
    }
    let reading = reader.finish(Exit::Status(1));
    let kept: usize = reading.warnings.iter().map(String::len).sum();
    assert!(kept <= 50_000, "{kept}");
    assert!(reading.outcome.unwrap_err().message.len() <= 1000);
}
