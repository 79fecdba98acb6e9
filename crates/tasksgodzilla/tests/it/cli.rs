//! The command line itself: help, usage, settings.

use crate::env::TestEnv;

#[test]
fn without_arguments_it_prints_usage_and_ends_with_2() {
    let env = TestEnv::new();
    for arguments in [
        &[][..],
        &["--quiet"],
        &["protocols"],
        &["steps"],
        &["review"],
        &["events"],
        &["runs"],
        &["queues"],
        &["tokens"],
        &["engines"],
        &["config"],
        &["projects"],
        &["projects", "secret"],
    ] {
        let ended = env.run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains("Usage: tasksgodzilla"), "{ended:?}");
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
    assert!(!env.home().exists(), "asking for help makes nothing");
}

#[test]
fn a_bad_setting_ends_with_2_and_its_name() {
    let mut env = TestEnv::new();
    env.set("TASKSGODZILLA_API_PORT", "lots");
    for arguments in
        [&["serve"][..], &["doctor"], &["config", "show"], &["demo"], &["run", "x"], &["migrate"]]
    {
        env.run(arguments).refused(2, "TASKSGODZILLA_API_PORT");
    }
    assert!(!env.home().exists(), "a refused start makes nothing");
}

#[test]
fn an_unknown_key_of_the_file_ends_with_2_and_its_name() {
    let env = TestEnv::new();
    std::fs::create_dir_all(env.home()).unwrap();
    std::fs::write(env.home().join("config.toml"), "api_prot = 1\n").unwrap();
    env.run(&["config", "show"]).refused(2, "api_prot");
    let other = env.path("other.toml");
    std::fs::write(&other, "api_port = 9001\n").unwrap();
    let shown = env.run(&["--config", other.to_str().unwrap(), "config", "show", "--json"]);
    let row = shown.ok().json().as_array().unwrap().iter().find(|row| row["key"] == "api_port").cloned();
    assert_eq!(row.unwrap()["source"], "file");
    env.run(&["config", "show", "--config", "absent.toml"]).refused(2, "absent.toml");
}

#[test]
fn an_alias_is_warned_about_once() {
    let mut env = TestEnv::new();
    env.set("DEKSDENFLOW_API_PORT", "9001").set("TASKSGODZILLA_SINGLE_WORKTREE", "1");
    let shown = env.run(&["config", "show", "--json"]);
    assert_eq!(shown.ok().stderr.matches("DEKSDENFLOW_API_PORT is deprecated").count(), 1, "{shown:?}");
    assert_eq!(shown.stderr.matches("ignored").count(), 1, "{shown:?}");
    assert!(shown.stdout.contains("9001"));
}

#[test]
fn no_secret_is_shown() {
    let mut env = TestEnv::new();
    env.set("OPENAI_API_KEY", "sk-hunter2").set("TASKSGODZILLA_DB_URL", "postgres://u:hunter2@127.0.0.1:1/x");
    let shown = env.run(&["config", "show"]);
    assert!(shown.ok().stdout.contains("postgres://"), "{shown:?}");
    assert!(!format!("{shown:?}").contains("hunter2"), "{shown:?}");
}
