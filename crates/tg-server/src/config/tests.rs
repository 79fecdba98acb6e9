//! Precedence, aliases, and that each bad value names its variable.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use super::{Config, ConfigError, Inputs, SETTINGS, documentation};

fn inputs(environment: &[(&str, &str)]) -> Inputs {
    Inputs {
        environment: [("HOME", "/home/ada")]
            .iter()
            .chain(environment)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        directory: PathBuf::from("/here"),
        ..Inputs::default()
    }
}

fn with_file(environment: &[(&str, &str)], text: &str) -> Inputs {
    Inputs { file: Some((PathBuf::from("/etc/tg/config.toml"), text.to_owned())), ..inputs(environment) }
}

#[test]
fn defaults_are_those_of_the_contract() {
    let config = Config::resolve(&inputs(&[])).unwrap();
    assert_eq!(config.home.root, PathBuf::from("/home/ada/.local/share/tasksgodzilla"));
    assert_eq!(config.home.runs, PathBuf::from("/home/ada/.local/share/tasksgodzilla/runs"));
    assert_eq!(
        config.database_url.expose(),
        "sqlite:/home/ada/.local/share/tasksgodzilla/tasksgodzilla.sqlite"
    );
    assert_eq!((config.api_host.to_string(), config.api_port), ("127.0.0.1".to_owned(), 8010));
    assert_eq!((config.worker_concurrency, config.project_concurrency), (4, 2));
    assert_eq!(config.lease, Duration::from_secs(15));
    assert_eq!(config.step_stuck, Some(Duration::from_hours(1)));
    assert_eq!(config.engine_timeout, Duration::from_mins(3));
    assert_eq!(config.max_loop_iterations, 20);
    assert_eq!(config.run_log_max_bytes, 50 * 1024 * 1024);
    assert_eq!(config.git_timeout, Duration::from_mins(10));
    assert!(!config.sandbox_off && !config.log_json && config.warnings.is_empty());
    assert_eq!(config.models.planning, None);
}

#[test]
fn the_door_is_configured() {
    let config = Config::resolve(&inputs(&[])).unwrap().access;
    assert!(config.token.is_none() && !config.metrics_auth && !config.is_cookie_secure());
    let rate = config.rate.unwrap();
    assert_eq!((rate.per_second.get(), rate.burst.get(), config.login_failures.get()), (3000, 6000, 30));

    let config = Config::resolve(&inputs(&[
        ("TASKSGODZILLA_API_TOKEN", "hunter2-hunter2"),
        ("TASKSGODZILLA_PUBLIC_URL", "HTTPS://Tasks.Example.org:443/"),
        ("TASKSGODZILLA_RATE_LIMIT_PER_SECOND", "0"),
    ]))
    .unwrap();
    let url = config.access.public_url.clone().unwrap();
    assert_eq!(
        (url.host.as_str(), url.origin().as_str()),
        ("tasks.example.org", "https://tasks.example.org")
    );
    assert!(config.access.is_cookie_secure() && config.access.rate.is_none());
    assert!(!format!("{config:?}").contains("hunter2"), "{config:?}");
    assert!(config.secrets().iter().any(|secret| secret.expose() == "hunter2-hunter2"));
    let port = Config::resolve(&inputs(&[("TASKSGODZILLA_PUBLIC_URL", "http://[::1]:8080")])).unwrap();
    assert_eq!(port.access.public_url.unwrap().origin(), "http://[::1]:8080");
}

#[test]
fn flag_wins_over_environment_over_file_over_default() {
    let mut inputs = with_file(&[("TASKSGODZILLA_API_PORT", "2")], "api_port = 3\nlog_json = true");
    inputs.flags = BTreeMap::from([("TASKSGODZILLA_API_PORT", "1".to_owned())]);
    let port = |inputs: &Inputs| Config::resolve(inputs).unwrap().api_port;
    assert_eq!(port(&inputs), 1);
    inputs.flags.clear();
    assert_eq!(port(&inputs), 2);
    inputs.environment.remove("TASKSGODZILLA_API_PORT");
    assert_eq!(port(&inputs), 3);
    assert!(Config::resolve(&inputs).unwrap().log_json);
    inputs.file = None;
    assert_eq!(port(&inputs), 8010);
}

#[test]
fn an_alias_works_with_one_warning_and_loses_to_the_new_name() {
    let config = Config::resolve(&inputs(&[("DEKSDENFLOW_API_PORT", "9000")])).unwrap();
    assert_eq!(config.api_port, 9000);
    assert_eq!(config.warnings, ["DEKSDENFLOW_API_PORT is deprecated; set TASKSGODZILLA_API_PORT instead"]);

    let both = inputs(&[("DEKSDENFLOW_API_PORT", "9000"), ("TASKSGODZILLA_API_PORT", "9001")]);
    assert_eq!(Config::resolve(&both).unwrap().api_port, 9001);

    let runs = Config::resolve(&inputs(&[("CODEX_RUNS_DIR", "/logs")])).unwrap();
    assert_eq!((runs.home.runs, runs.warnings.len()), (PathBuf::from("/logs"), 0));
}

#[test]
fn the_single_worktree_is_ignored_with_one_warning() {
    for seen in [
        &[("TASKSGODZILLA_SINGLE_WORKTREE", "1")][..],
        &[("TASKSGODZILLA_SINGLE_WORKTREE", "1"), ("DEKSDENFLOW_WORKTREE_BRANCH", "x")],
    ] {
        let config = Config::resolve(&inputs(seen)).unwrap();
        assert_eq!(config.warnings.len(), 1, "{:?}", config.warnings);
        assert!(config.warnings[0].contains("ignored"), "{:?}", config.warnings);
    }
}

/// A bad value for every setting that can hold one.
const BAD: &[(&str, &str)] = &[
    ("TASKSGODZILLA_HOME", "a\nb"),
    ("TASKSGODZILLA_DB_URL", "mysql://x"),
    ("TASKSGODZILLA_DB_PATH", "a\u{7}b"),
    ("TASKSGODZILLA_DB_POOL_SIZE", "0"),
    ("TASKSGODZILLA_PROJECTS_ROOT", "a\nb"),
    ("TASKSGODZILLA_RUNS_DIR", "a\nb"),
    ("TASKSGODZILLA_API_HOST", "example.org"),
    ("TASKSGODZILLA_API_PORT", "70000"),
    ("TASKSGODZILLA_API_TOKEN", "changeme"),
    ("TASKSGODZILLA_API_TOKEN", "ChangeMe"),
    ("TASKSGODZILLA_API_TOKEN", "two words"),
    ("TASKSGODZILLA_PUBLIC_URL", "ftp://tasks.example.org"),
    ("TASKSGODZILLA_PUBLIC_URL", "https://tasks.example.org/path"),
    ("TASKSGODZILLA_PUBLIC_URL", "https://ada:secret@tasks.example.org"),
    ("TASKSGODZILLA_PUBLIC_URL", "https://"),
    ("TASKSGODZILLA_SESSION_COOKIE_SECURE", "sometimes"),
    ("TASKSGODZILLA_METRICS_AUTH", "perhaps"),
    ("TASKSGODZILLA_RATE_LIMIT_PER_SECOND", "-1"),
    ("TASKSGODZILLA_RATE_LIMIT_BURST", "0"),
    ("TASKSGODZILLA_LOGIN_FAILURES_PER_MINUTE", "0"),
    ("TASKSGODZILLA_MAX_CONNECTIONS", "1"),
    ("TASKSGODZILLA_WORKER_CONCURRENCY", "many"),
    ("TASKSGODZILLA_PROJECT_CONCURRENCY", "-1"),
    ("TASKSGODZILLA_LEASE_SECONDS", "0"),
    ("TASKSGODZILLA_SCHEDULER_INTERVAL_SECONDS", "NaN"),
    ("TASKSGODZILLA_STEP_STUCK_SECONDS", "soon"),
    ("TASKSGODZILLA_LOG_LEVEL", "loud=very=so"),
    ("TASKSGODZILLA_LOG_JSON", "maybe"),
    ("PROTOCOL_PLANNING_MODEL", "a,,b"),
    ("PROTOCOL_DECOMPOSE_MODEL", "-x"),
    ("PROTOCOL_EXEC_MODEL", ","),
    ("PROTOCOL_QA_MODEL", "a b"),
    ("PROTOCOL_SKIP_SIMPLE_DECOMPOSE", "2"),
    ("TASKSGODZILLA_AUTO_QA_AFTER_EXEC", "y"),
    ("TASKSGODZILLA_AUTO_QA_ON_CI", "n"),
    ("TASKSGODZILLA_MAX_LOOP_ITERATIONS", "0"),
    ("TASKSGODZILLA_CODEX_TIMEOUT_SECONDS", "0"),
    ("TASKSGODZILLA_ENGINE_IDLE_SECONDS", "-5"),
    ("TASKSGODZILLA_ENGINE_GRACE_SECONDS", "inf"),
    ("TASKSGODZILLA_SANDBOX", "none"),
    ("TASKSGODZILLA_CODEX_BIN", "a\nb"),
    ("TASKSGODZILLA_CODEX_LOGIN", "a\nb"),
    ("TASKSGODZILLA_CODEX_ARGS", "-c x=1"),
    ("TASKSGODZILLA_ENGINE_ENV", "TASKSGODZILLA_DB_URL"),
    ("TASKSGODZILLA_DUMMY_SCRIPT", "a\nb"),
    ("TASKSGODZILLA_SECRET_KEY", "changeme"),
    ("TASKSGODZILLA_ALLOW_PRIVATE_HOSTS", "perhaps"),
    ("TASKSGODZILLA_GIT_USER", "alone"),
    ("TASKSGODZILLA_GIT_EMAIL", "alone@example.org"),
    ("TASKSGODZILLA_GIT_TIMEOUT_SECONDS", "0.5"),
    ("TASKSGODZILLA_RUN_LOG_RETENTION_DAYS", "0"),
    ("TASKSGODZILLA_RUN_LOG_MAX_BYTES", "1"),
    ("TASKSGODZILLA_API_BASE", "a\nb"),
    ("TASKSGODZILLA_PROJECT_TOKEN", "a\nb"),
    ("TASKSGODZILLA_OTLP_ENDPOINT", "collector:4318"),
];

#[test]
fn a_bad_value_names_its_variable() {
    for (variable, value) in BAD {
        let error = Config::resolve(&inputs(&[(variable, value)])).expect_err(variable).to_string();
        // Half of an identity names the missing half, and the half that is set.
        assert!(error.contains(variable), "{variable}={value}: {error}");
    }
    for setting in SETTINGS {
        assert!(
            BAD.iter().any(|(variable, _)| *variable == setting.variable),
            "{} untested",
            setting.variable
        );
    }
}

#[test]
fn a_key_that_seals_is_shown_nowhere() {
    let key = "c0ffee".repeat(10) + "beef";
    let config = Config::resolve(&inputs(&[("TASKSGODZILLA_SECRET_KEY", &key)])).unwrap();
    let shown = config.shown.iter().find(|shown| shown.variable == "TASKSGODZILLA_SECRET_KEY").unwrap();
    assert_eq!(shown.value, "[set]");
    assert!(!format!("{config:?}").contains("c0ffee"));
    assert!(config.secrets().iter().any(|secret| *secret.expose() == key), "the log takes it out");
    let cut = &key[..60];
    let told = Config::resolve(&inputs(&[("TASKSGODZILLA_SECRET_KEY", cut)])).unwrap_err().to_string();
    assert!(told.contains("32 bytes") && !told.contains("c0ffee"), "{told}");
}

#[test]
fn every_setting_is_read() {
    let config = Config::resolve(&inputs(&[])).unwrap();
    let shown: Vec<_> = config.shown.iter().map(|shown| shown.variable).collect();
    for setting in SETTINGS {
        let times = shown.iter().filter(|variable| **variable == setting.variable).count();
        assert_eq!(times, 1, "{} is looked up {times} times", setting.variable);
    }
}

#[test]
fn the_file_takes_every_key_but_the_home_and_no_other() {
    let file = "codex_args = [\"-c\", \"x=1\"]\nengine_env = [\"A\", \"B\"]\nlease_seconds = 2.5\nruns_dir = \"logs\"";
    let config = Config::resolve(&with_file(&[("A", "1")], file)).unwrap();
    assert_eq!(config.codex_arguments, ["-c", "x=1"]);
    assert_eq!(config.engine_environment["codex"].len(), 1);
    assert_eq!(config.lease, Duration::from_millis(2500));
    assert_eq!(config.home.runs, PathBuf::from("/etc/tg/logs"));

    let refused = |text| Config::resolve(&with_file(&[], text)).unwrap_err();
    assert!(matches!(refused("api_prot = 1"), ConfigError::UnknownKey { key, .. } if key == "api_prot"));
    assert!(matches!(refused("home = \"/x\""), ConfigError::UnknownKey { .. }));
    assert!(matches!(refused("api_port = { a = 1 }"), ConfigError::BadFile { .. }));
    assert!(matches!(refused("api_port ="), ConfigError::BadFile { .. }));
    let error = refused("api_port = \"x\"").to_string();
    assert!(error.contains("TASKSGODZILLA_API_PORT") && error.contains("/etc/tg/config.toml"), "{error}");
}

#[test]
fn engines_get_their_keys_and_the_named_variables_only() {
    let config = Config::resolve(&inputs(&[
        ("OPENAI_API_KEY", "k1"),
        ("OTHER", "k2"),
        ("UNNAMED", "k3"),
        ("TASKSGODZILLA_ENGINE_ENV", "OTHER, ABSENT"),
    ]))
    .unwrap();
    let given: Vec<_> = config.engine_environment["codex"]
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose().as_str()))
        .collect();
    assert_eq!(given, [("OPENAI_API_KEY", "k1"), ("OTHER", "k2")]);
    assert!(!config.engine_environment.contains_key("dummy"));
}

#[test]
fn nothing_shown_holds_a_secret() {
    let config = Config::resolve(&inputs(&[
        ("TASKSGODZILLA_DB_URL", "postgres://tg:hunter2@db/tg?password=hunter2"),
        ("TASKSGODZILLA_CODEX_ARGS", "[\"hunter2\"]"),
        ("OPENAI_API_KEY", "hunter2"),
    ]))
    .unwrap();
    let text = format!("{config:?}");
    let shown: Vec<_> = config.shown.iter().map(|shown| shown.value.clone()).collect();
    assert!(shown.iter().all(|value| !value.contains("hunter2")), "{shown:?}");
    assert!(shown.contains(&"postgres://…@db/tg?…".to_owned()), "{shown:?}");
    assert!(!text.contains("postgres://tg:"), "{text}");
    assert_eq!(config.secrets().len(), 2);

    let error = Config::resolve(&inputs(&[("TASKSGODZILLA_DB_URL", "mysql://u:hunter2@db")])).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn without_any_home_the_variable_is_named() {
    let mut inputs = inputs(&[]);
    inputs.environment.clear();
    let error = Config::resolve(&inputs).unwrap_err().to_string();
    assert!(error.contains("TASKSGODZILLA_HOME"), "{error}");
    inputs.environment.insert("TASKSGODZILLA_HOME".to_owned(), "state".to_owned());
    assert_eq!(Config::resolve(&inputs).unwrap().home.root, PathBuf::from("/here/state"));
}

#[test]
fn the_reference_is_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
    let wanted = documentation();
    if blessing() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
        std::fs::write(path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(found, wanted, "docs/config.md is stale: run with TASKSGODZILLA_BLESS=1");
}

#[expect(clippy::disallowed_methods, reason = "the switch of the tests, not a setting")]
fn blessing() -> bool {
    std::env::var_os("TASKSGODZILLA_BLESS").is_some()
}
