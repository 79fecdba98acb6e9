//! A reader of server-sent events over a real socket. It speaks HTTP/1.0, so that the body comes
//! as it is and ends with the connection.

use std::{net::SocketAddr, time::Duration};

use axum::Router;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};

/// A reader that waits longer is broken.
const LIMIT: Duration = Duration::from_secs(30);

/// Serves a router on a free port of the loopback for as long as the test lasts.
pub async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// What came between two blank lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    pub id: Option<i64>,
    pub event: Option<String>,
    pub data: Option<String>,
    pub comment: Option<String>,
}

pub struct Stream {
    socket: TcpStream,
    buffer: Vec<u8>,
    at: usize,
    /// Status line and headers.
    pub head: String,
}

impl Stream {
    /// Opens a stream; `last` is sent as `Last-Event-ID`.
    pub async fn open(address: SocketAddr, token: &str, path: &str, last: Option<i64>) -> Self {
        let socket = TcpStream::connect(address).await.unwrap();
        Self::begin(socket, token, path, last).await
    }

    /// As `open`, with little room for what is not read.
    pub async fn open_narrow(address: SocketAddr, token: &str, path: &str) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        Self::begin(socket.connect(address).await.unwrap(), token, path, None).await
    }

    async fn begin(mut socket: TcpStream, token: &str, path: &str, last: Option<i64>) -> Self {
        let last = last.map_or_else(String::new, |last| format!("Last-Event-ID: {last}\r\n"));
        let request = format!(
            "GET {path} HTTP/1.0\r\nHost: 127.0.0.1:8010\r\nAuthorization: Bearer {token}\r\n{last}\r\n"
        );
        socket.write_all(request.as_bytes()).await.unwrap();
        let mut stream = Self { socket, buffer: Vec::new(), at: 0, head: String::new() };
        stream.head = stream.until(b"\r\n\r\n").await.expect("an answer");
        stream
    }

    /// The next frame; `None` when the stream has ended.
    pub async fn frame(&mut self) -> Option<Frame> {
        let text = self.until(b"\n\n").await?;
        let mut frame = Frame::default();
        for line in text.lines() {
            let (name, value) = line.split_once(':').unwrap();
            let value = value.trim_start().to_owned();
            match name {
                "" => frame.comment = Some(value),
                "id" => frame.id = Some(value.parse().unwrap()),
                "event" => frame.event = Some(value),
                "data" => frame.data = Some(value),
                "retry" => {}
                other => panic!("field {other}"),
            }
        }
        Some(frame)
    }

    /// The next frame with data.
    pub async fn event(&mut self) -> Option<Frame> {
        loop {
            let frame = self.frame().await?;
            if frame.data.is_some() {
                return Some(frame);
            }
        }
    }

    async fn until(&mut self, end: &[u8]) -> Option<String> {
        loop {
            let rest = &self.buffer[self.at..];
            if let Some(found) = rest.windows(end.len()).position(|bytes| bytes == end) {
                let text = String::from_utf8(rest[..found].to_vec()).unwrap();
                self.at += found + end.len();
                if self.at > 64 * 1024 {
                    self.buffer.drain(..self.at);
                    self.at = 0;
                }
                return Some(text);
            }
            self.buffer.reserve(16 * 1024);
            let read = timeout(LIMIT, self.socket.read_buf(&mut self.buffer)).await;
            match read.expect("something arrives in time") {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }
}
