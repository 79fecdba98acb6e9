//! `doctor`: every line that is not well names its cure.

use std::os::unix::fs::PermissionsExt;

use crate::env::TestEnv;

fn check<'a>(checks: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    checks.as_array().unwrap().iter().find(|check| check["name"] == name).unwrap_or(&serde_json::Value::Null)
}

#[test]
fn without_an_engine_it_ends_with_3_and_says_how_to_get_one() {
    let env = TestEnv::new();
    let ended = env.run(&["doctor", "--json"]);
    ended.refused(3, "codex");
    let checks = ended.json();
    assert_eq!(check(&checks, "engine codex")["state"], "fail");
    assert_eq!(check(&checks, "engine dummy")["state"], "ok");
    assert_eq!(check(&checks, "git")["state"], "ok");
    assert_eq!(check(&checks, "database")["state"], "ok");
    assert_eq!(check(&checks, "sub-reaper")["state"], "ok", "{checks}");
    for check in checks.as_array().unwrap() {
        assert_eq!(check["state"] != "ok", check["remedy"].is_string(), "{check}");
    }
    let table = env.run(&["doctor"]);
    assert!(table.stdout.contains("FAIL  engine codex"), "{table:?}");
}

#[test]
fn an_engine_is_shown_with_version_and_the_names_of_its_keys() {
    let mut env = TestEnv::new();
    let program = env.path("codex");
    std::fs::write(&program, "#!/bin/sh\necho codex-cli 9.9.9\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    env.set("TASKSGODZILLA_CODEX_BIN", program.to_str().unwrap());
    let without = env.run(&["doctor", "--json"]);
    assert!(check(&without.json(), "engine codex")["found"].as_str().unwrap().contains("not logged in"));
    env.set("OPENAI_API_KEY", "sk-hunter2");
    let with = env.run(&["doctor", "--json"]);
    let found = check(&with.json(), "engine codex").clone();
    assert_eq!(found["state"], "ok", "{found}");
    let text = found["found"].as_str().unwrap();
    assert!(text.contains("codex-cli 9.9.9") && text.contains("OPENAI_API_KEY"), "{text}");
    assert!(!format!("{with:?}").contains("hunter2"));
}

#[test]
fn a_git_that_is_too_old_or_absent_is_named() {
    let mut env = TestEnv::new();
    std::fs::create_dir(env.path("empty")).unwrap();
    let empty = env.path("empty");
    env.set("PATH", empty.to_str().unwrap());
    env.run(&["demo"]).refused(3, "git");
    let ended = env.run(&["doctor", "--json"]);
    assert_eq!(check(&ended.json(), "git")["state"], "fail", "{ended:?}");
}
