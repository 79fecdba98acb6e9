//! A client that costs little: keep-alive connections over loopback, one request after the other on
//! each, answers read by their length and not looked at further.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What a load found.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Requests answered.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Wall time.
    pub wall: Duration,
    /// Middle of the times of single requests.
    pub p50: Duration,
    /// 99 of 100 are not slower.
    pub p99: Duration,
}

impl Load {
    /// Requests a second.
    #[expect(clippy::cast_precision_loss, reason = "counts of a bench fit")]
    pub fn rate(&self) -> f64 {
        self.requests as f64 / self.wall.as_secs_f64()
    }

    /// Body bytes a second, in MiB.
    #[expect(clippy::cast_precision_loss, reason = "counts of a bench fit")]
    pub fn mib_a_second(&self) -> f64 {
        self.bytes as f64 / self.wall.as_secs_f64() / 1024.0 / 1024.0
    }
}

/// Makes the text of a request from its number.
pub type Text = Arc<dyn Fn(u64) -> String + Send + Sync>;

/// A GET with this token.
pub fn get(path: &str, token: &str) -> Text {
    let text = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {token}\r\n\r\n");
    Arc::new(move |_| text.clone())
}

/// Loads the server from so many connections for so long. Every answer must have this status.
pub async fn run(
    address: SocketAddr,
    connections: u64,
    time: Duration,
    text: Text,
    status: u16,
) -> anyhow::Result<Load> {
    // The server knows itself by its address and port only.
    let host = format!("host: {address}");
    let text: Text = Arc::new(move |number| text(number).replacen("host: 127.0.0.1", &host, 1));
    // A short round first: connections, caches and the database's plans are made.
    round(address, connections, time / 10, &text, status, 1 << 40).await?;
    round(address, connections, time, &text, status, 0).await
}

async fn round(
    address: SocketAddr,
    connections: u64,
    time: Duration,
    text: &Text,
    status: u16,
    first: u64,
) -> anyhow::Result<Load> {
    let began = Instant::now();
    let end = began + time;
    let workers: Vec<_> = (0..connections)
        .map(|number| tokio::spawn(connection(address, end, text.clone(), status, first + (number << 32))))
        .collect();
    let mut times = Vec::new();
    let mut bytes = 0;
    for worker in workers {
        let (found, read) = worker.await??;
        times.extend(found);
        bytes += read;
    }
    let wall = began.elapsed();
    ensure!(!times.is_empty(), "no request was answered in {time:?}");
    times.sort_unstable();
    let at = |share: usize| Duration::from_nanos(times[(times.len() - 1) * share / 100]);
    Ok(Load { requests: times.len() as u64, bytes, wall, p50: at(50), p99: at(99) })
}

async fn connection(
    address: SocketAddr,
    end: Instant,
    text: Text,
    status: u16,
    first: u64,
) -> anyhow::Result<(Vec<u64>, u64)> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(1 << 20);
    let (mut times, mut bytes) = (Vec::new(), 0);
    for number in first.. {
        let began = Instant::now();
        if began >= end {
            break;
        }
        socket.write_all(text(number).as_bytes()).await?;
        bytes += answer(&mut socket, &mut buffer, status).await?;
        times.push(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    Ok((times, bytes))
}

/// Reads one answer; gives the length of its body.
async fn answer(socket: &mut TcpStream, buffer: &mut Vec<u8>, status: u16) -> anyhow::Result<u64> {
    buffer.clear();
    let head = loop {
        if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        ensure!(socket.read_buf(buffer).await? > 0, "the server closed the connection");
    };
    let text = std::str::from_utf8(&buffer[..head])?;
    let found: u16 = text.split(' ').nth(1).context("a status")?.parse()?;
    let length = text
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned))
        .context("an answer with a length")?;
    let length: usize = length.trim().parse()?;
    while buffer.len() < head + length {
        ensure!(socket.read_buf(buffer).await? > 0, "the server closed the connection");
    }
    if found != status {
        bail!("{found} instead of {status}: {}", String::from_utf8_lossy(&buffer[head..]));
    }
    Ok(length as u64)
}
