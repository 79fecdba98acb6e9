//! `serve`: health and readiness over HTTP on loopback, and a worker for the queue. One process per
//! state directory; it says that it serves only when it does.

use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    net::{IpAddr, SocketAddr},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde_json::json;
use tg_core::wire::EngineCheck;
use tg_server::{
    api::{self, Facts},
    config::Config,
    worker,
};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{CliError, ErrorKind, Global, doctor::engines};
use crate::{
    output::Output,
    start::{self, Chatter},
};

/// Where and what to serve.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address to bind; only loopback is accepted.
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// Port to bind; 0 lets the system choose.
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// Serve only; work nothing.
    #[arg(long)]
    no_worker: bool,
}

/// Time between two looks at the engines.
const ENGINE_BEAT: Duration = Duration::from_mins(1);

/// Runs the command.
pub async fn run(global: &Global, args: ServeArgs, output: &Output) -> Result<(), CliError> {
    let mut flags = BTreeMap::new();
    flags.extend(args.host.clone().map(|host| ("TASKSGODZILLA_API_HOST", host)));
    flags.extend(args.port.clone().map(|port| ("TASKSGODZILLA_API_PORT", port)));
    let config = start::config(global, flags, Chatter::Server, output)?;
    // Before anybody can be told that we serve, so that a stop right afterwards is a clean one.
    let signals = Signals::listen()?;
    only_loopback(config.api_host)?;
    start::private_directory(&config.home.root)?;
    let _lock = lock(&config.home.serve_lock())?;
    let listener = bind(SocketAddr::new(config.api_host, config.api_port)).await?;
    let address = listener.local_addr().map_err(|error| CliError::internal(error.to_string()))?;
    let app = start::working(config).await?;

    let stop = CancellationToken::new();
    let facts = Facts::default();
    let admin = api::new_token().map_err(|error| CliError::internal(format!("no randomness: {error}")))?;
    let router = api::router(app.clone(), facts.clone(), &admin);
    let server = tokio::spawn(api::serve(listener, router, stop.clone()));
    let worker = (!args.no_worker).then(|| tokio::spawn(worker::run(app.clone(), stop.clone())));
    facts.set_workers(i64::from(worker.is_some()));
    tokio::spawn(look_at_engines(app.config.as_ref().clone(), facts.clone(), stop.clone()));

    let url = UrlFile::write(&app.config.home.serve_url(), &format!("http://{address}"))?;
    announce(&url, &app.config, worker.is_some(), output);
    let ended = until_stopped(&stop, server, worker, signals, output).await;
    drop(url);
    ended
}

fn announce(url: &UrlFile, config: &Config, works: bool, output: &Output) {
    if output.is_json() {
        output.json(&json!({ "url": url.url, "home": config.home.root, "worker": works }));
        return;
    }
    output.line(&format!("serving {} (health at /health)", url.url));
    output.line(&format!("state in {}", config.home.root.display()));
    output.line("next: tasksgodzilla run \"<task>\" in a repository; Ctrl-C stops");
}

type Ended<E> = Result<Result<(), E>, tokio::task::JoinError>;
type Worker = tokio::task::JoinHandle<Result<(), tg_server::store::StoreError>>;

/// The signals that ask for an end.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> Result<Self, CliError> {
        let on = |kind| {
            signal(kind).map_err(|error| CliError::internal(format!("cannot listen for signals: {error}")))
        };
        Ok(Self { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())? })
    }
}

/// What ended the serving.
enum Cause {
    Asked,
    Server(Ended<io::Error>),
    Worker(Ended<tg_server::store::StoreError>),
}

/// Waits for a signal or for a part to end by itself, then lets everything end.
async fn until_stopped(
    stop: &CancellationToken,
    mut server: tokio::task::JoinHandle<io::Result<()>>,
    mut worker: Option<Worker>,
    mut signals: Signals,
    output: &Output,
) -> Result<(), CliError> {
    let cause = tokio::select! {
        _ = signals.interrupt.recv() => Cause::Asked,
        _ = signals.terminate.recv() => Cause::Asked,
        ended = &mut server => Cause::Server(ended),
        ended = end_of(&mut worker) => Cause::Worker(ended),
    };
    stop.cancel();
    match cause {
        Cause::Server(ended) => Err(CliError::internal(format!("the HTTP server ended: {ended:?}"))),
        Cause::Worker(Ok(Ok(()))) => Err(CliError::internal("the worker ended by itself")),
        Cause::Worker(ended) => worker_result(ended),
        Cause::Asked if worker.is_none() => Ok(()),
        Cause::Asked => {
            output
                .note("stopping: jobs at work get 30 s to end, the rest is handed back; Ctrl-C ends at once");
            tokio::select! {
                ended = end_of(&mut worker) => worker_result(ended),
                _ = signals.interrupt.recv() => {
                    output.note("ended at once: jobs go on elsewhere when their leases run out");
                    Ok(())
                }
            }
        }
    }
}

/// Resolves when the worker ends; never without one.
async fn end_of(worker: &mut Option<Worker>) -> Ended<tg_server::store::StoreError> {
    match worker {
        Some(worker) => worker.await,
        None => std::future::pending().await,
    }
}

fn worker_result(ended: Ended<tg_server::store::StoreError>) -> Result<(), CliError> {
    match ended {
        Ok(ended) => Ok(ended?),
        Err(error) => Err(CliError::internal(format!("the worker ended: {error}"))),
    }
}

fn only_loopback(host: IpAddr) -> Result<(), CliError> {
    if host.is_loopback() {
        return Ok(());
    }
    Err(CliError::new(ErrorKind::Config, format!("TASKSGODZILLA_API_HOST: {host} can be reached from outside"))
        .hint("there are no tokens yet, so only loopback is served; use 127.0.0.1 and a tunnel or proxy of your own"))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, CliError> {
    TcpListener::bind(address).await.map_err(|error| {
        let (ip, port) = (address.ip(), address.port());
        if error.kind() == io::ErrorKind::AddrInUse {
            CliError::failed(format!("port {port} of {ip} is in use by another program"))
                .hint("choose another with --port or TASKSGODZILLA_API_PORT; --port 0 takes a free one")
        } else {
            CliError::failed(format!("cannot listen on {address}: {error}"))
                .hint("choose another address or port with --host and --port")
        }
    })
}

/// Takes the lock of the state directory; it is held as long as the file stays open.
fn lock(path: &Path) -> Result<File, CliError> {
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut file =
        open.map_err(|error| CliError::failed(format!("cannot open {}: {error}", path.display())))?;
    match file.try_lock() {
        Ok(()) => {
            let written = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| write!(file, "{}", std::process::id()));
            written.map_err(|error| CliError::failed(format!("cannot write {}: {error}", path.display())))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let holder = match file.read_to_string(&mut holder) {
                Ok(_) if !holder.is_empty() => format!(" (process {holder})"),
                Ok(_) | Err(_) => String::new(),
            };
            Err(CliError::failed(format!("another `serve`{holder} uses this state directory already"))
                .hint("use that one, or name another state directory with --home"))
        }
        Err(TryLockError::Error(error)) => {
            Err(CliError::failed(format!("cannot lock {}: {error}", path.display())))
        }
    }
}

/// The address of this server, written where clients look for it; removed at the end.
struct UrlFile {
    path: PathBuf,
    url: String,
}

impl UrlFile {
    fn write(path: &Path, url: &str) -> Result<Self, CliError> {
        let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        open.and_then(|mut file| writeln!(file, "{url}"))
            .map_err(|error| CliError::failed(format!("cannot write {}: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), url: url.to_owned() })
    }
}

impl Drop for UrlFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the address file stays behind");
        }
    }
}

/// Keeps the engine checks of `/ready` fresh, so that no request starts a process.
async fn look_at_engines(config: Config, facts: Facts, stop: CancellationToken) {
    loop {
        let found = engines::look(&config).await;
        facts.set_engines(
            found
                .iter()
                .map(|engine| EngineCheck {
                    id: engine.id.to_owned(),
                    available: engine.path.is_ok(),
                    version: engine.version.clone(),
                })
                .collect(),
        );
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ENGINE_BEAT) => {}
        }
    }
}
