//! `serve`: the API over HTTP, and a worker for the queue. One process per state directory; it says that
//! it serves only when it does. What can be reached from outside needs a token that somebody chose.

mod browser;
mod marks;

use std::{collections::BTreeMap, convert::Infallible, io, net::SocketAddr, time::Duration};

use clap::Args;
use serde_json::json;
use tg_core::wire::EngineOut;
use tg_server::{
    api::{self, Facts, Keeper, KnownEngine, Limits},
    app::App,
    config::Config,
    jobs::secrets::seal_anew,
    trace, worker,
};
use tokio::{
    net::TcpListener,
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use self::marks::{UrlFile, lock};
use super::{CliError, ErrorKind, Global, access, doctor::engines};
use crate::{
    output::Output,
    start::{self, Chatter},
};

/// Where and what to serve.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Address to bind; one that can be reached from outside needs `TASKSGODZILLA_API_TOKEN`.
    #[arg(long, value_name = "ADDRESS")]
    host: Option<String>,
    /// Port to bind; 0 lets the system choose.
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// Serve only; work nothing.
    #[arg(long)]
    no_worker: bool,
    /// Open a login link in the browser: the one that `BROWSER` names, else the desktop's. Others on this
    /// machine may see the link on its command line; it works once.
    #[arg(long)]
    open: bool,
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
    may_be_reached(&config)?;
    start::private_directory(&config.home.root)?;
    let _lock = lock(&config.home.serve_lock())?;
    let listener = bind(SocketAddr::new(config.api_host, config.api_port)).await?;
    let address = listener.local_addr().map_err(|error| CliError::internal(error.to_string()))?;
    let app = start::working(config).await?;

    let stop = CancellationToken::new();
    let facts = Facts::default();
    let (admin, is_first_start) = access::admin_token(&app.config)?;
    let link = if is_first_start || args.open {
        Some(access::make_link(&app, &place(&app.config, address)).await?)
    } else {
        None
    };
    let router = api::router(app.clone(), facts.clone(), Keeper::new(&app.config, admin, address));
    let connections = api::make_room(app.config.access.connections);
    let limits = Limits { connections, ..Limits::default() };
    let server = tokio::spawn(api::serve(listener, router, limits, stop.clone()));
    let worker = (!args.no_worker).then(|| tokio::spawn(worker::run(app.clone(), stop.clone())));
    facts.set_workers(i64::from(worker.is_some()), &worker::name());
    tokio::spawn(look_at_engines(app.config.as_ref().clone(), facts.clone(), stop.clone()));
    tokio::spawn(seal_secrets_anew(app.clone()));

    let url = UrlFile::write(&app.config.home.serve_url(), &format!("http://{}", reachable(address)))?;
    announce(&url, link.as_deref(), &app.config, worker.is_some(), output);
    let opened = async {
        if let Some(link) = link.as_deref().filter(|_| args.open) {
            browser::open(&app.config, link, output).await;
        }
        std::future::pending::<Infallible>().await
    };
    let ended = tokio::select! {
        ended = until_stopped(&stop, server, worker, signals, output) => ended,
        never = opened => match never {},
    };
    trace::flush().await;
    drop(url);
    ended
}

/// Brings the secrets of the projects under the newest key, beside the work.
async fn seal_secrets_anew(app: App) {
    match seal_anew(&app).await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "project secrets were sealed with the newest key"),
        Err(error) => tracing::error!(%error, "project secrets cannot be sealed with the newest key"),
    }
}

fn announce(url: &UrlFile, link: Option<&str>, config: &Config, works: bool, output: &Output) {
    if output.is_json() {
        let home = &config.home.root;
        output.json(&json!({ "url": url.url, "home": home, "worker": works, "login_link": link }));
        return;
    }
    output.line(&format!("serving {} (reference at /docs)", url.url));
    output.line(&format!("state in {}", config.home.root.display()));
    match link {
        Some(link) => output.line(&format!("sign in, once and within 10 minutes: {link}")),
        None => output.line("next: `tasksgodzilla login-link` signs a browser in; Ctrl-C stops"),
    }
}

/// The address under which this machine reaches a server that listens everywhere.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        std::net::IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip @ (std::net::IpAddr::V4(_) | std::net::IpAddr::V6(_)) => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Where a browser finds the server.
fn place(config: &Config, address: SocketAddr) -> String {
    let public = config.access.public_url.as_ref().map(tg_server::config::PublicUrl::origin);
    public.unwrap_or_else(|| format!("http://{}", reachable(address)))
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
        Cause::Asked => {
            if worker.is_some() {
                output.note(
                    "stopping: jobs at work get 30 s to end, the rest is handed back; Ctrl-C ends at once",
                );
            }
            let rest = async {
                let served = server.await;
                let worked = if worker.is_some() { worker_result(end_of(&mut worker).await) } else { Ok(()) };
                match served {
                    Ok(Ok(())) => worked,
                    ended => Err(CliError::internal(format!("the HTTP server ended: {ended:?}"))),
                }
            };
            tokio::select! {
                ended = rest => ended,
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

/// An address that others can reach is served only with a token that was chosen for it. (The placeholder
/// that everybody knows is refused with the settings.)
fn may_be_reached(config: &Config) -> Result<(), CliError> {
    let host = config.api_host;
    if host.is_loopback() || config.access.token.is_some() {
        return Ok(());
    }
    Err(CliError::new(
        ErrorKind::Config,
        format!("TASKSGODZILLA_API_HOST: {host} can be reached from outside"),
    )
    .hint("set TASKSGODZILLA_API_TOKEN to a long random text, or use 127.0.0.1 behind a proxy of your own"))
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

/// Keeps the engine checks of `/ready` fresh, so that no request starts a process.
async fn look_at_engines(config: Config, facts: Facts, stop: CancellationToken) {
    loop {
        let found = engines::look(&config).await;
        facts.set_engines(
            found
                .iter()
                .map(|found| KnownEngine {
                    engine: EngineOut {
                        id: found.id.to_owned(),
                        display_name: found.card.name.to_owned(),
                        kind: found.card.kind.to_owned(),
                        default_model: found.card.default_model.map(str::to_owned),
                        available: found.path.is_ok(),
                        reason: found.path.as_ref().err().cloned(),
                    },
                    version: found.version.clone(),
                })
                .collect(),
        );
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(ENGINE_BEAT) => {}
        }
    }
}
