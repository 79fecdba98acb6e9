//! One engine call by itself, through the real supervisor and sandbox: what it costs, and what a
//! gigabyte of output costs the process that reads it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tg_core::ids::CallId;
use tg_server::{
    engine::{
        Request, Role,
        sandbox::{Grant, Sandbox},
        supervise,
    },
    process::Wrap,
    redact::Redactor,
};
use tokio_util::sync::CancellationToken;

use super::{Row, machine, machine::Spent, seconds, server::mib, world::World};

/// What the engine prints.
const PRINTED: u64 = 1024 * 1024 * 1024;
/// Calls that are averaged.
const CALLS: u32 = 20;
/// Highest mark of resident memory begins anew.
const RESET_PEAK: &str = "5";

/// Processor time of one dummy call outside this process: shim, sandbox, dummy.
pub async fn cost() -> anyhow::Result<Duration> {
    let world = World::new(&[], &json!([])).await?;
    let before = Spent::now();
    for number in 0..CALLS {
        call(&world, number, "ok", &[]).await?;
    }
    Ok(Spent::now().since(before).children / CALLS)
}

/// Resident memory before, and at its highest while an engine prints a gigabyte without a newline.
pub async fn flood() -> anyhow::Result<Vec<Row>> {
    let world = World::new(&[], &json!([])).await?;
    call(&world, 0, "ok", &[]).await?;
    let before = machine::resident(std::process::id(), false);
    std::fs::write("/proc/self/clear_refs", RESET_PEAK)?;
    let began = Instant::now();
    let printed = call(&world, 1, "flood", &["--flood-bytes", &PRINTED.to_string()]).await?;
    let took = began.elapsed();
    ensure!(printed >= PRINTED, "the engine printed {printed} bytes");
    let more = machine::resident(std::process::id(), true).saturating_sub(before);
    Ok(vec![Row::promised(
        "engine output of 1 GiB without a newline: memory more",
        format!("{:.1} MiB, in {}", mib(more), seconds(took)),
        "<= 64 MiB",
        more <= 64 * 1024,
    )])
}

/// Makes a call that must go well; bytes printed.
async fn call(world: &World, number: u32, model: &str, arguments: &[&str]) -> anyhow::Result<u64> {
    let config = &world.app.config;
    let engine = tg_server::engine::find("dummy").context("the dummy engine is built in")?;
    let program = supervise::resolve(config, engine).map_err(|failure| anyhow::anyhow!(failure.message))?;
    let folder = world.folder.path().join(format!("call-{number}"));
    let (directory, home) = (folder.join("tree"), folder.join("home"));
    std::fs::create_dir_all(&directory)?;
    let request = Request {
        call: CallId(format!("bench-{number}")),
        role: Role::Execute,
        step: "01-work.md".to_owned(),
        attempt: 1,
        directory: directory.clone(),
        prompt: "work".to_owned(),
        model: Some(model.to_owned()),
        schema: None,
        resume: None,
        home: home.clone(),
        login: None,
        call_dir: folder.join("call"),
        unconfined: false,
        environment: Vec::new(),
        arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
    };
    let grant = Grant {
        worktree: directory,
        role: request.role,
        home,
        login: None,
        call_dir: request.call_dir.clone(),
        read_only: program.roots.clone(),
        network: false,
    };
    let wrap = match &*world.app.sandbox {
        Sandbox::Bwrap(_) => world.app.sandbox.wrap(&grant).map_err(anyhow::Error::msg)?,
        Sandbox::Unavailable(_) => Wrap::None,
    };
    let limits = supervise::Limits {
        wall: Duration::from_mins(10),
        idle: Duration::from_mins(1),
        grace: Duration::from_secs(5),
        log_bytes: config.run_log_max_bytes,
    };
    let (redactor, stop) = (Redactor::new(&[]), CancellationToken::new());
    let ended = supervise::call(
        config,
        engine,
        &program,
        &request,
        &wrap,
        limits,
        &redactor,
        &stop,
        Arc::new(|_| {}),
    )
    .await;
    ended.outcome.map_err(|failure| anyhow::anyhow!("{:?}: {}", failure.kind, failure.message))?;
    Ok(ended.output_bytes)
}
