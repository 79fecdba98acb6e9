//! The real Codex command line, end to end, against the scripted model server: it plans, executes and
//! judges, and it fails in every way a provider can. Without a Codex these tests are skipped loudly;
//! `make test` always has one.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};
use tg_server::testing::{
    model_server::{ModelServer, Served},
    require,
};

use crate::env::{Ended, TestEnv};

/// A whole run calls Codex a dozen times; a cold machine is slow.
const LIMIT: Duration = Duration::from_mins(5);

/// A state directory, a repository with a bare remote, a model server, a Codex.
struct World {
    env: TestEnv,
    server: ModelServer,
    repository: PathBuf,
    remote: PathBuf,
}

impl World {
    /// `None` where no Codex is to be had.
    fn new(scenario: &str) -> Option<Self> {
        let codex = require::codex()?;
        let mut env = TestEnv::outside_temp(LIMIT);
        let (repository, remote) = env.repository_with_remote("sample");
        let server = ModelServer::start().unwrap();
        let provider = format!(
            "model_providers.mock={{name=\"mock\",base_url=\"{}\",wire_api=\"responses\",env_key=\"MOCK_KEY\",\
             request_max_retries=0,stream_max_retries=0,stream_idle_timeout_ms=60000,supports_websockets=false}}",
            server.base_url(scenario)
        );
        env.set("TASKSGODZILLA_CODEX_BIN", codex.to_str().unwrap())
            .set(
                "TASKSGODZILLA_CODEX_ARGS",
                &json!(["-c", "model_provider=mock", "-c", provider]).to_string(),
            )
            .set("TASKSGODZILLA_ENGINE_ENV", "MOCK_KEY")
            .set("MOCK_KEY", "sk-mock-0123456789")
            .set("TASKSGODZILLA_CODEX_TIMEOUT_SECONDS", "90")
            .set("TASKSGODZILLA_ENGINE_IDLE_SECONDS", "60");
        Some(Self { env, server, repository, remote })
    }

    /// Runs a task on a repository.
    fn run_on(&self, repository: &Path) -> Ended {
        let repository = repository.to_str().unwrap();
        self.env.run(&[
            "run",
            "--engine",
            "codex",
            "--model",
            "mock-model",
            "--json",
            "--repo",
            repository,
            "Greet",
        ])
    }

    fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = arguments.to_vec();
        all.push("--json");
        self.env.ask(&all).ok().json().as_array().unwrap().clone()
    }

    /// The only run.
    fn the_run(&self) -> Value {
        let mut runs = self.list(&["protocols", "list"]);
        assert_eq!(runs.len(), 1, "{runs:?}");
        runs.remove(0)
    }

    fn calls(&self) -> Vec<Value> {
        self.list(&["runs", "list", "--protocol", "1", "--limit", "500"])
    }

    fn events(&self) -> Vec<Value> {
        self.list(&["events", "recent", "--protocol", "1", "--limit", "500"])
    }

    fn remote_git(&self, arguments: &[&str]) -> String {
        self.env.git(&self.remote, arguments)
    }
}

/// The engine calls among the rows of the registry.
fn engine_calls(calls: &[Value]) -> Vec<&Value> {
    calls.iter().filter(|call| call["cost_tokens"].is_i64()).collect()
}

/// Tokens of completed answers: cached and uncached input, and output.
const fn tokens(served: &Served) -> u64 {
    served.input_tokens + served.output_tokens
}

#[test]
fn it_plans_executes_judges_and_its_work_reaches_the_remote() {
    let Some(world) = World::new("work") else { return };
    let before = world.env.git(&world.repository, &["status", "--porcelain=v2", "--branch"]);
    let run = world.run_on(&world.repository).ok().json();
    assert_eq!(run["status"], "completed", "{run}");
    assert_eq!(run["engine"], "codex");
    assert_eq!(run["protocol_name"], "0001-greet");

    // The file is there, on the remote, and the person's checkout is as it was.
    assert_eq!(world.remote_git(&["show", "0001-greet:greeting.txt"]), "hello\ngoodbye\n");
    assert_eq!(world.env.git(&world.repository, &["status", "--porcelain=v2", "--branch"]), before);
    assert!(!world.repository.join("greeting.txt").exists());

    // One commit for the plan and one for each step that changed something, in the form of the contract.
    let subjects = world.remote_git(&["log", "--reverse", "--format=%s", "main..0001-greet"]);
    let subjects: Vec<&str> = subjects.lines().collect();
    assert_eq!(subjects[0], "feat(protocol): add plan for 0001-greet [protocol-0001/00]");
    assert!(subjects.contains(&"feat(work): carry out the step [protocol-0001/01]"), "{subjects:?}");
    assert!(subjects.contains(&"feat(work): carry out the step [protocol-0001/02]"), "{subjects:?}");
    let trailers = world.remote_git(&["log", "-1", "--format=%b", "0001-greet"]);
    for trailer in ["TG-Run: ", "TG-Engine: codex", "TG-Model: mock-model", "TG-Prompt: "] {
        assert!(trailers.contains(trailer), "{trailer} not in {trailers}");
    }

    // What was recorded is what the server says it served: no call is missed, none is counted twice.
    let served = world.server.served("work");
    assert_eq!(served.requests, served.completed, "{served:?}");
    assert!(served.completed >= 6, "plan, work and judgement: {served:?}");
    let calls = world.calls();
    let recorded: i64 = engine_calls(&calls).iter().filter_map(|call| call["cost_tokens"].as_i64()).sum();
    assert_eq!(u64::try_from(recorded).unwrap(), tokens(&served), "{calls:#?}");

    // The key went to the engine and nowhere else.
    let shown = format!("{run}{calls:?}{:?}", world.events());
    assert!(!shown.contains("sk-mock-0123456789"));
    let verified = world.env.run(&["verify", "--json"]);
    verified.ok();
}

#[test]
fn a_verdict_of_fail_stays_a_fail() {
    let Some(world) = World::new("work-qafail") else { return };
    let ended = world.run_on(&world.repository);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let run = world.the_run();
    assert_eq!(run["status"], "blocked", "{run}");
    let steps = world.list(&["steps", "list", "--protocol", "1"]);
    let failed: Vec<&Value> = steps.iter().filter(|step| step["status"] == "failed").collect();
    assert_eq!(failed.len(), 1, "{steps:#?}");
    assert!(steps.iter().any(|step| step["status"] == "pending"), "what follows was not begun: {steps:#?}");
    assert!(world.events().iter().any(|event| event["event_type"] == "qa_failed"));
    assert!(!world.events().iter().any(|event| event["event_type"] == "protocol_completed"));
}

/// Runs against a scenario that breaks; the run must rest blocked for the reason, each call of the engine
/// must have failed by the kind, and nothing must have been written.
fn blocked_by(scenario: &str, kind: &str, reason: &str, settings: &[(&str, &str)]) {
    let Some(mut world) = World::new(scenario) else { return };
    for (name, value) in settings {
        world.env.set(name, value);
    }
    let ended = world.run_on(&world.repository);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let run = world.the_run();
    assert_eq!(run["status"], "blocked", "{run}");
    assert_eq!(run["status_reason"]["code"], reason, "{run}");
    let calls = world.calls();
    let kinds: Vec<&str> =
        engine_calls(&calls).iter().filter_map(|call| call["result"]["error_type"].as_str()).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|found| *found == kind), "{kind}: {calls:#?}");
    assert!(calls.iter().all(|call| call["status"] == "failed"), "{calls:#?}");
    let told = world.events();
    assert!(
        told.iter()
            .any(|event| event["event_type"] == "planning_failed" && event["metadata"]["error_type"] == kind),
        "{told:#?}"
    );
    let branches = world.remote_git(&["for-each-ref", "--format=%(refname:short)"]);
    assert_eq!(branches.trim(), "main", "nothing is pushed");
}

#[test]
fn a_refused_key_blocks_as_auth() {
    blocked_by("e401", "auth", "engine_unavailable", &[]);
}

#[test]
fn too_many_requests_block_as_rate_limited() {
    blocked_by("e429", "rate_limited", "engine_error", &[]);
}

#[test]
fn a_used_up_quota_blocks_as_quota() {
    blocked_by("equota", "quota", "engine_unavailable", &[]);
}

#[test]
fn a_failing_provider_blocks_as_provider() {
    blocked_by("e500", "provider", "engine_error", &[]);
}

#[test]
fn a_cut_stream_blocks_as_network() {
    blocked_by("trunc", "network", "engine_error", &[]);
}

#[test]
fn a_prompt_too_long_blocks_as_such() {
    blocked_by("ectx", "context_too_long", "engine_error", &[]);
}

#[test]
fn silence_blocks_as_idle() {
    blocked_by(
        "hang",
        "timeout_idle",
        "engine_error",
        &[("TASKSGODZILLA_ENGINE_IDLE_SECONDS", "4"), ("TASKSGODZILLA_ENGINE_GRACE_SECONDS", "1")],
    );
}

#[test]
fn a_call_past_its_wall_limit_blocks_as_such() {
    blocked_by(
        "hangsse",
        "timeout_wall",
        "engine_error",
        &[("TASKSGODZILLA_CODEX_TIMEOUT_SECONDS", "5"), ("TASKSGODZILLA_ENGINE_GRACE_SECONDS", "1")],
    );
}

#[test]
fn prose_instead_of_a_plan_blocks() {
    let Some(world) = World::new("badjson") else { return };
    let ended = world.run_on(&world.repository);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert_eq!(world.the_run()["status"], "blocked");
    assert!(world.list(&["steps", "list", "--protocol", "1"]).is_empty(), "no plan, no steps");
}

#[test]
fn a_plan_outside_its_folder_blocks_and_nothing_is_written() {
    let Some(world) = World::new("work-badplan") else { return };
    let ended = world.run_on(&world.repository);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let run = world.the_run();
    assert_eq!(
        (run["status"].as_str(), &run["status_reason"]["code"]),
        (Some("blocked"), &json!("planning_invalid"))
    );
    let branches = world.remote_git(&["for-each-ref", "--format=%(refname:short)"]);
    assert_eq!(branches.trim(), "main");
}

/// Source of a published crate that this workspace depends on, as the package tool unpacked it.
#[expect(clippy::disallowed_methods, reason = "the package tool knows where sources lie")]
fn published_source(name: &str) -> PathBuf {
    // Only of this platform: sources of the others were never fetched.
    let platform = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = std::process::Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &platform])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let package =
        metadata["packages"].as_array().unwrap().iter().find(|package| package["name"] == name).unwrap();
    Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn a_repository_that_none_of_us_wrote_goes_through() {
    let Some(world) = World::new("work") else { return };
    let repository = world.env.path("foreign");
    copy(&published_source("itoa"), &repository);
    world.env.git(&repository, &["init", "-q", "-b", "trunk"]);
    world.env.git(&repository, &["add", "-A"]);
    world.env.git(&repository, &["commit", "-qm", "as published"]);
    let remote = world.env.path("foreign.git");
    world.env.git(&repository, &["clone", "-q", "--bare", ".", remote.to_str().unwrap()]);
    world.env.git(&repository, &["remote", "add", "origin", remote.to_str().unwrap()]);
    world.env.git(&repository, &["fetch", "-q"]);

    let run = world.run_on(&repository).ok().json();
    assert_eq!(
        (run["status"].as_str(), run["base_branch"].as_str()),
        (Some("completed"), Some("trunk")),
        "{run}"
    );
    assert_eq!(world.env.git(&remote, &["show", "0001-greet:greeting.txt"]), "hello\ngoodbye\n");
    let changed = world.env.git(&remote, &["diff", "--name-status", "trunk...0001-greet"]);
    for line in changed.lines() {
        assert!(line == "A\tgreeting.txt" || line.starts_with("A\t.protocols/0001-greet/"), "{changed}");
    }
    assert_eq!(world.env.git(&repository, &["status", "--porcelain"]), "");
}
