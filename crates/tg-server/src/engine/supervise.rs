//! One engine process from start to end: redacted log, idle and wall limits, cancel ladder, tree
//! kill, success rule. The only owner of engine processes.

use std::{path::PathBuf, sync::Arc, time::Duration};

use serde_json::Value;
use tg_core::protocol::Usage;
use tokio_util::sync::CancellationToken;

use super::{Engine, EngineFailure, Progress, Request};
use crate::{config::Config, process::Wrap, redact::Redactor};

/// Limits of one call.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Wall time.
    pub wall: Duration,
    /// Silence, suspended while a tool is open.
    pub idle: Duration,
    /// Between stop signal and kill.
    pub grace: Duration,
    /// Cap of the log file.
    pub log_bytes: u64,
}

/// What a call left.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Done, or why not.
    pub outcome: Result<(), EngineFailure>,
    /// Last message of the agent.
    pub final_text: String,
    /// Structured answer, validated against the request's schema.
    pub structured: Option<Value>,
    /// Session id.
    pub session: Option<String>,
    /// Usage of this call.
    pub usage: Option<Usage>,
    /// Notes.
    pub warnings: Vec<String>,
    /// Bytes the engine printed.
    pub output_bytes: u64,
}

/// Called with each progress item; must be quick.
pub type Watch = Arc<dyn Fn(&Progress) + Send + Sync>;

/// A resolved engine binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    /// Absolute path.
    pub path: PathBuf,
    /// Paths the sandbox must show so that it runs (install root).
    pub roots: Vec<PathBuf>,
}

/// Finds the binary of an engine: setting, then PATH; never the worktree.
pub fn resolve(config: &Config, engine: &dyn Engine) -> Result<Program, EngineFailure> {
    todo!()
}

/// Runs one call to its end. Never leaves a process behind; never panics on output.
pub async fn call(
    config: &Config,
    engine: &dyn Engine,
    program: &Program,
    request: &Request,
    wrap: &Wrap,
    limits: Limits,
    redactor: &Redactor,
    cancel: &CancellationToken,
    watch: Watch,
) -> Ended {
    todo!()
}

/// Hidden command `__supervise`: sub-reaper between us and an engine. Returns the exit status.
pub fn shim() -> i32 {
    todo!()
}

/// Ends processes of calls that no live lease covers (after a crash): by marker in their
/// environment. Returns how many were ended.
pub fn reap_orphans(home: &std::path::Path, is_live: &dyn Fn(&str) -> bool) -> std::io::Result<usize> {
    todo!()
}
