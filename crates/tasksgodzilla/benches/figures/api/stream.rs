//! A thousand readers of the event stream: how soon a new event reaches them all, and what they cost.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};
use sqlx::Executor as _;
use tg_server::db::Db;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    sync::mpsc,
};

use super::{Row, SETTINGS, TOKEN, load, milliseconds, served::Served};
use crate::server::mib;

/// Readers of the stream.
const READERS: usize = 1000;
/// Events sent one after the other.
const EVENTS: usize = 20;
/// A reader that waits longer is broken.
const LIMIT: Duration = Duration::from_secs(30);

/// Opens the streams, causes events, waits until everybody has each.
pub async fn readers(folder: &Path) -> anyhow::Result<Vec<Row>> {
    let home = folder.join("home-stream");
    std::fs::create_dir_all(&home)?;
    let db = Db::open(&format!("sqlite:{}", home.join("tasksgodzilla.sqlite").display()), 2).await?;
    db.migrate().await?;
    let Db::Sqlite { write, .. } = &db else { bail!("SQLite was asked for") };
    write.execute(super::write::PROJECT).await?;
    db.close().await;
    let server = Served::real(&home, SETTINGS)?;
    // What the first requests cost belongs to nobody.
    load::run(server.address, 4, Duration::from_millis(300), load::get("/projects", TOKEN), 200).await?;
    let before = server.resident();
    let (sender, mut got) = mpsc::unbounded_channel::<Instant>();
    let (opened, mut open) = mpsc::unbounded_channel::<()>();
    let tasks: Vec<_> =
        (0..READERS).map(|_| tokio::spawn(reader(server.address, sender.clone(), opened.clone()))).collect();
    for _ in 0..READERS {
        tokio::time::timeout(LIMIT, open.recv()).await?.context("a reader failed")?;
    }
    let mut times = Vec::new();
    for number in 0..EVENTS {
        let began = Instant::now();
        create(server.address, number).await?;
        for _ in 0..READERS {
            let at = tokio::time::timeout(LIMIT, got.recv()).await?.context("a reader failed")?;
            times.push(at.saturating_duration_since(began));
        }
    }
    let memory = server.resident().saturating_sub(before);
    for task in tasks {
        task.abort();
    }
    times.sort_unstable();
    let p99 = times[(times.len() - 1) * 99 / 100];
    ensure!(times.len() == READERS * EVENTS, "{} events reached the readers", times.len());
    Ok(vec![
        Row::promised(
            "1,000 stream readers: request to event at each, p99",
            format!("{}, middle {}", milliseconds(p99), milliseconds(times[times.len() / 2])),
            "<= 250 ms",
            p99 <= Duration::from_millis(250),
        ),
        Row::promised(
            "  memory for them",
            format!("{:.1} MiB", mib(memory)),
            "<= 64 MiB",
            memory <= 64 * 1024,
        ),
    ])
}

async fn create(address: std::net::SocketAddr, number: usize) -> anyhow::Result<()> {
    let body = format!("{{\"protocol_name\":\"run-{number}\"}}");
    let mut socket = TcpStream::connect(address).await?;
    let text = format!(
        "POST /projects/1/protocols HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\n\
         content-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(text.as_bytes()).await?;
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line).await?;
    ensure!(line.contains(" 201 "), "{line}");
    Ok(())
}

async fn reader(
    address: std::net::SocketAddr,
    sender: mpsc::UnboundedSender<Instant>,
    opened: mpsc::UnboundedSender<()>,
) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect(address).await?;
    let text =
        format!("GET /events/stream HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\n\r\n");
    socket.write_all(text.as_bytes()).await?;
    let mut lines = BufReader::with_capacity(2048, socket).lines();
    let head = lines.next_line().await?.context("an answer")?;
    ensure!(head.contains(" 200 "), "{head}");
    opened.send(())?;
    while let Some(line) = lines.next_line().await? {
        // An id alone says where the stream begins.
        if line.starts_with("data:") {
            sender.send(Instant::now())?;
        }
    }
    Ok(())
}
