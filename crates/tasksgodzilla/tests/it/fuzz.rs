//! Schemathesis against the real server: requests made from the document it serves, valid and broken
//! ones, must give no server error and no answer that the document does not know.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};
use tg_server::testing::require;

use crate::env::TestEnv;

const TOKEN: &str = "fuzz-0123456789abcdef0123456789abcdef";
/// Time the whole run may take.
const LIMIT: Duration = Duration::from_mins(8);

/// A request as the admin; the answer's JSON, if it has one.
fn call(address: &str, method: &str, path: &str, body: &Value) -> Value {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 2"), "{method} {path}: {answer}");
    serde_json::from_str(body).unwrap_or_default()
}

/// Something behind the ids that the requests name.
fn furnish(address: &str) {
    let url = "https://forge.example/team/one.git";
    call(address, "POST", "/projects", &json!({"name": "one", "git_url": url}));
    for name in ["run-one", "run-two"] {
        call(address, "POST", "/projects/1/protocols", &json!({"protocol_name": name, "engine": "dummy"}));
        let step = json!({"step_index": 0, "step_name": "00-work.md", "step_type": "work"});
        let run = if name == "run-one" { 1 } else { 2 };
        call(address, "POST", &format!("/protocols/{run}/steps"), &step);
    }
    call(address, "POST", "/runs/start", &json!({"job_type": "outside", "run_id": "one", "project_id": 1}));
}

#[test]
fn no_request_made_from_the_document_breaks_the_server_or_the_document() {
    let Some(schemathesis) = require::schemathesis() else { return };
    let mut env = TestEnv::outside_temp(LIMIT);
    env.set("TASKSGODZILLA_API_TOKEN", TOKEN);
    env.set("TASKSGODZILLA_RATE_LIMIT_PER_SECOND", "100000");
    env.set("TASKSGODZILLA_RATE_LIMIT_BURST", "100000");
    env.set("TASKSGODZILLA_LOGIN_FAILURES_PER_MINUTE", "100000");
    env.set("TASKSGODZILLA_LOG_LEVEL", "error");
    let mut server = env.start(&["serve", "--port", "0", "--no-worker"]);
    let line = server.line(|line| line.starts_with("serving http://"));
    let address = line.trim_start_matches("serving http://").split(' ').next().unwrap().to_owned();
    furnish(&address);
    let settings = env.path("schemathesis.toml");
    std::fs::write(&settings, SETTINGS).unwrap();
    let url = format!("http://{address}/openapi.json");
    let ended = env.run_program(
        &schemathesis,
        &["--config-file", settings.to_str().unwrap(), "run", &url, "--no-color"],
    );
    let told: String = ended
        .stdout
        .lines()
        .rev()
        .take(120)
        .collect::<Vec<_>>()
        .into_iter()
        .rev()
        .collect::<Vec<_>>()
        .join("\n");
    assert_eq!(ended.code, Some(0), "{told}\n{}", ended.stderr);
    let tested = ended.stdout.lines().find(|line| line.contains("Tested:")).unwrap_or_default();
    let count: usize =
        tested.chars().filter(char::is_ascii_digit).collect::<String>().parse().unwrap_or_default();
    assert!(count >= 50, "only {count} operations were tested: {told}");
    let health = call(&address, "GET", "/health", &Value::Null);
    assert_eq!(health["status"], "ok");
    server.signal("-TERM").ok();
}

/// Ids name something that is there half of the time. Streams never end, so no client that waits for the
/// whole answer can test them; they have tests of their own. A body that fits its schema may still break
/// a rule that no schema can say (a remote that may be used, an engine that exists), so it may be refused.
const SETTINGS: &str = r#"
headers = { Authorization = "Bearer fuzz-0123456789abcdef0123456789abcdef" }
workers = 2
request-timeout = 20
continue-on-failure = true
seed = 1
[generation]
max-examples = 12
database = "none"
[[operations]]
include-path-regex = "stream$"
enabled = false
[checks]
positive_data_acceptance.enabled = false
"#;
