//! `serve` at rest: how soon it answers and how much memory it holds.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context as _;

use super::{Row, machine, milliseconds};

/// Starts that are compared; the middle one counts.
const STARTS: usize = 7;
/// How long a server rests before its memory is read.
const REST: Duration = Duration::from_secs(3);

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Starts `serve` on a state directory that exists and asks for `/health` at once.
pub fn idle() -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    drop(start(folder.path())?);
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let (server, time) = start(folder.path())?;
        times.push(time);
        drop(server);
    }
    times.sort();
    let middle = times[STARTS / 2];
    let (server, _) = start(folder.path())?;
    std::thread::sleep(REST);
    let resident = machine::resident(server.0.id(), false);
    Ok(vec![
        Row::promised(
            "serve: /health answers after exec (middle of 7)",
            milliseconds(middle),
            "<= 150 ms",
            middle <= Duration::from_millis(150),
        ),
        Row::promised(
            "serve: resident memory at rest",
            format!("{:.1} MiB", mib(resident)),
            "<= 30 MiB",
            resident <= 30 * 1024,
        ),
    ])
}

/// KiB as MiB.
#[expect(clippy::cast_precision_loss, reason = "memory sizes fit")]
pub fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

#[expect(clippy::disallowed_methods, reason = "a bench starts the binary it measures")]
fn start(home: &std::path::Path) -> anyhow::Result<(Server, Duration)> {
    let began = Instant::now();
    let mut server = Server(
        Command::new(env!("CARGO_BIN_EXE_tasksgodzilla"))
            .args(["serve", "--port", "0"])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", home)
            .env("TASKSGODZILLA_HOME", home.join("home"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?,
    );
    let out = server.0.stdout.take().context("stdout is piped")?;
    // Kept open: a server whose output is gone ends.
    let mut lines = BufReader::new(out).lines();
    let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("http://")));
    let line = line.context("serve says where it listens")??;
    let address =
        line.split("http://").nth(1).and_then(|rest| rest.split(' ').next()).context("an address")?;
    let mut socket = TcpStream::connect(address)?;
    write!(socket, "GET /health HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let time = began.elapsed();
    std::thread::spawn(move || lines.for_each(drop));
    Ok((server, time))
}
