//! `make bench`: the figures for speed and memory that the product promises, measured on this machine
//! with the release binary, as one table. A row past its promise is marked; a busy machine breaks
//! promises that a quiet one keeps.

#![expect(clippy::print_stdout, reason = "the table is what this program is run for")]

mod api;
mod engine;
mod machine;
mod queue;
mod runs;
mod server;
mod statements;
mod world;

use std::time::Duration;

/// One line of the table.
pub struct Row {
    /// What was measured.
    pub what: &'static str,
    /// What came out.
    pub found: String,
    /// What was promised; empty where nothing was.
    pub promised: &'static str,
    /// The promise is kept; `None` where there is none.
    pub kept: Option<bool>,
}

impl Row {
    /// A figure with a promise.
    pub fn promised(what: &'static str, found: String, promised: &'static str, kept: bool) -> Self {
        Self { what, found, promised, kept: Some(kept) }
    }

    /// A figure that is only shown.
    pub const fn shown(what: &'static str, found: String) -> Self {
        Self { what, found, promised: "", kept: None }
    }
}

/// Milliseconds, readable.
pub fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// Seconds, readable.
pub fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

fn main() -> anyhow::Result<()> {
    // `cargo test --benches` and the like start this with flags; a plain listing must stay cheap.
    if std::env::args().any(|argument| argument == "--list" || argument == "--test") {
        return Ok(());
    }
    if std::env::args().any(|argument| argument == api::served::BARE) {
        return api::served::be_bare();
    }
    statements::count();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    println!("{}", machine::description());
    println!(
        "durability: SQLite in WAL mode with synchronous=FULL; Postgres of the test fixture, fsync=off for the queue, on for the API"
    );
    println!("command: make bench\n");
    let mut broken = 0;
    println!("{:<58} {:<34} promised", "figure", "found");
    println!("{}", "-".repeat(112));
    let mut show = |rows: Vec<Row>| {
        for row in rows {
            let mark = match row.kept {
                Some(false) => "  << not kept",
                Some(true) | None => "",
            };
            println!("{:<58} {:<34} {}{mark}", row.what, row.found, row.promised);
            broken += u32::from(row.kept == Some(false));
        }
    };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    // `cargo bench … -- writes` measures these alone; without a word all are.
    let is_asked = |part: &str| {
        let mut words = std::env::args().skip(1).filter(|word| !word.starts_with('-')).peekable();
        words.peek().is_none() || words.any(|word| word == part)
    };
    if is_asked("work") {
        show(runtime.block_on(runs::one())?);
        show(runtime.block_on(runs::many())?);
        show(server::idle()?);
        show(runtime.block_on(engine::flood())?);
        show(runtime.block_on(queue::start())?);
        show(runtime.block_on(queue::throughput())?);
    }
    if is_asked("reads") {
        show(runtime.block_on(api::reads(folder.path()))?);
        show(runtime.block_on(api::growth(folder.path()))?);
        show(runtime.block_on(api::readers(folder.path()))?);
    }
    if is_asked("writes") {
        show(runtime.block_on(api::sqlite(folder.path()))?);
        show(runtime.block_on(api::postgres(folder.path()))?);
    }
    println!("\npromises not kept here: {broken}");
    Ok(())
}
