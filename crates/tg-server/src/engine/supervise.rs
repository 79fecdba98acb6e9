//! One engine process from start to end: redacted log, idle and wall limits, cancel ladder, tree
//! kill, success rule. The only owner of engine processes.

mod judge;
mod orphans;
mod output;
mod resolve;
mod shim;
mod watching;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;
use tg_core::protocol::Usage;
use tokio::{
    io::AsyncWriteExt,
    process::{Child, ChildStdin},
};
use tokio_util::sync::CancellationToken;

pub use self::{
    orphans::reap_orphans,
    resolve::{Program, resolve},
    shim::shim,
};
use self::{output::Log, shim::Order, watching::Watching};
use super::{CommandLine, Engine, EngineFailure, FailKind, Progress, Request};
use crate::{
    config::Config,
    paths::Root,
    process::{self, Spawn, Wrap},
    redact::Redactor,
};

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
    /// Last message of the agent, known secrets taken out.
    pub final_text: String,
    /// Structured answer, validated against the request's schema.
    pub structured: Option<Value>,
    /// Session id.
    pub session: Option<String>,
    /// Usage of this call.
    pub usage: Option<Usage>,
    /// Notes, redacted.
    pub warnings: Vec<String>,
    /// Bytes the engine printed.
    pub output_bytes: u64,
}

/// Called with each progress item, redacted; must be quick.
pub type Watch = Arc<dyn Fn(&Progress) + Send + Sync>;

/// Name of the log in a call's folder.
const LOG_NAME: &str = "logs.txt";
/// How long the shim may take to read its order and the prompt.
const ORDER_LIMIT: Duration = Duration::from_secs(30);

/// Runs one call to its end. Never leaves a process behind; never panics on output. Dropping the
/// future ends the engine as well, by the lifeline.
#[expect(clippy::too_many_arguments, reason = "each is a different thing and none has a default")]
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
    if cancel.is_cancelled() {
        return judge::never_ran(EngineFailure::new(FailKind::Cancelled, "stopped before it began"));
    }
    let request = with_script(config, engine, request);
    let line = engine.command(&program.path, &request);
    if let Err(failure) = prepare(&request, &line) {
        return judge::never_ran(failure);
    }
    let (child, lifeline) = match start(config, &request, &line, wrap, limits.grace).await {
        Ok(started) => started,
        Err(failure) => return judge::never_ran(failure),
    };
    let log = Log::create(&request.call_dir.join(LOG_NAME), limits.log_bytes, redactor).await;
    let mut watching = Watching::new(engine.reader(&request), log, redactor.clone(), watch);
    let stopped = watching.until_end(child, lifeline, limits, cancel).await;
    if stopped.is_doubtful {
        end_rest(config, &request).await;
    }
    watching.settle(&request, &stopped, *wrap != Wrap::None).await
}

/// The dummy engine's script comes from the settings and not from the job.
fn with_script(config: &Config, engine: &dyn Engine, request: &Request) -> Request {
    let mut request = request.clone();
    if let Some(script) = config.dummy_script.as_ref().filter(|_| engine.card().program.is_empty()) {
        request.arguments.extend(["--script".to_owned(), script.display().to_string()]);
    }
    request
}

/// Makes the engine's folders and files. An agent of an earlier call had its hand in them, so no
/// link on the way is followed.
fn prepare(request: &Request, line: &CommandLine) -> Result<(), EngineFailure> {
    let refuse = |path: &Path, error: std::io::Error| {
        EngineFailure::new(FailKind::Crashed, format!("cannot prepare {}: {error}", path.display()))
    };
    let exchange = request.exchange();
    for folder in [&request.home, &exchange] {
        std::fs::create_dir_all(folder).map_err(|error| refuse(folder, error))?;
    }
    for (path, content) in &line.files {
        let place = [&request.home, &exchange]
            .into_iter()
            .find_map(|folder| path.strip_prefix(folder).ok().map(|relative| (folder, relative)));
        let Some((folder, relative)) = place else {
            return Err(refuse(path, std::io::Error::other("it lies outside the engine's folders")));
        };
        Root::open(folder)
            .and_then(|root| root.write(relative, content))
            .map_err(|error| refuse(path, error))?;
    }
    Ok(())
}

/// The complete environment of the engine and of everything around it.
fn environment(config: &Config, request: &Request, line: &CommandLine) -> Vec<(OsString, OsString)> {
    let own = |name: &str, value: OsString| (OsString::from(name), value);
    let mut environment: Vec<(OsString, OsString)> =
        line.environment.iter().map(|(name, value)| own(name, value.expose().into())).collect();
    environment.extend([
        own("PATH", (&config.search_path).into()),
        own("HOME", request.home.clone().into()),
        own("TMPDIR", "/tmp".into()),
        own("LANG", "C.UTF-8".into()),
        own("TERM", "dumb".into()),
        own("NO_COLOR", "1".into()),
        own(orphans::RUN_MARK, (&request.call.0).into()),
        own(orphans::STATE_MARK, config.home.root.clone().into()),
    ]);
    environment
}

/// Starts the shim and hands it its order and the prompt. The pipe it comes back with is the
/// lifeline: closing it ends the engine.
async fn start(
    config: &Config,
    request: &Request,
    line: &CommandLine,
    wrap: &Wrap,
    grace: Duration,
) -> Result<(Child, ChildStdin), EngineFailure> {
    let broken = |why: String| {
        EngineFailure::new(FailKind::Crashed, format!("the engine cannot be supervised: {why}"))
    };
    let words = shim::words(&wrap.around(&line.program, &line.arguments))
        .map_err(|why| EngineFailure::new(FailKind::BadInvocation, why))?;
    let order = Order {
        line: words,
        directory: request.directory.clone(),
        prompt_bytes: u64::try_from(request.prompt.len()).unwrap_or(u64::MAX),
        grace_ms: u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
        is_wrapped: *wrap != Wrap::None,
    };
    let mut head = serde_json::to_vec(&order).map_err(|error| broken(error.to_string()))?;
    head.push(b'\n');
    let shim = Spawn {
        line: vec![config.own_binary.clone().into(), "__supervise".into()],
        environment: environment(config, request, line),
        directory: PathBuf::from("/"),
    };
    let mut child = process::spawn(&shim).map_err(|error| broken(error.to_string()))?;
    let mut lifeline = child.stdin.take().ok_or_else(|| broken("it has no input".to_owned()))?;
    let send = async {
        lifeline.write_all(&head).await?;
        lifeline.write_all(request.prompt.as_bytes()).await?;
        lifeline.flush().await
    };
    match tokio::time::timeout(ORDER_LIMIT, send).await {
        Ok(Ok(())) => Ok((child, lifeline)),
        // It ended before it read everything; what it printed says why.
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok((child, lifeline)),
        Ok(Err(error)) => Err(broken(error.to_string())),
        Err(_elapsed) => Err(broken("it does not read its order".to_owned())),
    }
}

/// The shim could not do its work (it was killed, or did not end): what is left is found by its mark.
async fn end_rest(config: &Config, request: &Request) {
    let (home, call) = (config.home.root.clone(), request.call.0.clone());
    match tokio::task::spawn_blocking(move || orphans::end_call(&home, &call)).await {
        Ok(Ok(_ended)) => {}
        Ok(Err(error)) => tracing::error!(%error, "cannot look for processes an engine left"),
        Err(error) => tracing::error!(%error, "looking for processes an engine left broke off"),
    }
}
