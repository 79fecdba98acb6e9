//! Traces: request, job and engine call hang together at the collector, and nothing is sent unasked.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use tg_core::lifecycle::Signal;
use tg_server::{
    app::App,
    db::{Db, Tx},
    flow::{self, Cause},
    testing::app::{Setup, TestApp},
    trace,
    wake::Wake,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use tracing::Instrument as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::{
    database,
    journey::{NAME, SHIM},
};

/// A span as the collector got it; ids in hex, no parent = empty.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    trace: String,
    id: String,
    parent: String,
    name: String,
}

/// A collector on loopback.
struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
    requests: Arc<Mutex<usize>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (spans, requests) = (Arc::<Mutex<Vec<Span>>>::default(), Arc::<Mutex<usize>>::default());
        let (kept, counted) = (spans.clone(), requests.clone());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                *counted.lock().unwrap() += 1;
                let mut bytes = Vec::new();
                let body = loop {
                    if let Some(body) = whole(&bytes) {
                        break body;
                    }
                    if stream.read_buf(&mut bytes).await.unwrap() == 0 {
                        break Vec::new();
                    }
                };
                kept.lock().unwrap().extend(spans_of(&body));
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        });
        Self { url, spans, requests }
    }
}

/// The body of a request, once it is all there.
fn whole(bytes: &[u8]) -> Option<Vec<u8>> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    assert!(head.starts_with("post /v1/traces http/1.1"), "{head}");
    assert!(head.contains("content-type: application/x-protobuf"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
    let body = &bytes[end + 4..];
    (body.len() >= length.trim().parse().unwrap()).then(|| body.to_vec())
}

/// Fields of a protobuf message that hold bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, &[u8])> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                varint(&mut bytes);
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut bytes)).unwrap(),
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = bytes.split_at(length);
        if key & 7 == 2 {
            found.push((key >> 3, value));
        }
        bytes = rest;
    }
    found
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first().unwrap();
        *bytes = rest;
        value |= u64::from(byte & 127) << shift;
        if byte & 128 == 0 {
            break;
        }
    }
    value
}

fn spans_of(body: &[u8]) -> Vec<Span> {
    let inside = |number: u64, bytes: &[u8]| -> Vec<Vec<u8>> {
        fields(bytes).into_iter().filter(|(own, _)| *own == number).map(|(_, value)| value.to_vec()).collect()
    };
    let scopes = inside(1, body).into_iter().flat_map(|resource| inside(2, &resource));
    let spans = scopes.flat_map(|scope| inside(2, &scope));
    spans
        .map(|span| {
            let fields: BTreeMap<u64, &[u8]> = fields(&span).into_iter().collect();
            let hex = |number: u64| {
                let bytes = fields.get(&number).copied().unwrap_or_default();
                bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
            };
            let name = String::from_utf8_lossy(fields.get(&5).copied().unwrap_or_default()).into_owned();
            Span { trace: hex(1), id: hex(2), parent: hex(4), name }
        })
        .collect()
}

/// A request that starts the run.
async fn start(world: &TestApp, name: &str) -> tg_core::ids::RunId {
    let run = world.create(name, None).await;
    let request = async {
        let mut tx: Tx = world.app.db.begin().await.unwrap();
        let cause = Cause { request_id: Some("req-7"), ..Cause::default() };
        flow::advance(&world.app, &mut tx, run, Signal::Start, &cause).await.unwrap();
        tx.commit().await.unwrap();
    };
    request.instrument(tracing::error_span!(target: "tg_server::api", "request", request_id = "req-7")).await;
    run
}

#[tokio::test]
async fn request_job_and_call_hang_together_and_nothing_is_sent_unasked() {
    let collector = Collector::start().await;
    let unasked = TestApp::new(SHIM).await;
    let silent = trace::sender::<tracing_subscriber::Registry>(&unasked.app.config).unwrap();
    assert!(silent.is_none(), "no setting, no layer");
    start(&unasked, NAME).await;
    unasked.run_one_job().await;
    trace::flush().await;
    let none_kept = "UPDATE jobs SET last_error = 'traced' WHERE trace_ctx IS NOT NULL";
    assert_eq!(database::raw(&unasked.app.db, none_kept).await, 0);
    assert_eq!(*collector.requests.lock().unwrap(), 0);

    let world = Setup::new(SHIM).set("TASKSGODZILLA_OTLP_ENDPOINT", &collector.url).make().await;
    let sender = trace::sender(&world.app.config).unwrap();
    let guard = tracing::subscriber::set_default(tracing_subscriber::registry().with(sender));
    start(&world, NAME).await;
    // The job is done by another process: what links them is in the database.
    let db = Db::open(world.app.config.database_url.expose(), 2).await.unwrap();
    let elsewhere = App { db, wake: Wake::default(), ..world.app.clone() };
    let held = tg_server::worker::heartbeat::Held::default();
    let owner = tg_server::worker::new_owner();
    let (lease, slot) = tg_server::worker::take(&elsewhere, &owner, &held).await.unwrap().unwrap();
    assert!(lease.trace.as_deref().is_some_and(|context| context.starts_with("00-")), "{:?}", lease.trace);
    tg_server::worker::carry(elsewhere, held, lease, slot).await;
    world.run_pending_jobs().await;
    trace::flush().await;
    drop(guard);

    let arrived = || collector.spans.lock().unwrap().clone();
    let complete = |spans: &[Span]| spans.iter().filter(|span| span.name == "engine_call").count() >= 2;
    for _ in 0..500 {
        if complete(&arrived()) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let spans = arrived();
    assert!(complete(&spans), "{spans:#?}");
    let request = spans.iter().find(|span| span.name == "request").unwrap();
    assert_eq!((request.trace.len(), request.id.len(), request.parent.as_str()), (32, 16, ""));
    let parent = |span: &Span| spans.iter().find(|other| other.id == span.parent).cloned();
    let plan = spans.iter().find(|span| span.name == "job" && span.parent == request.id).unwrap();
    let calls: Vec<&Span> = spans.iter().filter(|span| span.name == "engine_call").collect();
    assert!(calls.iter().any(|call| call.parent == plan.id), "{spans:#?}");
    for span in &spans {
        assert_eq!(span.trace, request.trace, "one trace: {span:?}");
        let expected = match span.name.as_str() {
            "request" => continue,
            "job" => ["request", "job"],
            "engine_call" => ["job", "job"],
            other => panic!("a span of nobody: {other}"),
        };
        let above = parent(span).unwrap_or_else(|| panic!("no parent: {span:?}\n{spans:#?}"));
        assert!(expected.contains(&above.name.as_str()), "{span:?} under {above:?}");
    }
}
