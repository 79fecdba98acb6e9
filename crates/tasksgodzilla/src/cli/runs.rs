//! `runs`: the run registry, one row per attempt of a job or call, and the logs of engines.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    time::Duration,
};

use clap::{Args, Subcommand};
use serde_json::json;
use tg_core::{
    ids::{CallId, RunId, StepId},
    protocol::CallStatus,
    scope::Scope,
    wire::CodexRunOut,
};
use tg_server::{
    api::convert,
    app::App,
    store::{self, call::Call},
};

use super::{CliError, Global};
use crate::{output::Output, start};

/// Engine calls and their logs.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List calls, newest first.
    List {
        /// Only of this run.
        #[arg(long, value_name = "ID")]
        protocol: Option<i64>,
        /// Only of this step.
        #[arg(long, value_name = "ID")]
        step: Option<i64>,
        /// Only of this kind.
        #[arg(long, value_parser = ["plan", "decompose", "exec", "qa", "qa_inline", "open_pr"])]
        kind: Option<String>,
        /// At most this many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=500))]
        limit: i64,
    },
    /// Show one call.
    Show {
        /// Id of the call.
        id: String,
    },
    /// Print the log of a call.
    Logs(LogsArgs),
}

/// Which log, and for how long.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Id of the call.
    id: String,
    /// Go on printing until the call ends.
    #[arg(long)]
    follow: bool,
}

/// Bytes of a log read at once; also the most that `--json` gives in one value.
const CHUNK: u64 = 1_000_000;

/// Time between two looks at a growing log.
const BEAT: Duration = Duration::from_millis(200);

/// Runs the command.
pub async fn run(global: &Global, command: RunsCommand, output: &Output) -> Result<(), CliError> {
    let app = start::steering(global, output).await?;
    match command {
        RunsCommand::List { protocol, step, kind, limit } => {
            let filter = store::call::Filter {
                run: protocol.map(RunId),
                step: step.map(StepId),
                run_kind: kind,
                ..Default::default()
            };
            let mut tx = app.db.read().await?;
            let calls = store::call::list(&mut tx, &Scope::All, &filter, limit).await?;
            let shown: Vec<CodexRunOut> = calls.iter().map(convert::call).collect();
            output.show(&shown, |output| print_table(&shown, output));
            Ok(())
        }
        RunsCommand::Show { id } => {
            let call = load(&app, &CallId(id)).await?;
            print_call(&convert::call(&call), output);
            Ok(())
        }
        RunsCommand::Logs(args) => logs(&app, &args, output).await,
    }
}

async fn load(app: &App, id: &CallId) -> Result<Call, CliError> {
    let mut tx = app.db.read().await?;
    Ok(store::call::load(&mut tx, &Scope::All, id).await?)
}

const fn is_over(call: &Call) -> bool {
    matches!(call.status, CallStatus::Succeeded | CallStatus::Failed | CallStatus::Cancelled)
}

async fn logs(app: &App, args: &LogsArgs, output: &Output) -> Result<(), CliError> {
    let id = CallId(args.id.clone());
    // The row is asked first: an id that is no row never becomes a path.
    let call = load(app, &id).await?;
    let path = app.config.home.call_log(&call.id);
    if output.is_json() {
        let (chunk, next) = read_from(&path, 0)?;
        let text = String::from_utf8_lossy(&chunk);
        let eof = (chunk.len() as u64) < CHUNK;
        output.json(&json!({
            "run_id": call.id.0, "offset": 0, "next_offset": next, "eof": eof,
            "finished": is_over(&call), "chunk": text,
        }));
        return Ok(());
    }
    let mut offset = 0;
    let mut pending = Vec::new();
    loop {
        // Whether it is over is read before the log, so that nothing written in between is missed.
        let over = is_over(&load(app, &id).await?);
        loop {
            let (chunk, next) = read_from(&path, offset)?;
            if chunk.is_empty() {
                break;
            }
            offset = next;
            pending.extend_from_slice(&chunk);
            output.log(&take_text(&mut pending));
        }
        if over || !args.follow {
            break;
        }
        tokio::time::sleep(BEAT).await;
    }
    if !pending.is_empty() {
        output.log(&String::from_utf8_lossy(&pending));
    }
    Ok(())
}

/// Takes the text up to the last whole character; the rest waits for its other bytes.
fn take_text(pending: &mut Vec<u8>) -> String {
    let whole = match std::str::from_utf8(pending) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        Ok(_) | Err(_) => pending.len(),
    };
    let rest = pending.split_off(whole);
    let text = String::from_utf8_lossy(pending).into_owned();
    *pending = rest;
    text
}

fn read_from(path: &Path, offset: u64) -> Result<(Vec<u8>, u64), CliError> {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(CHUNK).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes =
        read().map_err(|error| CliError::failed(format!("{} cannot be read: {error}", path.display())))?;
    let next = offset + bytes.len() as u64;
    Ok((bytes, next))
}

fn print_table(calls: &[CodexRunOut], output: &Output) {
    let rows = calls
        .iter()
        .map(|call| {
            vec![
                call.run_id.clone(),
                call.run_kind.clone().unwrap_or_else(|| call.job_type.clone()),
                call.protocol_run_id.map(|id| id.to_string()).unwrap_or_default(),
                call.step_run_id.map(|id| id.to_string()).unwrap_or_default(),
                call.attempt.map(|attempt| attempt.to_string()).unwrap_or_default(),
                call.status.to_string(),
                call.cost_tokens.map(|tokens| tokens.to_string()).unwrap_or_default(),
                call.started_at.clone().unwrap_or_default(),
            ]
        })
        .collect();
    output.table(&["call", "kind", "run", "step", "attempt", "status", "tokens", "started"], rows);
}

fn print_call(call: &CodexRunOut, output: &Output) {
    output.show(call, |output| {
        let param = |key: &str| {
            let value = call.params.as_ref().and_then(|params| params.get(key));
            value.and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
        };
        output.fields(&[
            ("call", call.run_id.clone()),
            ("kind", call.run_kind.clone().unwrap_or_default()),
            ("status", call.status.to_string()),
            ("error", call.error.clone().unwrap_or_default()),
            ("run", call.protocol_run_id.map(|id| id.to_string()).unwrap_or_default()),
            ("step", call.step_run_id.map(|id| id.to_string()).unwrap_or_default()),
            ("attempt", call.attempt.map(|attempt| attempt.to_string()).unwrap_or_default()),
            ("engine", super::protocols::engine_label(&param("engine_id"))),
            ("model", param("model")),
            ("prompt", call.prompt_version.clone().unwrap_or_default()),
            ("tokens", call.cost_tokens.map(|tokens| tokens.to_string()).unwrap_or_default()),
            ("started", call.started_at.clone().unwrap_or_default()),
            ("finished", call.finished_at.clone().unwrap_or_default()),
            ("worker", call.worker_id.clone().unwrap_or_default()),
        ]);
        if call.has_log {
            output.note(&format!("its log: tasksgodzilla runs logs {}", call.run_id));
        }
    });
}
