//! What a log line holds: the ids of what it is about, no secret, and one line whatever others said.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tg_core::lifecycle::Signal;
use tg_server::{
    flow::{self, Cause},
    log::{Form, Lines, Out},
    redact::Redactor,
    secret::Secret,
    testing::{api::Api, app::TestApp},
};
use tracing::{Instrument as _, level_filters::LevelFilter, subscriber::DefaultGuard};
use tracing_subscriber::{Layer as _, layer::SubscriberExt as _};

use crate::{
    database::TestDatabase,
    journey::{NAME, SHIM},
};

const SECRET: &str = "hunter2-hunter2-hunter2";

/// The lines that this thread logs from now on.
struct Kept {
    lines: Arc<Mutex<Vec<String>>>,
    _guard: DefaultGuard,
}

impl Kept {
    fn new(form: Form, level: LevelFilter) -> Self {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let redactor = Redactor::new(&[Secret::new(SECRET.to_owned())]);
        let layer = Lines::new(form, redactor, Out::Kept(lines.clone())).with_filter(level);
        let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(layer));
        Self { lines, _guard: guard }
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn json(&self) -> Vec<Value> {
        self.lines()
            .iter()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
            .collect()
    }

    fn saying(&self, message: &str) -> Vec<Value> {
        let lines = self.json();
        let found: Vec<Value> = lines.into_iter().filter(|line| line["message"] == message).collect();
        assert!(!found.is_empty(), "nobody said {message:?}: {:#?}", self.lines());
        found
    }
}

#[tokio::test]
async fn ids_flow_from_the_request_to_its_jobs_and_their_calls() {
    let world = TestApp::new(SHIM).await;
    let run = world.create(NAME, None).await;
    let kept = Kept::new(Form::Json, LevelFilter::INFO);
    let mut tx = world.app.db.begin().await.unwrap();
    let cause = Cause { request_id: Some("req-7"), ..Cause::default() };
    flow::advance(&world.app, &mut tx, run, Signal::Start, &cause).await.unwrap();
    tx.commit().await.unwrap();
    world.run_pending_jobs().await;

    let (run_id, project) = (Value::from(run.0), Value::from(world.project_id().0));
    let started = kept.saying("job started");
    for line in started.iter().chain(&kept.saying("job ended")).chain(&kept.saying("engine call ended")) {
        assert_eq!((&line["protocol_run_id"], &line["project_id"]), (&run_id, &project), "{line}");
        assert_eq!(line["request_id"], "req-7", "jobs hand it on to the jobs they queue: {line}");
        assert_eq!(line["level"], "INFO");
        assert!(line["logger"].as_str().unwrap().starts_with("tg_server::"), "{line}");
        let time = line["timestamp"].as_str().unwrap();
        assert!(time.len() == 24 && time.ends_with('Z'), "{time}");
    }
    let events = world.events(run).await;
    let jobs: Vec<&Value> = started.iter().map(|line| &line["job_id"]).collect();
    assert!(jobs.len() >= 3, "{jobs:?}");
    for event in &events {
        assert_eq!(event.metadata["request_id"], "req-7", "{event:?}");
        if let Some(job) = event.metadata.get("job_id") {
            assert!(jobs.contains(&job), "{event:?}");
        }
    }
    let calls: Vec<String> = world.calls(run).await.into_iter().map(|call| call.id.0).collect();
    for line in kept.saying("engine call ended") {
        let call = line["run_id"].as_str().unwrap();
        assert!(calls.iter().any(|known| known == call), "{line}");
        assert!(jobs.contains(&&line["job_id"]), "{line}");
    }
    let of_steps: Vec<_> = started.iter().filter(|line| line["job_type"] != "plan_protocol_job").collect();
    let steps: Vec<i64> = world.steps(run).await.iter().map(|step| step.id.0).collect();
    assert!(
        of_steps.iter().all(|line| steps.contains(&line["step_run_id"].as_i64().unwrap())),
        "{of_steps:#?}"
    );
    for line in kept.json() {
        for id in ["request_id", "run_id", "job_id", "project_id", "protocol_run_id", "step_run_id"] {
            assert!(line.get(id).is_some_and(|id| !id.is_null()), "{id} is always there: {line}");
        }
    }
    assert_eq!(started[0]["step_run_id"], "-");
}

#[tokio::test]
async fn a_request_is_told_in_one_line_without_secrets() {
    let test = TestDatabase::sqlite().await;
    let api = Api::new(&test.app());
    let kept = Kept::new(Form::Json, LevelFilter::INFO);
    let got = api.get("/projects?limit=1").await;
    assert_eq!(got.status, 200);
    assert_eq!(kept.lines(), Vec::<String>::new(), "reads that went well are not worth a line");

    let path = format!("/nothing/{SECRET}");
    api.call("GET", &path)
        .as_admin()
        .header("x-request-id", "mine.1")
        .header("x-protocol-run-id", "17")
        .send()
        .await;
    let line = kept.json().pop().unwrap();
    assert_eq!(kept.lines().len(), 1);
    assert_eq!((&line["message"], &line["method"]), (&Value::from("request"), &Value::from("GET")));
    assert_eq!((&line["status_code"], &line["request_id"]), (&Value::from(404), &Value::from("mine.1")));
    assert_eq!((&line["protocol_run_id"], &line["step_run_id"]), (&Value::from(17), &Value::from("-")));
    assert_eq!(line["route"], "unmatched");
    assert!(
        line["duration_ms"].is_u64() && line["path"].as_str().unwrap().starts_with("/nothing/"),
        "{line}"
    );
    assert!(!kept.lines()[0].contains("hunter2"), "{line}");

    api.call("POST", "/tokens").send().await;
    assert_eq!(kept.json().pop().unwrap()["status_code"], 401);
    let kept = Kept::new(Form::Json, LevelFilter::DEBUG);
    api.get("/projects?limit=77").await;
    let line = kept.saying("request").pop().unwrap();
    assert_eq!((&line["level"], &line["route"]), (&Value::from("DEBUG"), &Value::from("/projects")));
    assert!(kept.lines().iter().all(|line| !line.contains("limit")), "the query is not told");
}

#[test]
fn a_quiet_log_still_says_what_a_line_is_about() {
    let kept = Kept::new(Form::Json, LevelFilter::ERROR);
    let span = tracing::error_span!("request", request_id = "r-1");
    let inner = tracing::error_span!("job", request_id = "r-2", job_id = "j-1");
    span.in_scope(|| {
        tracing::info!("quiet");
        tracing::error!(error = "it broke", "outer");
        inner.in_scope(|| tracing::error!("inner"));
    });
    let lines = kept.json();
    assert_eq!(lines.len(), 2);
    assert_eq!((&lines[0]["request_id"], &lines[0]["job_id"]), (&Value::from("r-1"), &Value::from("-")));
    assert_eq!((&lines[1]["request_id"], &lines[1]["job_id"]), (&Value::from("r-2"), &Value::from("j-1")));
    assert_eq!(lines[0]["error"], "it broke");
    drop(tracing::Span::none().entered());
}

#[tokio::test]
async fn what_others_said_stays_in_its_line() {
    let hostile = format!("a\n2026-01-01T00:00:00.000Z ERROR fake\u{1b}[2J\u{9b}\r{SECRET} \"}} {{");
    let kept = Kept::new(Form::Plain, LevelFilter::INFO);
    async { tracing::info!(error = hostile, "said {hostile}") }
        .instrument(tracing::error_span!("job", job_id = "j\n1"))
        .await;
    let lines = kept.lines();
    assert_eq!(lines.len(), 1);
    assert!(!lines[0].chars().any(char::is_control), "{:?}", lines[0]);
    assert!(!lines[0].contains("hunter2") && lines[0].contains("fake"), "{}", lines[0]);
    assert!(lines[0].contains(" INFO it::log: said a"), "{}", lines[0]);
    let kept = Kept::new(Form::Json, LevelFilter::INFO);
    tracing::info!(error = hostile, "said {hostile}");
    let line = kept.json().pop().unwrap();
    assert!(line["error"].as_str().unwrap().contains("\n2026"), "{line}");
    assert!(!kept.lines()[0].contains('\n') && !kept.lines()[0].contains("hunter2"));
}
