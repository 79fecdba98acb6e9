//! All settings, read once: flag, environment, `<home>/config.toml`, default, in that order.
//! The only reader of the environment. A bad value stops the start with its name.

use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};

use tg_core::{layout::Home, project::ModelDefaults};

use crate::secret::Secret;

/// Settings in force.
#[derive(Debug, Clone)]
pub struct Config {
    /// State directory and roots.
    pub home: Home,
    /// `sqlite:<path>` or `postgres://…` (holds a password: secret).
    pub database_url: Secret<String>,
    /// Postgres pool size.
    pub database_pool: u32,
    /// Bind address of `serve`.
    pub api_host: IpAddr,
    /// Port of `serve`.
    pub api_port: u16,
    /// Slots of a worker.
    pub worker_concurrency: usize,
    /// Jobs of one project at once.
    pub project_concurrency: i64,
    /// Lease of a claimed job.
    pub lease: Duration,
    /// Beat of the scheduler.
    pub scheduler_interval: Duration,
    /// A running step without a live lease older than this is stuck; `None` = off.
    pub step_stuck: Option<Duration>,
    /// Models asked for by `PROTOCOL_*_MODEL`, where set.
    pub models: ModelDefaults,
    /// Simple steps are not decomposed.
    pub skip_simple_decompose: bool,
    /// QA is queued after execution even without `auto_advance`.
    pub auto_qa_after_exec: bool,
    /// QA is queued when CI turns green.
    pub auto_qa_on_ci: bool,
    /// Cap for loops without a limit of their own.
    pub max_loop_iterations: u32,
    /// Wall limit of an engine call where no spec says otherwise.
    pub engine_timeout: Duration,
    /// No byte from an engine for this long ends the call.
    pub engine_idle: Duration,
    /// Between the first stop signal and the kill.
    pub engine_grace: Duration,
    /// `--sandbox off` / `TASKSGODZILLA_SANDBOX=off`: engines may run unconfined; recorded and shown.
    pub sandbox_off: bool,
    /// Binary of an engine by engine id (`TASKSGODZILLA_CODEX_BIN`, …), else PATH.
    pub engine_binaries: BTreeMap<String, PathBuf>,
    /// Extra arguments for the codex command line (`TASKSGODZILLA_CODEX_ARGS`, JSON list): own providers.
    pub codex_arguments: Vec<String>,
    /// Variables handed to an engine by engine id (keys, base URLs); never ours.
    pub engine_environment: BTreeMap<String, Vec<(String, Secret<String>)>>,
    /// Script of the dummy engine (`TASKSGODZILLA_DUMMY_SCRIPT`); tests only.
    pub dummy_script: Option<PathBuf>,
    /// Author and committer of our commits.
    pub git_identity: (String, String),
    /// Wall limit of one git call.
    pub git_timeout: Duration,
    /// Cap of one call log.
    pub run_log_max_bytes: u64,
    /// Finished jobs and logs older than this are pruned.
    pub run_log_retention: Duration,
    /// Log level filter.
    pub log_level: String,
    /// Log as JSON lines.
    pub log_json: bool,
    /// Our own binary, for hidden commands (`__supervise`, `__dummy`).
    pub own_binary: PathBuf,
    /// PATH of the server, where engines and git are looked up.
    pub search_path: String,
    /// Deprecated or ignored variables that were seen; each is warned about once.
    pub warnings: Vec<String>,
    /// Fail point that ends the process (crash tests).
    pub failpoint: Option<String>,
}
