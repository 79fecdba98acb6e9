//! `serve`: health and readiness, one server per state directory, a clean end.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use crate::env::TestEnv;

fn get(address: &str, path: &str) -> (u16, serde_json::Value, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap(), head.to_ascii_lowercase())
}

#[test]
fn it_answers_and_ends_clean() {
    let env = TestEnv::new();
    let (server, address) = env.serve(&[]);
    let (status, health, _) = get(&address, "/health");
    assert_eq!((status, health["status"].as_str()), (200, Some("ok")));
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    let (status, ready, _) = get(&address, "/ready");
    assert_eq!(status, 200, "{ready}");
    assert_eq!(ready["checks"]["db"]["ok"], true);
    assert_eq!(ready["checks"]["queue"]["workers"], 1);
    let (status, problem, head) = get(&address, "/projects");
    assert_eq!((status, problem["code"].as_str()), (401, Some("unauthorized")));
    assert!(head.contains("application/problem+json"), "{head}");
    let url = std::fs::read_to_string(env.home().join("url")).unwrap();
    assert_eq!(url.trim(), format!("http://{address}"));
    let ended = server.signal("-TERM");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!env.home().join("url").exists());
}

#[test]
fn a_second_one_on_the_same_state_directory_is_refused() {
    let env = TestEnv::new();
    let (server, address) = env.serve(&["--no-worker"]);
    assert_eq!(get(&address, "/ready").1["status"], "degraded");
    let pid = server.id().to_string();
    env.run(&["serve", "--port", "0"]).refused(1, &format!("another `serve` (process {pid})"));
    assert_eq!(get(&address, "/health").0, 200, "the first is not disturbed");
    let ended = server.signal("-INT");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (third, _) = env.serve(&["--no-worker"]);
    third.signal("-TERM").ok();
}

#[test]
fn a_server_that_was_killed_does_not_lock_the_next_out() {
    let env = TestEnv::new();
    let (server, _) = env.serve(&["--no-worker"]);
    assert_eq!(server.signal("-KILL").code, None);
    let (next, _) = env.serve(&["--no-worker"]);
    next.signal("-TERM").ok();
}

#[test]
fn a_busy_port_and_an_open_bind_are_refused() {
    let env = TestEnv::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = env.run(&["serve", "--port", &port]);
    assert!(ended.refused(1, &format!("port {port}")).stderr.contains("--port"), "{ended:?}");
    for open in ["0.0.0.0", "::", "192.0.2.1"] {
        env.run(&["serve", "--host", open]).refused(2, "TASKSGODZILLA_API_HOST");
    }
}
