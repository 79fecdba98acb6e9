//! Commands that ask the API: which server and token they find, what they say when there is none, what
//! reaches the terminal.

use std::path::Path;

use serde_json::Value;

use crate::env::TestEnv;

fn token(env: &TestEnv) -> String {
    std::fs::read_to_string(env.home().join("token")).unwrap().trim().to_owned()
}

/// A project with its id.
fn project(env: &TestEnv, name: &str) -> String {
    let repository = env.repository(name);
    let arguments = ["projects", "create", "--path", repository.to_str().unwrap(), "--json"];
    env.run(&arguments).ok().json()["id"].to_string()
}

#[test]
fn without_a_server_one_line_says_what_to_start() {
    let env = TestEnv::new();
    for arguments in [
        &["projects", "list"][..],
        &["protocols", "show", "1"],
        &["events", "watch"],
        &["runs", "logs", "x", "--follow"],
        &["tokens", "list", "--json"],
    ] {
        let ended = env.run(&[&["--api-base", "http://127.0.0.1:1"], arguments].concat());
        assert_eq!(ended.code, Some(1), "{arguments:?}: {ended:?}");
        assert_eq!(ended.stdout, "");
        assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
        assert!(
            ended.stderr.starts_with("error: no server answers at http://127.0.0.1:1: start"),
            "{ended:?}"
        );
    }
    assert!(!env.home().exists(), "asking makes nothing");
    let (server, address) = env.serve(&["--no-worker"]);
    server.signal("-KILL");
    assert!(env.home().join("url").exists(), "left behind by the dead server");
    let ended = env.run(&["projects", "list"]);
    assert_eq!((ended.code, ended.stderr.lines().count()), (Some(1), 1), "{ended:?}");
    assert!(ended.stderr.contains("start one with `tasksgodzilla serve`"), "{ended:?}");
    assert!(!ended.stderr.contains(&address), "the address of a dead server is not trusted: {ended:?}");
}

#[test]
fn a_missing_a_wrong_and_a_right_token() {
    let mut env = TestEnv::new();
    let (server, address) = env.serve(&["--no-worker"]);
    let base = format!("http://{address}");
    env.run(&["projects", "list"]).ok();
    let wrong = env.run(&["projects", "list", "--token", "hunter2"]);
    assert!(
        wrong.refused(1, "[unauthorized, request ").stderr.contains("not one of this server"),
        "{wrong:?}"
    );
    assert!(!wrong.stderr.contains("hunter2"), "{wrong:?}");
    // From elsewhere: another state directory, the same server by its address.
    let home = env.path("elsewhere");
    let elsewhere = ["--home", home.to_str().unwrap(), "--api-base", &base, "projects", "list", "--json"];
    let none = env.run(&elsewhere);
    assert!(none.refused(1, "unauthorized").stderr.contains("no token was sent"), "{none:?}");
    env.run(&[&elsewhere[..], &["--token", "a b\n"]].concat()).refused(2, "characters that no token has");
    let token = token(&env);
    env.run(&[&elsewhere[..], &["--token", &token]].concat()).ok();
    env.set("TASKSGODZILLA_API_TOKEN", &token);
    env.run(&elsewhere).ok();
    assert!(!home.exists());
    server.signal("-TERM").ok();
}

#[test]
fn a_project_token_sees_its_project_only() {
    let env = TestEnv::new();
    let (server, _) = env.serve(&["--no-worker"]);
    let (own, other) = (project(&env, "one"), project(&env, "two"));
    let made = env.run(&["projects", "token", &own]);
    let token = made.ok().stdout.trim().to_owned();
    let with = |arguments: &[&str]| env.run(&[arguments, &["--project-token", &token]].concat());
    let seen = with(&["projects", "list", "--json"]).ok().json();
    assert_eq!(seen.as_array().unwrap().len(), 1, "{seen}");
    assert_eq!(seen[0]["id"].to_string(), own);
    with(&["projects", "show", &other]).refused(1, "not_found");
    with(&["tokens", "list"]).refused(1, "forbidden");
    with(&["projects", "delete", &own, "--yes"]).refused(1, "forbidden");
    with(&["projects", "list", "--token", "x"]).refused_usage();
    server.signal("-TERM").ok();
}

#[test]
fn the_token_of_the_state_directory_goes_to_no_other_server() {
    use std::io::{Read as _, Write as _};
    let env = TestEnv::new();
    let (server, _) = env.serve(&["--no-worker"]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let catcher = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        let mut piece = [0; 1024];
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let length = stream.read(&mut piece).unwrap();
            assert!(length > 0);
            head.extend_from_slice(&piece[..length]);
        }
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]";
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(head).unwrap()
    });
    // A proxy of the environment is no way to this machine either.
    let mut command = env.command(&["projects", "list", "--json", "--api-base", &base]);
    command.env("http_proxy", "http://127.0.0.1:1").env("HTTP_PROXY", "http://127.0.0.1:1");
    let ended = command.output().unwrap();
    assert_eq!(String::from_utf8(ended.stdout).unwrap().trim(), "[]");
    let head = catcher.join().unwrap().to_ascii_lowercase();
    assert!(!head.contains("authorization") && !head.contains(&token(&env).to_ascii_lowercase()), "{head}");
    server.signal("-TERM").ok();
}

#[test]
fn every_command_with_json_prints_json_and_none_prints_what_steers_a_terminal() {
    let env = TestEnv::new();
    let repository = env.repository("repo");
    let hostile = "do \u{1b}]0;owned\u{7} it \u{202e}now\u{9b}31m\nand more";
    env.run(&["run", "--engine", "dummy", "--repo", repository.to_str().unwrap(), hostile]).ok();
    let project = "1".to_owned();
    let (server, _) = env.serve(&[]);
    let run = "1".to_owned();
    let steps = env.run(&["steps", "list", "--protocol", &run, "--json"]).ok().json();
    let step = steps[0]["id"].to_string();
    let calls = env.run(&["protocols", "runs", &run, "--json"]).ok().json();
    let call = calls[0]["run_id"].as_str().unwrap().to_owned();
    let jobs = env.run(&["queues", "jobs", "--json"]).ok().json();
    let job = jobs[0]["job_id"].as_str().unwrap().to_owned();
    let artifacts = env.run(&["protocols", "artifacts", &run, "--json"]).ok().json();
    let artifact = artifacts[0].clone();
    let place = [artifact["run_id"].as_str().unwrap().to_owned(), artifact["id"].to_string()];
    let commands: &[&[&str]] = &[
        &["projects", "list"],
        &["projects", "list", "--archived"],
        &["projects", "show", &project],
        &["projects", "update", &project, "--name", "other"],
        &["protocols", "list"],
        &["protocols", "list", "--project", &project, "--status", "completed"],
        &["protocols", "show", &run],
        &["protocols", "update", &run, "--auto-advance", "false"],
        &["protocols", "events", &run],
        &["protocols", "runs", &run],
        &["protocols", "artifacts", &run],
        &["protocols", "git-status", &run],
        &["protocols", "diff", &run],
        &["protocols", "diff", &run, "--stat"],
        &["steps", "list", "--protocol", &run],
        &["steps", "show", &step],
        &["steps", "events", &step],
        &["steps", "runs", &step],
        &["steps", "artifacts", &step],
        &["steps", "diff", &step],
        &["steps", "plan", &step],
        &["review", "list", "--protocol", &run],
        &["runs", "list"],
        &["runs", "show", &call],
        &["runs", "logs", &call],
        &["runs", "artifacts", &call],
        &["runs", "artifact", &place[0], &place[1]],
        &["events", "recent"],
        &["events", "verify"],
        &["queues", "stats"],
        &["queues", "jobs"],
        &["queues", "job", &job],
        &["tokens", "list"],
        &["engines", "list"],
        &["openapi"],
    ];
    for arguments in commands {
        let shown = env.run(&[*arguments, &["--json"]].concat());
        let _: Value = shown.ok().json();
        let table = env.run(arguments);
        let is_content = matches!(arguments[1..], ["diff" | "artifact", ..]);
        for text in [&shown.stdout, &shown.stderr, &table.ok().stdout, &table.stderr] {
            let steering = |c: char| c != '\n' && !tg_core::plain::is_plain(c);
            // Into a pipe a file goes as it is.
            assert!(is_content || !text.contains(steering), "{arguments:?}: {text:?}");
        }
    }
    let shown = env.run(&["protocols", "show", &run, "--json"]).ok().json();
    assert_eq!(shown["description"], hostile, "the value itself stays");
    server.signal("-TERM").ok();
}

#[test]
fn runs_that_work_outside_report_here() {
    let env = TestEnv::new();
    let (server, _) = env.serve(&["--no-worker"]);
    let project = project(&env, "repo");
    let start = ["runs", "start", "--job-type", "nightly", "--project", &project, "--run-id", "night-1"];
    assert_eq!(env.run(&[&start[..], &["--json"]].concat()).ok().json()["status"], "running");
    env.run(&start).refused(1, "night-1");
    env.run_with_input(&["runs", "append", "night-1"], b"first\nsecond\n").ok();
    assert_eq!(env.run(&["runs", "logs", "night-1"]).ok().stdout, "first\nsecond\n");
    let finish =
        ["runs", "finish", "night-1", "--status", "succeeded", "--result", "{\"ok\":true}", "--json"];
    assert_eq!(env.run(&finish).ok().json()["result"]["ok"], true);
    env.run(&finish).refused(1, "");
    server.signal("-TERM").ok();
}

#[test]
fn secrets_and_tokens_are_made_shown_once_and_gone() {
    let env = TestEnv::new();
    let (server, _) = env.serve(&["--no-worker"]);
    let project = project(&env, "repo");
    let set = ["projects", "secret", "set", &project, "github_token"];
    env.run_with_input(&set, b"hunter2-long\n").ok();
    let shown = env.run(&["projects", "show", &project, "--json"]);
    assert_eq!(shown.ok().json()["secrets_set"], serde_json::json!(["github_token"]));
    assert!(!shown.stdout.contains("hunter2"));
    env.run(&["projects", "secret", "remove", &project, "github_token"]).ok();
    let made = env.run(&["tokens", "create", "ci", "--project", &project, "--json"]).ok().json();
    let (id, first) = (made["id"].to_string(), made["token"].as_str().unwrap().to_owned());
    env.run(&["projects", "list", "--token", &first]).ok();
    env.run(&["tokens", "rotate", &id]).refused(2, "nothing was removed");
    let second = env.run(&["tokens", "rotate", &id, "--yes"]).ok().stdout.trim().to_owned();
    assert_ne!(first, second);
    env.run(&["projects", "list", "--token", &first]).refused(1, "unauthorized");
    env.run(&["projects", "list", "--token", &second]).ok();
    let list = env.run(&["tokens", "list", "--json"]);
    assert!(!list.ok().stdout.contains(&second), "{list:?}");
    let id = list.json()[0]["id"].to_string();
    env.run(&["tokens", "revoke", &id, "--yes"]).ok();
    env.run(&["projects", "list", "--token", &second]).refused(1, "unauthorized");
    server.signal("-TERM").ok();
}

#[test]
fn documents_are_made_without_a_server() {
    let env = TestEnv::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let made = env.run(&["completions", shell]);
        assert!(made.ok().stdout.contains("create-and-start"), "{shell}");
        assert_eq!(made.stderr, "");
    }
    let page = env.run(&["man"]);
    assert!(page.ok().stdout.contains(".TH tasksgodzilla"), "{page:?}");
    let folder = env.path("man");
    env.run(&["man", "--out", folder.to_str().unwrap()]).ok();
    for name in ["tasksgodzilla.1", "tasksgodzilla-protocols.1", "tasksgodzilla-protocols-run-next.1"] {
        assert!(folder.join(name).exists(), "{name}");
    }
    assert!(!folder.join("tasksgodzilla-__dummy.1").exists());
    let served = env.run(&["openapi"]).ok().json();
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"), "{}", served["openapi"]);
    assert!(served["paths"].as_object().unwrap().len() > 30);
    assert!(!env.home().exists(), "documents make nothing else");
}

#[test]
fn a_file_is_saved_once() {
    let env = TestEnv::new();
    let (server, _) = env.serve(&[]);
    let project = project(&env, "repo");
    let create =
        ["protocols", "create-and-start", "--project", &project, "--engine", "dummy", "--follow", "x"];
    env.run(&create).ok();
    let found = env.run(&["protocols", "run-next", "1", "--follow"]);
    found.ok();
    let artifacts = env.run(&["protocols", "artifacts", "1", "--json"]).ok().json();
    let (call, id) = (artifacts[0]["run_id"].as_str().unwrap().to_owned(), artifacts[0]["id"].to_string());
    let out = env.path("saved");
    let save = ["runs", "artifact", &call, &id, "--out", out.to_str().unwrap()];
    env.run(&save).ok();
    let printed = env.run(&["runs", "artifact", &call, &id]);
    assert_eq!(std::fs::read(Path::new(&out)).unwrap(), printed.ok().stdout.as_bytes());
    env.run(&save).refused(1, "cannot be written");
    server.signal("-TERM").ok();
}
