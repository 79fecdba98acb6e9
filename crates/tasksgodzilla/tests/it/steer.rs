//! Listing, showing and steering a run that was planned here: what a server without a worker does.

use crate::env::TestEnv;

fn planned(env: &TestEnv) -> String {
    let (repo, _) = env.repository_with_remote("repo");
    let ended = env.run(&[
        "run",
        "--engine",
        "dummy",
        "--repo",
        repo.to_str().unwrap(),
        "--plan-only",
        "--json",
        "do it",
    ]);
    ended.ok().json()["id"].to_string()
}

#[test]
fn what_does_not_exist_is_said() {
    let env = TestEnv::new();
    let (_server, _) = env.serve(&["--no-worker"]);
    for arguments in [
        &["protocols", "show", "7"][..],
        &["protocols", "pause", "7"],
        &["steps", "show", "7"],
        &["steps", "list", "--protocol", "7"],
        &["runs", "show", "nonesuch"],
        &["runs", "logs", "../../etc/passwd"],
    ] {
        env.run(arguments).refused(1, "[not_found, request ");
    }
    env.run(&["runs", "show", ".."]).refused(1, "no object has such an id");
    env.run(&["run", "--continue", "7"]).refused(1, "does not exist");
    for arguments in
        [&["protocols", "list"][..], &["projects", "list"], &["events", "recent"], &["runs", "list"]]
    {
        let json: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
        assert_eq!(env.run(&json).ok().json(), serde_json::json!([]));
        assert!(env.run(arguments).ok().stderr.contains("nothing to show"));
    }
}

#[test]
fn a_run_can_be_shown_and_steered() {
    let env = TestEnv::new();
    let id = planned(&env);
    let (_server, _) = env.serve(&["--no-worker"]);
    let shown = env.run(&["protocols", "show", &id, "--json"]).ok().json();
    assert_eq!((shown["status"].as_str(), shown["engine"].as_str()), (Some("planned"), Some("dummy")));
    let events = env.run(&["events", "recent", "--protocol", &id, "--json"]).ok().json();
    let kinds: Vec<_> = events.as_array().unwrap().iter().map(|event| event["event_type"].clone()).collect();
    assert!(kinds.contains(&"protocol_created".into()) && kinds.contains(&"planned".into()), "{kinds:?}");
    assert_eq!(events[0]["protocol_name"], "0001-do-it");

    let running = env.run(&["protocols", "run-next", &id]);
    assert!(running.ok().stderr.contains(&format!("events watch --protocol {id}")), "{running:?}");
    env.run(&["protocols", "run-next", &id]).refused(1, "step_already_active");
    let paused = env.run(&["protocols", "pause", &id, "--reason", "lunch", "--json"]).ok().json();
    assert_eq!(paused["status"], "paused");
    let resumed = env.run(&["protocols", "resume", &id, "--json"]).ok().json();
    assert_eq!(resumed["status"], "running");
    let cancelled = env.run(&["protocols", "cancel", &id, "--json"]).ok().json();
    assert_eq!(cancelled["status"], "cancelled");
    env.run(&["protocols", "resume", &id]).refused(1, "cancelled");
    let newest = env.run(&["events", "recent", "--limit", "1", "--json"]).ok().json();
    assert_eq!(newest[0]["actor"], "admin");
    env.run(&["verify"]).ok();
}

#[test]
fn calls_and_their_logs_can_be_read() {
    let env = TestEnv::new();
    let id = planned(&env);
    let (_server, _) = env.serve(&["--no-worker"]);
    let calls = env.run(&["runs", "list", "--protocol", &id, "--json"]).ok().json();
    let call = calls.as_array().unwrap().iter().find(|call| call["run_kind"] == "plan").unwrap();
    let call = call["run_id"].as_str().unwrap();
    let shown = env.run(&["runs", "show", call]);
    assert!(shown.ok().stdout.contains("dummy (scripted"), "{shown:?}");
    let log = env.run(&["runs", "logs", call, "--follow"]);
    assert!(!log.ok().stdout.is_empty(), "{log:?}");
    let tail = env.run(&["runs", "logs", call, "--json"]).ok().json();
    assert_eq!((tail["finished"].as_bool(), tail["eof"].as_bool()), (Some(true), Some(true)));
}
