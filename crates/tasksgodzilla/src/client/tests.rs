//! The client against a scripted server: one retry on a broken connection with the same key, pages,
//! refusals, and streams that go on where they broke.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{
    Client, Query,
    address::{Asked, Local, Said, choose},
    operation,
    stream::{Item, Resume, Stream},
};

/// What the server does with one connection after it read the request.
#[derive(Debug, Clone)]
enum Act {
    /// Answers and closes.
    Answer(String),
    /// Closes without a word.
    Break,
}

/// A server that does one act per connection and keeps the requests.
struct Server {
    client: Client,
    requests: Arc<Mutex<Vec<String>>>,
}

async fn server(acts: Vec<Act>) -> Server {
    // The tests share a process: all but the first find it there.
    drop(rustls::crypto::ring::default_provider().install_default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let asked = Asked {
        base: Some((format!("http://{}/below", listener.local_addr().unwrap()), Said::Flag)),
        token: Some((tg_server::secret::Secret::new("hunter2".to_owned()), Said::Flag)),
        ..Asked::default()
    };
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    tokio::spawn(async move {
        let mut acts = VecDeque::from(acts);
        while let Some(act) = acts.pop_front() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = request(&mut stream).await;
            seen.lock().unwrap().push(request);
            if let Act::Answer(text) = act {
                stream.write_all(text.as_bytes()).await.unwrap();
                stream.shutdown().await.unwrap();
            }
        }
    });
    Server { client: Client::to(choose(&asked, &Local::default()).unwrap()).unwrap(), requests }
}

/// A request with its body.
async fn request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let length = timeout(Duration::from_secs(10), stream.read(&mut piece)).await.unwrap().unwrap();
        text.extend_from_slice(&piece[..length]);
        let so_far = String::from_utf8_lossy(&text).into_owned();
        if let Some((head, body)) = so_far.split_once("\r\n\r\n") {
            let wanted = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            if wanted.is_none_or(|length| body.len() >= length.parse::<usize>().unwrap()) {
                return so_far;
            }
        }
    }
}

fn answer(status: &str, more: &str, body: &str) -> Act {
    let length = body.len();
    Act::Answer(format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ))
}

fn events(frames: &str) -> Act {
    Act::Answer(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{frames}"
    ))
}

fn line<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[tokio::test]
async fn a_broken_post_is_sent_once_more_under_the_same_key() {
    let body = r#"{"message":"queued","job":null}"#;
    let server = server(vec![Act::Break, answer("200 OK", "", body)]).await;
    let answer = server.client.ask(&operation::START, &["7"], &Query::new()).await.unwrap();
    assert_eq!(answer.value.message, "queued");
    let requests = server.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 2);
    assert!(requests[0].starts_with("POST /below/protocols/7/actions/start HTTP/1.1\r\n"), "{requests:?}");
    let key = line(&requests[0], "idempotency-key").unwrap();
    assert_eq!(key.len(), 36);
    assert_eq!(line(&requests[1], "idempotency-key"), Some(key));
    assert_eq!(line(&requests[0], "authorization"), Some("Bearer hunter2"));
}

#[tokio::test]
async fn it_is_sent_no_third_time_and_what_has_no_key_not_twice() {
    let server = server(vec![Act::Break, Act::Break, Act::Break, Act::Break]).await;
    let error = server.client.ask(&operation::START, &["7"], &Query::new()).await.unwrap_err();
    assert!(error.error.contains("broke") && !error.error.contains("hunter2"), "{error:?}");
    assert_eq!(server.requests.lock().unwrap().len(), 2);
    server.client.ask(&operation::REVOKE_TOKEN, &["7"], &Query::new()).await.unwrap_err();
    assert_eq!(server.requests.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = answer("302 Found", "Location: http://127.0.0.1:1/steal\r\n", "");
    let server = server(vec![elsewhere]).await;
    let error = server.client.ask(&operation::QUEUES, &[], &Query::new()).await.unwrap_err();
    assert!(error.error.contains("answers 302"), "{error:?}");
}

#[tokio::test]
async fn an_id_stays_one_segment_of_the_path() {
    let server = server(vec![answer("404 Not Found", "", "{}")]).await;
    for id in ["..", ".", ""] {
        let error = server.client.ask(&operation::RUN, &[id], &Query::new()).await.unwrap_err();
        assert!(error.error.contains("no object has such an id"), "{error:?}");
    }
    server.client.ask(&operation::RUN, &["../../etc?x#y z"], &Query::new()).await.unwrap_err();
    let requests = server.requests.lock().unwrap().clone();
    let wanted = "GET /below/runs/..%2F..%2Fetc%3Fx%23y%20z HTTP/1.1\r\n";
    assert!(requests[0].starts_with(wanted), "{requests:?}");
}

#[tokio::test]
async fn pages_are_read_up_to_the_limit() {
    let token = |id: i64| {
        format!(
            r#"{{"id":{id},"name":"n","scope":"admin","project_id":null,"project_token":false,"prefix":"p","created_at":"","expires_at":null,"last_used_at":null}}"#
        )
    };
    let page =
        |ids: [i64; 2], next: &str| answer("200 OK", next, &format!("[{},{}]", token(ids[0]), token(ids[1])));
    let server = server(vec![
        page([9, 8], "X-Next-Cursor: token-8\r\n"),
        page([7, 6], "X-Next-Cursor: token-6\r\n"),
        page([5, 4], "X-Next-Cursor: token-6\r\n"),
    ])
    .await;
    let found = server.client.list(&operation::TOKENS, &[], &Query::new(), 700).await.unwrap();
    let ids: Vec<i64> = found.value.iter().map(|token| token.id).collect();
    assert_eq!(ids, [9, 8, 7, 6, 5, 4], "a place that comes twice ends the list");
    assert_eq!(found.json.as_array().unwrap().len(), 6);
    let requests = server.requests.lock().unwrap().clone();
    let asked: Vec<&str> = requests.iter().map(|request| request.split(' ').nth(1).unwrap()).collect();
    assert_eq!(
        asked,
        [
            "/below/tokens?limit=500",
            "/below/tokens?limit=500&cursor=token-8",
            "/below/tokens?limit=500&cursor=token-6",
        ]
    );
}

#[tokio::test]
async fn a_stream_goes_on_where_it_broke_and_gives_each_event_once() {
    let server = server(vec![
        events("id: 5\nevent: a\ndata: {}\n\nid: 6\nevent: b\ndata: {}\n\nid: 7\nevent: half"),
        Act::Break,
        answer("503 Service Unavailable", "", "{}"),
        events("id: 6\nevent: b\ndata: {}\n\n: heartbeat\n\nid: 7\nevent: c\ndata: {}\n\nevent: resync\ndata: {}\n\n"),
        events("id: 8\nevent: d\ndata: {}\n\n"),
        answer("401 Unauthorized", "", "{}"),
    ])
    .await;
    let mut stream = Stream::new(
        &server.client,
        &operation::EVENT_STREAM,
        &[],
        vec![("project_id", "1".to_owned())],
        Resume::Id(4),
    )
    .begin();
    let mut seen = Vec::new();
    let error = loop {
        match timeout(Duration::from_secs(30), stream.recv()).await.unwrap().unwrap() {
            Ok(Item::Frame(frame)) => seen.push(frame.event),
            Ok(Item::Broken) => seen.push("broken".to_owned()),
            Ok(Item::Mended) => seen.push("mended".to_owned()),
            Err(error) => break error,
        }
    };
    assert_eq!(seen, ["a", "b", "broken", "mended", "c", "broken", "mended", "d", "broken"]);
    assert!(error.error.contains("401"), "{error:?}");
    let requests = server.requests.lock().unwrap().clone();
    let places: Vec<_> = requests.iter().map(|request| line(request, "last-event-id").unwrap()).collect();
    assert_eq!(places, ["4", "6", "6", "6", "7", "8"]);
    assert!(requests[0].starts_with("GET /below/events/stream?project_id=1 HTTP"), "{requests:?}");
}

#[tokio::test]
async fn a_log_goes_on_at_its_offset() {
    let frame = |next: u64| format!("event: log\ndata: {{\"next_offset\":{next}}}\n\n");
    let server =
        server(vec![events(&frame(10)), events(&format!("{}event: end\ndata: {{}}\n\n", frame(20)))]).await;
    let mut stream =
        Stream::new(&server.client, &operation::LOG_STREAM, &["c"], vec![], Resume::Offset(0)).begin();
    let mut names = Vec::new();
    while names.last().is_none_or(|name| name != "end") {
        if let Item::Frame(frame) =
            timeout(Duration::from_secs(30), stream.recv()).await.unwrap().unwrap().unwrap()
        {
            names.push(frame.event);
        }
    }
    assert_eq!(names, ["log", "log", "end"]);
    let requests = server.requests.lock().unwrap().clone();
    assert!(requests[0].starts_with("GET /below/runs/c/logs/stream?offset=0 "), "{requests:?}");
    assert!(requests[1].starts_with("GET /below/runs/c/logs/stream?offset=10 "), "{requests:?}");
}
