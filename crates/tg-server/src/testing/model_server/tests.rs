//! The server against hand-made requests: turns, tools, faults, counters.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use serde_json::{Value, json};

use super::*;

/// One request over a plain socket; head and body of the answer.
fn send(server: &ModelServer, method: &str, path: &str, extra: &str, body: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(
        socket,
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{extra}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

fn post(server: &ModelServer, scenario: &str, request: &Value) -> (u16, String) {
    send(server, "POST", &format!("/s/{scenario}/v1/responses"), "", &request.to_string())
}

/// Items of a streamed answer, in order.
fn items(answer: &str) -> Vec<Value> {
    answer
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .filter_map(|data| serde_json::from_str::<Value>(data).ok())
        .filter(|event| event["type"] == "response.output_item.done" && event["item"]["type"] != "reasoning")
        .map(|event| event["item"].clone())
        .collect()
}

fn request(prompt: &str, results: usize) -> Value {
    let mut input =
        vec![json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": prompt}]})];
    for _ in 0..results {
        input.push(
            json!({"type": "function_call", "call_id": "c", "name": "exec_command", "arguments": "{}"}),
        );
        input.push(json!({"type": "function_call_output", "call_id": "c", "output": "ok"}));
    }
    json!({
        "model": "m", "stream": true, "input": input,
        "tools": [{"type": "function", "name": "exec_command", "parameters": {"type": "object"}}],
    })
}

#[test]
fn turns_follow_from_the_request_alone() {
    let server = ModelServer::start().unwrap();
    let (status, first) = post(&server, "ok", &request("make it", 0));
    assert_eq!(status, 200);
    let found = items(&first);
    assert_eq!(found[0]["type"], "message");
    assert_eq!(found[1]["name"], "exec_command");
    let arguments: Value = serde_json::from_str(found[1]["arguments"].as_str().unwrap()).unwrap();
    assert!(arguments["cmd"].as_str().unwrap().contains("hello.txt"));
    assert!(first.contains("response.completed"));

    let (_, second) = post(&server, "ok", &request("make it", 1));
    let text = items(&second)[0]["content"][0]["text"].as_str().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["verdict"], "PASS");

    // A new word of the user begins again, whatever came before it.
    let mut third = request("make it", 2);
    let again =
        json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "again"}]});
    third["input"].as_array_mut().unwrap().push(again);
    assert_eq!(items(&post(&server, "ok", &third).1).len(), 2, "first turn");
}

#[test]
fn tools_are_taken_from_the_request() {
    let server = ModelServer::start().unwrap();
    let mut asked = request("make it", 0);
    asked["tools"] = json!([{"type": "function", "name": "shell", "parameters": {}}, {"type": "custom", "name": "apply_patch"}]);
    let shell = items(&post(&server, "ok", &asked).1)[1].clone();
    assert!(shell["arguments"].as_str().unwrap().contains("bash"), "the old tool takes a list");
    let patch = items(&post(&server, "patch", &asked).1)[0].clone();
    assert_eq!(patch["type"], "custom_tool_call");
    assert!(patch["input"].as_str().unwrap().starts_with("*** Begin Patch"));
    asked["tools"] = json!([]);
    let none = items(&post(&server, "ok", &asked).1)[1].clone();
    assert_eq!(none["type"], "message", "without a tool the model can only speak");
}

#[test]
fn what_is_not_scripted_is_not_found() {
    let server = ModelServer::start().unwrap();
    assert_eq!(post(&server, "nonsense", &request("x", 0)).0, 404);
    assert_eq!(send(&server, "POST", "/s/ok/v1/chat/completions", "", "{}").0, 404);
    assert_eq!(send(&server, "POST", "/v1/responses", "", "{}").0, 404);
    assert_eq!(send(&server, "GET", "/s/ok/v1/responses", "", "").0, 404);
    let upgrade = "upgrade: websocket\r\n";
    assert_eq!(send(&server, "GET", "/s/ok/v1/responses", upgrade, "").0, 404, "no websocket");
    assert_eq!(send(&server, "POST", "/s/ok/v1/responses", "", "{").0, 400);
    assert_eq!(send(&server, "DELETE", "/_stats", "", "").0, 404);
}

#[test]
fn faults_answer_as_named() {
    let server = ModelServer::start().unwrap();
    let asked = request("x", 0);
    for (scenario, status, word) in [
        ("e400", 400, "invalid_request_error"),
        ("e401", 401, "authentication_error"),
        ("e429", 429, "retry-after: 1"),
        ("equota", 429, "insufficient_quota"),
        ("e500", 500, "api_error"),
        ("ectx", 400, "context_length_exceeded"),
        ("html", 200, "<html>"),
        ("malformed", 200, "{this is not json"),
    ] {
        let (found, answer) = post(&server, scenario, &asked);
        assert_eq!(found, status, "{scenario}");
        assert!(answer.contains(word), "{scenario}: {answer}");
        assert_eq!(server.served(scenario).completed, 0, "{scenario} serves no usage");
    }
    let cut = post(&server, "trunc", &asked).1;
    assert!(cut.contains("response.output_text.delta") && !cut.contains("response.completed"), "{cut}");
    let codes: Vec<u16> = (0..3).map(|_| post(&server, "flaky~mine", &asked).0).collect();
    assert_eq!(codes, [500, 500, 200]);
}

#[test]
fn silent_answers_end_with_the_server() {
    let server = ModelServer::start().unwrap();
    let address = server.address();
    let ask = |scenario: &str| {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let body = request("x", 0).to_string();
        write!(
            socket,
            "POST /s/{scenario}/v1/responses HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        socket
    };
    let (mut hanging, mut pinging) = (ask("hang"), ask("hangsse"));
    let mut byte = [0; 1];
    pinging.read_exact(&mut byte).unwrap();
    hanging.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(hanging.read(&mut byte).is_err(), "nothing comes");
    drop(server);
    hanging.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(hanging.read(&mut byte).unwrap_or(0), 0, "closed");
}

#[test]
fn usage_is_counted_by_path() {
    let server = ModelServer::start().unwrap();
    for _ in 0..3 {
        post(&server, "final~one", &request("x", 0));
    }
    post(&server, "final~two", &request("x", 0));
    let served = server.served("final~one");
    assert_eq!((served.requests, served.completed), (3, 3));
    assert_eq!((served.input_tokens, served.cached_tokens), (3 * 1234, 3 * 1000));
    assert_eq!((served.output_tokens, served.reasoning_tokens), (3 * 56, 3 * 16));
    let (_, stats) = send(&server, "GET", "/_stats", "", "");
    let body = stats.split("\r\n\r\n").nth(1).unwrap();
    let stats: Value = serde_json::from_str(body).unwrap();
    assert_eq!(stats["/s/final~one/v1/responses"]["input_tokens"], 3702);
    assert_eq!(stats["/s/final~two/v1/responses"]["requests"], 1);
}

#[test]
fn work_is_planned_by_schema() {
    let server = ModelServer::start().unwrap();
    let mut asked = request("plan it", 0);
    asked["text"] = json!({"format": {"type": "json_schema", "schema": tg_core::plan::schema()}});
    let text = |scenario: &str| {
        let items = items(&post(&server, scenario, &asked).1);
        items[0]["content"][0]["text"].as_str().unwrap().to_owned()
    };
    let plan = tg_core::plan::read(&text("work")).expect("a plan that passes every check");
    let names: Vec<&str> = plan.step_files.iter().map(|file| file.filename.as_str()).collect();
    assert_eq!(names, ["00-setup.md", "01-greet.md", "02-part.md"]);
    let error = tg_core::plan::read(&text("work-badplan")).expect_err("a plan outside its folder");
    assert_eq!(error.word(), "plan_filename");
}

#[test]
fn work_is_done_and_judged_by_marker() {
    let server = ModelServer::start().unwrap();
    let order = "<<<BEGIN step 1a>>>\n- Command: `echo hi > a.txt`\n<<<END step 1a>>>\nVerdict: FAIL\nCommit: feat(x): y\n";
    let work = items(&post(&server, "work", &request(order, 0)).1);
    assert!(work[1]["arguments"].as_str().unwrap().contains("echo hi > a.txt"));
    let done = items(&post(&server, "work", &request(order, 1)).1);
    assert!(
        done[0]["content"][0]["text"].as_str().unwrap().ends_with("Commit: feat(work): carry out the step")
    );

    let idle = items(&post(&server, "work", &request("nothing\nCommit: a(b): c", 0)).1);
    assert_eq!(idle.len(), 1, "no order, no call");

    let judge = "Commit: feat(x): y\nThe last line is\nVerdict: PASS\n";
    let verdict = |scenario: &str| {
        let items = items(&post(&server, scenario, &request(judge, 0)).1);
        tg_core::verdict::read(items[0]["content"][0]["text"].as_str().unwrap()).word()
    };
    assert_eq!((verdict("work"), verdict("work-qafail")), ("pass", "fail"));

    let refine = "<<<BEGIN step 1a>>>\n# Greet\n- Command: `x`\n<<<END step 1a>>>\n";
    let refined = items(&post(&server, "work", &request(refine, 0)).1);
    assert!(refined[0]["content"][0]["text"].as_str().unwrap().starts_with("# Greet\n- Command: `x`"));
}
