//! The server loop over real sockets: slow, greedy and deaf clients lose their connections, the others do
//! not notice, and a stop ends everything.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{Router, body::Body, routing::get};
use futures_util::stream;
use tg_server::api::{self, Limits};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer, or it hangs.
const BOUND: Duration = Duration::from_secs(20);

const SHORT: Limits = Limits {
    connections: 64,
    head_time: Duration::from_millis(400),
    head_bytes: 16 * 1024,
    head_fields: 50,
    stall: Duration::from_millis(400),
    grace: Duration::from_millis(400),
};

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
    /// Streams that were begun and have not ended.
    streams: Arc<AtomicUsize>,
}

/// Counts a stream as long as it lives.
struct Alive(Arc<AtomicUsize>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A body that never ends by itself: pieces of this length, one after each pause.
fn endless(streams: Arc<AtomicUsize>, length: usize, pause: Duration) -> Body {
    streams.fetch_add(1, Ordering::SeqCst);
    let alive = Alive(streams);
    Body::from_stream(stream::unfold(alive, move |alive| async move {
        tokio::time::sleep(pause).await;
        Some((Ok::<_, std::io::Error>(vec![b'x'; length]), alive))
    }))
}

impl Server {
    async fn start(limits: Limits) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let streams = Arc::new(AtomicUsize::new(0));
        let (drip, flood) = (streams.clone(), streams.clone());
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/drip", get(async move || endless(drip, 1, Duration::from_millis(20))))
            .route("/flood", get(async move || endless(flood, 1024 * 1024, Duration::ZERO)))
            .route("/never", get(std::future::pending::<&'static str>));
        let task = tokio::spawn(api::serve(listener, router, limits, stop.clone()));
        Self { address, stop, task, streams }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends this and reads until the server closes.
    async fn say(&self, text: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(text.as_bytes()).await.unwrap();
        rest(&mut stream).await
    }

    async fn end(self) {
        timeout(BOUND, self.task).await.expect("the server ends").unwrap().unwrap();
    }
}

/// What comes until the end; a reset is an end.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(BOUND, stream.read_to_end(&mut bytes)).await.expect("the server closes");
    assert!(read.is_ok() || read.unwrap_err().kind() == std::io::ErrorKind::ConnectionReset);
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < BOUND, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const HELLO: &str = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
const LAST_HELLO: &str = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_comes_slowly_or_not_at_all_ends_the_connection() {
    let server = Server::start(SHORT).await;
    let began = Instant::now();
    assert_eq!(rest(&mut server.connect().await).await, "", "silent from the start");
    assert!(began.elapsed() >= SHORT.head_time, "it had its time");

    let mut drips = server.connect().await;
    let began = Instant::now();
    let mut closed = false;
    for byte in format!("GET / HTTP/1.1\r\nHost: x\r\nX-Pad: {}", "y".repeat(2000)).bytes() {
        if drips.write_all(&[byte]).await.is_err() {
            closed = true;
            break;
        }
        let mut answer = [0; 1];
        if timeout(Duration::from_millis(10), drips.read(&mut answer)).await.is_ok() {
            closed = true;
            break;
        }
    }
    assert!(closed && began.elapsed() < Duration::from_secs(5), "a byte now and then buys no time");

    let mut idle = server.connect().await;
    idle.write_all(HELLO.as_bytes()).await.unwrap();
    let began = Instant::now();
    assert!(rest(&mut idle).await.ends_with("hello"), "answered, then closed for saying nothing more");
    assert!(began.elapsed() >= SHORT.head_time && began.elapsed() < Duration::from_secs(5));
    server.stop.cancel();
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_is_too_much_is_refused() {
    let server = Server::start(SHORT).await;
    let one = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Pad: {}\r\n\r\n", "y".repeat(20_000));
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X-Pad: y\r\n".repeat(60));
    let path = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "y".repeat(20_000));
    for head in [one, many, path] {
        let answer = server.say(&head).await;
        assert!(
            answer.starts_with("HTTP/1.1 431") || answer.starts_with("HTTP/1.1 414") || answer.is_empty(),
            "{answer}"
        );
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    assert!(server.say(LAST_HELLO).await.ends_with("hello"), "the others are answered");
    server.stop.cancel();
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_slow_clients_than_places_hold_nobody_up_for_long() {
    let server = Server::start(SHORT).await;
    let first = Instant::now();
    let mut slow = Vec::new();
    for _ in 0..2 * SHORT.connections {
        let mut stream = server.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n").await.unwrap();
        slow.push(stream);
    }
    let began = Instant::now();
    assert!(server.say(LAST_HELLO).await.ends_with("hello"));
    assert!(first.elapsed() >= SHORT.head_time, "there was no place before the first ones were out of time");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    server.stop.cancel();
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_is_dropped() {
    let server = Server::start(SHORT).await;
    let mut deaf = server.connect().await;
    deaf.write_all(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    wait_for("the flood begins", || server.streams.load(Ordering::SeqCst) == 1).await;
    wait_for("the flood ends", || server.streams.load(Ordering::SeqCst) == 0).await;

    let mut reader = server.connect().await;
    reader.write_all(b"GET /drip HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut piece = [0; 256];
    let began = Instant::now();
    while began.elapsed() < 3 * SHORT.stall {
        assert!(timeout(BOUND, reader.read(&mut piece)).await.unwrap().unwrap() > 0, "a reader is kept");
    }
    server.stop.cancel();
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_streams_whole_and_cuts_what_does_not_end() {
    let server = Server::start(SHORT).await;
    let mut listener = server.connect().await;
    listener.write_all(b"GET /drip HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut stuck = server.connect().await;
    stuck.write_all(b"GET /never HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut idle = server.connect().await;
    idle.write_all(HELLO.as_bytes()).await.unwrap();
    let mut hello = [0; 16];
    idle.read_exact(&mut hello).await.unwrap();
    wait_for("the stream begins", || server.streams.load(Ordering::SeqCst) == 1).await;
    server.stop.cancel();
    let told = rest(&mut listener).await;
    assert!(told.ends_with("0\r\n\r\n"), "the stream has an end: {told:?}");
    assert_eq!(rest(&mut stuck).await, "", "cut after the grace");
    assert!(rest(&mut idle).await.ends_with("hello"));
    let address = server.address;
    server.end().await;
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}
