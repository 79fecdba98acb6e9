//! The servers under load, each a process of its own so that its processor time can be told apart: the
//! real `serve`, and a bare axum that says hello.

use std::{
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::Context as _;

use crate::machine;

/// The word that makes this program the bare server.
pub const BARE: &str = "--bare-axum";

/// A server; ended when dropped.
pub struct Served {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Served {
    /// The real server on this state directory, with more settings.
    #[expect(clippy::disallowed_methods, reason = "a bench starts the binary it measures")]
    pub fn real(home: &Path, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tasksgodzilla"));
        command
            .args(["serve", "--port", "0", "--no-worker"])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", home)
            .env("TASKSGODZILLA_HOME", home)
            .envs(settings.iter().copied());
        Self::start(&mut command)
    }

    /// A bare axum.
    #[expect(clippy::disallowed_methods, reason = "a bench starts what it compares with")]
    pub fn bare() -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Self::start(command.arg(BARE))
    }

    fn start(command: &mut Command) -> anyhow::Result<Self> {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
        let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("http://")));
        let line = line.context("the server says where it listens")??;
        let address = line.split("http://").nth(1).and_then(|rest| rest.split([' ', '/']).next());
        let address = address.context("an address")?.parse()?;
        // Kept open: a server whose output is gone ends.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(Self { child, address })
    }

    /// Processor time so far.
    pub fn spent(&self) -> Duration {
        machine::Spent::of(self.child.id()).own
    }

    /// Resident memory now, in KiB.
    pub fn resident(&self) -> u64 {
        machine::resident(self.child.id(), false)
    }
}

/// Is this program asked to be the bare server? Then it serves until it is killed.
#[expect(clippy::print_stdout, reason = "its parent reads where it listens")]
pub fn be_bare() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let router = axum::Router::new().route("/", axum::routing::get(async || "hello"));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("serving http://{}", listener.local_addr()?);
        axum::serve(listener, router).await?;
        Ok(())
    })
}
