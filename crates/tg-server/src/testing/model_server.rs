//! A scripted model provider on 127.0.0.1, so that the real agent command lines run without a network
//! and without a key. It speaks the streaming Responses dialect, and holds no session: what it answers
//! follows from the request alone. It never reads or writes a file.
//!
//! The scenario is part of the base URL, `http://127.0.0.1:PORT/s/<scenario>[~<key>]/v1`, so parallel
//! runs share nothing but the counters of `GET /_stats`, and a key gives a run counters of its own.
//! An unknown path or scenario answers 404.

mod script;
mod stream;
mod work;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
};
use futures_util::stream as streams;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::oneshot};

use script::Fault;

#[cfg(test)]
mod tests;

/// What one path was asked and was given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Served {
    /// Requests that arrived, broken ones too.
    pub requests: u64,
    /// Answers that were completed and carried usage.
    pub completed: u64,
    /// Input tokens of those answers, cached ones included.
    pub input_tokens: u64,
    /// Cached part of the input.
    pub cached_tokens: u64,
    /// Output tokens, reasoning included.
    pub output_tokens: u64,
    /// Reasoning part of the output.
    pub reasoning_tokens: u64,
}

type Counters = Arc<Mutex<BTreeMap<String, Served>>>;

/// A running server on a thread of its own; dropping it ends it.
#[derive(Debug)]
pub struct ModelServer {
    address: SocketAddr,
    counters: Counters,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone)]
struct Shared {
    port: u16,
    counters: Counters,
}

impl ModelServer {
    /// Starts on a free port.
    pub fn start() -> io::Result<Self> {
        Self::start_on(0)
    }

    /// Starts on a port; 0 picks a free one.
    pub fn start_on(port: u16) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let counters = Counters::default();
        let shared = Shared { port: address.port(), counters: Arc::clone(&counters) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("model-server".to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    outcome = serve(listener, shared) => drop(outcome),
                    _ = stopped => {}
                }
            });
            // Answers that hang on purpose end with the runtime.
            runtime.shutdown_background();
        })?;
        Ok(Self { address, counters, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Base URL of a scenario, `<name>` or `<name>~<key>`.
    pub fn base_url(&self, scenario: &str) -> String {
        format!("http://{}/s/{scenario}/v1", self.address)
    }

    /// What a scenario served so far.
    pub fn served(&self, scenario: &str) -> Served {
        let path = format!("/s/{scenario}/v1/responses");
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).get(&path).copied().unwrap_or_default()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        // The thread waits for this sender to go.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

async fn serve(listener: std::net::TcpListener, shared: Shared) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let router = Router::new()
        .fallback(answer)
        .layer(axum::extract::DefaultBodyLimit::max(64 * 1024 * 1024))
        .with_state(shared);
    axum::serve(listener, router).await
}

async fn answer(
    State(shared): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match method {
        Method::GET | Method::HEAD => answer_get(&shared, &uri, &headers),
        Method::POST => answer_post(&shared, &uri, &body).await,
        other => not_found(&format!("{other} {uri}")),
    }
}

fn answer_get(shared: &Shared, uri: &Uri, headers: &HeaderMap) -> Response {
    if uri.path() == "/_stats" {
        let counters = shared.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let stats: BTreeMap<&String, Value> =
            counters.iter().map(|(path, served)| (path, stats_of(served))).collect();
        return axum::Json(stats).into_response();
    }
    let upgrade =
        headers.get(header::UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if upgrade {
        return not_found("no websocket here");
    }
    if uri.path().ends_with("/models") {
        let model = json!({"id": "mock-model", "object": "model", "created": 1, "owned_by": "mock"});
        return axum::Json(json!({"object": "list", "data": [model], "models": []})).into_response();
    }
    not_found(uri.path())
}

fn stats_of(served: &Served) -> Value {
    json!({
        "requests": served.requests,
        "completed": served.completed,
        "input_tokens": served.input_tokens,
        "cached_tokens": served.cached_tokens,
        "output_tokens": served.output_tokens,
        "reasoning_tokens": served.reasoning_tokens,
    })
}

async fn answer_post(shared: &Shared, uri: &Uri, body: &Bytes) -> Response {
    let path = uri.path().to_owned();
    let request: Value = match serde_json::from_slice(body) {
        Ok(request) => request,
        Err(error) => return failure(StatusCode::BAD_REQUEST, "unreadable_body", &error.to_string()),
    };
    let count = {
        let mut counters = shared.counters.lock().unwrap_or_else(PoisonError::into_inner);
        let served = counters.entry(path.clone()).or_default();
        served.requests += 1;
        served.requests
    };
    let Some(scenario) = scenario_of(&path) else { return not_found(&path) };
    if let Some(fault) = Fault::named(scenario) {
        if let Some(response) = fail(fault, count).await {
            return response;
        }
    } else if !script::is_scenario(scenario) {
        return not_found(&path);
    }
    let actions = script::actions(scenario, &request, shared.port);
    let tools = script::Tools::of(&request);
    let items: Vec<stream::Item> = actions.iter().map(|action| tools.item(action)).collect();
    let cut = scenario == "trunc";
    if !cut {
        note_completed(&shared.counters, &path);
    }
    if request["stream"] == false {
        return axum::Json(stream::whole(&request, &items)).into_response();
    }
    event_stream(stream::events(&request, &items, cut))
}

/// `/s/<scenario>[~key]/v1/responses` → the scenario.
fn scenario_of(path: &str) -> Option<&str> {
    let (scenario, rest) = path.strip_prefix("/s/")?.split_once('/')?;
    (rest == "v1/responses" || rest == "responses").then(|| scenario.split('~').next().unwrap_or(scenario))
}

fn note_completed(counters: &Counters, path: &str) {
    let mut counters = counters.lock().unwrap_or_else(PoisonError::into_inner);
    let served = counters.entry(path.to_owned()).or_default();
    served.completed += 1;
    served.input_tokens += stream::INPUT;
    served.cached_tokens += stream::CACHED;
    served.output_tokens += stream::OUTPUT;
    served.reasoning_tokens += stream::REASONING;
}

/// The broken answer of a fault; `None` when this request is answered well.
async fn fail(fault: Fault, count: u64) -> Option<Response> {
    Some(match fault {
        Fault::BadRequest => failure(StatusCode::BAD_REQUEST, "invalid_request_error", "bad request"),
        Fault::Unauthorized => failure(StatusCode::UNAUTHORIZED, "authentication_error", "invalid api key"),
        Fault::RateLimited => {
            let answer = failure(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", "rate limited");
            ([(header::RETRY_AFTER, "1")], answer).into_response()
        }
        Fault::Quota => {
            let text = "You exceeded your current quota";
            failure(StatusCode::TOO_MANY_REQUESTS, "insufficient_quota", text)
        }
        Fault::Internal => failure(StatusCode::INTERNAL_SERVER_ERROR, "api_error", "internal error"),
        Fault::ContextTooLong => {
            let text = "prompt is too long: 300000 tokens > 200000 maximum";
            failure(StatusCode::BAD_REQUEST, "context_length_exceeded", text)
        }
        Fault::Flaky if count <= 2 => failure(StatusCode::INTERNAL_SERVER_ERROR, "api_error", "flaky"),
        Fault::Flaky | Fault::Cut => return None,
        Fault::Malformed => {
            event_stream(vec![Bytes::from("data: {this is not json\n\nevent: nonsense\ndata: 42\n\n")])
        }
        Fault::Html => ([(header::CONTENT_TYPE, "text/html")], "<html>gateway</html>").into_response(),
        Fault::Hang => std::future::pending().await,
        Fault::HangStream => pings(),
    })
}

fn event_stream(events: Vec<Bytes>) -> Response {
    stream_response(Body::from_stream(streams::iter(events.into_iter().map(Ok::<_, Infallible>))))
}

/// A stream that stays open and says nothing.
fn pings() -> Response {
    stream_response(Body::from_stream(streams::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok::<_, Infallible>(Bytes::from(": ping\n\n")), ()))
    })))
}

fn stream_response(body: Body) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    (headers, body).into_response()
}

fn failure(status: StatusCode, kind: &str, message: &str) -> Response {
    let body = json!({"error": {"message": message, "type": kind, "code": kind}});
    (status, axum::Json(body)).into_response()
}

fn not_found(what: &str) -> Response {
    failure(StatusCode::NOT_FOUND, "not_found", &format!("unknown path or scenario {what}"))
}
