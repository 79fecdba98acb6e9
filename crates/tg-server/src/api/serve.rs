//! The server loop: connections with limits. A client that sends its head slowly, sends too much of it,
//! or does not read its answer loses its connection; the others do not notice. Knows no route.

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody},
    extract::Request,
    response::Response,
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tokio_util::{
    sync::{CancellationToken, WaitForCancellationFutureOwned},
    task::TaskTracker,
};
use tower::ServiceExt as _;

mod impatient;

use self::impatient::Impatient;

/// What a connection may cost.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at once; further ones wait to be accepted.
    pub connections: usize,
    /// From the first moment, or the end of the last answer, to the end of a request's head.
    pub head_time: Duration,
    /// Bytes of a request's head.
    pub head_bytes: usize,
    /// Fields of a request's head.
    pub head_fields: usize,
    /// A client that takes nothing of its answer for this long is dropped.
    pub stall: Duration,
    /// From the wish to stop to the cut: answers that have begun may end.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            head_time: Duration::from_secs(20),
            head_bytes: 32 * 1024,
            head_fields: 100,
            stall: Duration::from_secs(30),
            grace: Duration::from_secs(10),
        }
    }
}

/// Address that a request came from: what failed logins are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// Open files that are not connections: databases, logs, git, engines.
const OTHER_FILES: u64 = 512;
/// After a failed accept, mostly for want of open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` is cancelled. Answers that have begun are then finished, streams ended, and
/// whatever is left after the grace is cut.
///
/// # Errors
/// None for now: a failing accept is tried again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(limits.connections));
    let open = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        // The place comes first, so that nobody is accepted who could not be served.
        let Some(Ok(place)) = stop.run_until_cancelled(Arc::clone(&places).acquire_owned()).await else {
            break;
        };
        let Some((stream, peer)) = stop.run_until_cancelled(accept(&listener)).await else { break };
        let ends = Ends { stop: stop.clone(), cut: cut.clone() };
        open.spawn(converse(stream, peer, router.clone(), limits, ends, place));
    }
    drop(listener);
    open.close();
    if tokio::time::timeout(limits.grace, open.wait()).await.is_err() {
        tracing::warn!(connections = open.len(), "connections are cut: their answers did not end in time");
        cut.cancel();
        open.wait().await;
    }
    Ok(())
}

/// Lets this process open enough files for so many connections, as far as the system allows; gives the
/// number that is possible.
pub fn make_room(connections: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = u64::try_from(connections).unwrap_or(u64::MAX).saturating_add(OTHER_FILES);
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|current| *current < wanted) else { return connections };
    let raised = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    let reached = match setrlimit(Resource::Nofile, Rlimit { current: Some(raised), ..limit }) {
        Ok(()) => raised,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files stays as it is");
            current
        }
    };
    let possible = reached.saturating_sub(OTHER_FILES).max(reached / 2);
    usize::try_from(possible).unwrap_or(connections).min(connections)
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
                ) => {}
            Err(error) => {
                tracing::error!(%error, "a connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// How a connection is told to end.
struct Ends {
    /// After the present answer.
    stop: CancellationToken,
    /// Now.
    cut: CancellationToken,
}

/// One connection from its first byte to its last.
async fn converse(
    stream: TcpStream,
    peer: SocketAddr,
    router: Router,
    limits: Limits,
    ends: Ends,
    _place: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "small answers may be held back");
    }
    let stop = ends.stop.clone();
    let answering = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer.ip()));
        let (router, stop) = (router.clone(), stop.clone());
        async move {
            let Ok(response) = router.oneshot(request).await;
            Ok::<_, Infallible>(ending(response, stop))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_time)
        .max_buf_size(limits.head_bytes)
        .max_headers(limits.head_fields)
        .serve_connection(TokioIo::new(Impatient::new(stream, limits.stall)), answering);
    let mut connection = pin!(connection);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended early");
                }
                return;
            }
            () = ends.stop.cancelled(), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = ends.cut.cancelled() => return,
        }
    }
}

/// A stream has no end of its own: it ends when the server stops.
fn ending(response: Response, stop: CancellationToken) -> Response {
    if response.body().size_hint().exact().is_some() {
        return response;
    }
    response.map(|body| Body::new(UntilStopped { body, stopped: Box::pin(stop.cancelled_owned()) }))
}

/// A body that ends when the server stops.
struct UntilStopped {
    body: Body,
    stopped: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl HttpBody for UntilStopped {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        if self.stopped.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        Pin::new(&mut self.body).poll_frame(context)
    }
}
