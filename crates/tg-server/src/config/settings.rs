//! The table of settings: name, default, meaning. It also writes the reference document, so the two
//! cannot differ. Reads nothing.

use std::fmt::Write as _;

/// One setting.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// Environment variable.
    pub variable: &'static str,
    /// Other variables that mean the same (beside the deprecated prefix).
    pub aliases: &'static [&'static str],
    /// Default as text; empty = none, the meaning says what follows.
    pub default: &'static str,
    /// What it is for.
    pub meaning: &'static str,
}

impl Setting {
    /// Key in `config.toml`; `None` for the state directory itself, in which that file lies.
    pub fn key(&self) -> Option<String> {
        (self.variable != "TASKSGODZILLA_HOME").then(|| {
            self.variable.strip_prefix("TASKSGODZILLA_").unwrap_or(self.variable).to_ascii_lowercase()
        })
    }
}

const fn setting(variable: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting { variable, aliases: &[], default, meaning }
}

/// Every setting, in the order of the reference.
pub static SETTINGS: &[Setting] = &[
    setting(
        "TASKSGODZILLA_HOME",
        "",
        "State directory: database, clones, worktrees, logs. Without it: `tasksgodzilla` in the platform's data directory (`$XDG_DATA_HOME`, else `~/.local/share`; `~/Library/Application Support` on macOS).",
    ),
    setting(
        "TASKSGODZILLA_DB_URL",
        "",
        "Database: `postgres://…`, `postgresql://…` or `sqlite:<path>`. Without it: SQLite at `TASKSGODZILLA_DB_PATH`.",
    ),
    setting(
        "TASKSGODZILLA_DB_PATH",
        "",
        "SQLite file. Without it: `tasksgodzilla.sqlite` in the state directory.",
    ),
    setting("TASKSGODZILLA_DB_POOL_SIZE", "5", "Connections to Postgres, 1 to 200."),
    setting(
        "TASKSGODZILLA_PROJECTS_ROOT",
        "",
        "Clones and worktrees. Without it: `projects` in the state directory.",
    ),
    Setting {
        variable: "TASKSGODZILLA_RUNS_DIR",
        aliases: &["CODEX_RUNS_DIR"],
        default: "",
        meaning: "Logs and files of engine calls. Without it: `runs` in the state directory.",
    },
    setting(
        "TASKSGODZILLA_API_HOST",
        "127.0.0.1",
        "Address `serve` binds. Beyond loopback only with `TASKSGODZILLA_API_TOKEN`.",
    ),
    setting("TASKSGODZILLA_API_PORT", "8010", "Port `serve` binds; 0 lets the system choose."),
    setting(
        "TASKSGODZILLA_API_TOKEN",
        "",
        "Admin token of the API. Without it: the file `token` in the state directory, made at the first start of `serve`.",
    ),
    setting(
        "TASKSGODZILLA_PUBLIC_URL",
        "",
        "Address at which a proxy shows this server, such as `https://tasks.example.org`: its host is accepted, pages from there may use a session, and login links begin with it.",
    ),
    setting(
        "TASKSGODZILLA_SESSION_COOKIE_SECURE",
        "auto",
        "Whether the session cookie is sent over https only; `auto`: when the public address is https.",
    ),
    setting(
        "TASKSGODZILLA_METRICS_AUTH",
        "false",
        "`/metrics` wants the admin's token. Without it `/metrics` is open, and shows nothing that belongs to a project.",
    ),
    setting(
        "TASKSGODZILLA_RATE_LIMIT_PER_SECOND",
        "3000",
        "Requests of one token per second in the long run; 0: no limit.",
    ),
    setting("TASKSGODZILLA_RATE_LIMIT_BURST", "6000", "Requests of one token at once."),
    setting(
        "TASKSGODZILLA_LOGIN_FAILURES_PER_MINUTE",
        "30",
        "Failed logins of one address per minute; more are refused unseen. A token that was made by this server is always looked at.",
    ),
    setting("TASKSGODZILLA_MAX_CONNECTIONS", "4096", "Connections that are served at once; more wait."),
    setting(
        "TASKSGODZILLA_API_BASE",
        "",
        "Server that the command line talks to, such as `https://host:8010`. Without it: the server of the state directory, else `http://127.0.0.1:8010`.",
    ),
    setting(
        "TASKSGODZILLA_PROJECT_TOKEN",
        "",
        "Token of one project for the command line, where no other token is given.",
    ),
    setting("TASKSGODZILLA_WORKER_CONCURRENCY", "4", "Jobs one worker runs at once."),
    setting("TASKSGODZILLA_PROJECT_CONCURRENCY", "2", "Jobs of one project that run at once."),
    setting(
        "TASKSGODZILLA_LEASE_SECONDS",
        "15",
        "How long a claimed job stays with a worker that gives no sign of life.",
    ),
    setting(
        "TASKSGODZILLA_SCHEDULER_INTERVAL_SECONDS",
        "15",
        "Time between two looks for missed hand-overs.",
    ),
    setting(
        "TASKSGODZILLA_STEP_STUCK_SECONDS",
        "3600",
        "A running step without a live job is called stuck after this time; 0 or less: never.",
    ),
    setting(
        "TASKSGODZILLA_LOG_LEVEL",
        "info",
        "`error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,tg_server::git=debug`.",
    ),
    setting("TASKSGODZILLA_LOG_JSON", "false", "Write log lines as JSON."),
    setting(
        "TASKSGODZILLA_OTLP_ENDPOINT",
        "",
        "Base URL of an OTLP/HTTP collector that traces are sent to, such as `http://127.0.0.1:4318`. Without it nothing is sent.",
    ),
    setting(
        "PROTOCOL_PLANNING_MODEL",
        "",
        "Model for planning. Without it: the project's, else the engine's own. A comma list names fallbacks, here and for the other models.",
    ),
    setting("PROTOCOL_DECOMPOSE_MODEL", "", "Model for breaking steps down."),
    setting("PROTOCOL_EXEC_MODEL", "", "Model for execution."),
    setting("PROTOCOL_QA_MODEL", "", "Model for QA."),
    setting("PROTOCOL_SKIP_SIMPLE_DECOMPOSE", "false", "Leave short, simple steps as the plan wrote them."),
    setting(
        "TASKSGODZILLA_AUTO_QA_AFTER_EXEC",
        "false",
        "Queue QA after execution even when the run does not advance by itself.",
    ),
    setting("TASKSGODZILLA_AUTO_QA_ON_CI", "false", "Queue QA when the checks of a commit turn green."),
    setting("TASKSGODZILLA_MAX_LOOP_ITERATIONS", "20", "Rounds of a loop that names no limit of its own."),
    setting(
        "TASKSGODZILLA_CODEX_TIMEOUT_SECONDS",
        "180",
        "Wall limit of one engine call that names none of its own.",
    ),
    setting(
        "TASKSGODZILLA_ENGINE_IDLE_SECONDS",
        "120",
        "An engine that prints nothing for this long is stopped.",
    ),
    setting(
        "TASKSGODZILLA_ENGINE_GRACE_SECONDS",
        "5",
        "Time an engine has to end after it was asked to, before it is killed.",
    ),
    setting(
        "TASKSGODZILLA_SANDBOX",
        "auto",
        "`auto`: engines run confined, or not at all. `off`: engines run unconfined; every run says so.",
    ),
    setting("TASKSGODZILLA_CODEX_BIN", "", "Path of the codex binary. Without it: `codex` on `PATH`."),
    setting(
        "TASKSGODZILLA_CODEX_LOGIN",
        "",
        "Folder of a codex login to share with agents, such as `~/.codex` written out. Agents can read it; without it each project has a home of its own.",
    ),
    setting(
        "TASKSGODZILLA_CODEX_ARGS",
        "",
        "Further arguments for codex, a JSON list of strings, such as `-c` options for a provider of your own.",
    ),
    setting(
        "TASKSGODZILLA_ENGINE_ENV",
        "",
        "Names of environment variables handed to engines, separated by commas. `CODEX_API_KEY` and `OPENAI_API_KEY` are always handed to codex.",
    ),
    setting("TASKSGODZILLA_DUMMY_SCRIPT", "", "Script for the built-in dummy engine; for tests."),
    setting(
        "TASKSGODZILLA_SECRET_KEY",
        "",
        "Keys that encrypt project secrets in the database: 32 bytes each, base64 or hex, separated by commas. The first seals, all open; on start everything is sealed anew with the first. Without it: the file `secret.key` in the state directory, made when the first secret is stored. Set it where several machines share a database.",
    ),
    setting(
        "TASKSGODZILLA_ALLOW_PRIVATE_HOSTS",
        "false",
        "Repositories may come from hosts with private, loopback or link-local addresses, or from names that only ssh knows. Needed for a forge in your own network.",
    ),
    setting("TASKSGODZILLA_GIT_USER", "", "Name on our commits; set together with the next."),
    setting("TASKSGODZILLA_GIT_EMAIL", "", "Mail address on our commits."),
    setting("TASKSGODZILLA_GIT_TIMEOUT_SECONDS", "600", "Wall limit of one git command."),
    setting(
        "TASKSGODZILLA_RUN_LOG_RETENTION_DAYS",
        "30",
        "Finished jobs and their logs are removed after this many days.",
    ),
    setting("TASKSGODZILLA_RUN_LOG_MAX_BYTES", "52428800", "Cap of the log of one engine call, in bytes."),
];

/// The reference of all settings as Markdown.
pub fn documentation() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         This page is written from the table of settings in the code; edit that table, not this page.\n\n\
         A setting is taken from the first of: a command-line flag, the environment, the file\n\
         `config.toml` in the state directory (or the file named by `--config`), its default. An empty\n\
         variable counts as unset. Switches take `1`, `true`, `yes`, `on` and `0`, `false`, `no`, `off`.\n\
         A bad value stops the start with exit code 2 and the name of the variable; so does an unknown\n\
         key in `config.toml`. Relative paths start from the current directory, in the file from its own.\n\n\
         Variables that begin with `DEKSDENFLOW_` instead of `TASKSGODZILLA_` still work and are warned\n\
         about once at start. `TASKSGODZILLA_SINGLE_WORKTREE` and `TASKSGODZILLA_WORKTREE_BRANCH` are\n\
         ignored with a warning: every run has a worktree and a branch of its own.\n\n\
         | variable | key in `config.toml` | default | meaning |\n|---|---|---|---|\n",
    );
    for setting in SETTINGS {
        let default =
            if setting.default.is_empty() { "–".to_owned() } else { format!("`{}`", setting.default) };
        let key = setting.key().map_or_else(|| "–".to_owned(), |key| format!("`{key}`"));
        let aliases = setting.aliases.iter().fold(String::new(), |mut names, alias| {
            write!(names, " (also `{alias}`)").expect("writing to a String cannot fail");
            names
        });
        writeln!(text, "| `{}`{aliases} | {key} | {default} | {} |", setting.variable, setting.meaning)
            .expect("writing to a String cannot fail");
    }
    text.push_str(
        "\nModels have no built-in default here: what neither the command line nor these variables nor\n\
         the project names is the engine's own default.\n",
    );
    text
}
