//! `runs`: the run registry over the API, one row per attempt of a job or call, with logs and files.

mod logs;
mod outside;

use std::path::PathBuf;

use clap::Subcommand;
use reqwest::Response;
use tg_core::wire::{CodexRunOut, RunArtifactOut};

use self::{
    logs::LogsArgs,
    outside::{Finish, Start},
};
use super::{
    CliError, Global,
    arguments::{self, Limit},
    words::{engine_label, number},
};
use crate::{
    client::{Answer, Client, Query, operation},
    output::{
        Column::{Cut, Spare, Whole},
        Output,
    },
};

/// Engine calls, runs that work outside, and their logs.
#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List calls, newest first.
    List {
        /// Only of this project.
        #[arg(long, value_name = "ID")]
        project: Option<i64>,
        /// Only of this run.
        #[arg(long, value_name = "ID")]
        protocol: Option<i64>,
        /// Only of this step.
        #[arg(long, value_name = "ID")]
        step: Option<i64>,
        /// Only of this kind, such as plan, exec or qa.
        #[arg(long, value_name = "WORD")]
        kind: Option<String>,
        /// Only of jobs of this type.
        #[arg(long, value_name = "WORD")]
        job_type: Option<String>,
        /// Only in this status.
        #[arg(long, value_name = "WORD", value_parser = arguments::call_statuses())]
        status: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show one call.
    Show {
        /// Id of the call, or of its job.
        id: String,
    },
    /// Print the log of a call.
    Logs(LogsArgs),
    /// Register a run that works outside: its maker reports its log and its end.
    Start(Start),
    /// Append standard input to the log of a run that works outside.
    Append {
        /// Id of the run.
        id: String,
    },
    /// Say how a run that works outside ended.
    Finish(Finish),
    /// Cancel a call; its engine is stopped.
    Cancel {
        /// Id of the call.
        id: String,
    },
    /// List the files that a call produced.
    Artifacts {
        /// Id of the call.
        id: String,
        /// Only of this kind.
        #[arg(long, value_name = "WORD")]
        kind: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Print one of these files, or write it to disk.
    Artifact {
        /// Id of the call.
        id: String,
        /// Id of the file.
        artifact: i64,
        /// Write its bytes there instead; an existing file is not replaced.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
}

/// Runs the command.
pub async fn run(global: &Global, command: RunsCommand, output: &Output) -> Result<(), CliError> {
    let client = Client::new(global, output)?;
    match command {
        RunsCommand::List { project, protocol, step, kind, job_type, status, limit } => {
            let id = |id: Option<i64>| id.map(|id| id.to_string());
            let filters = [
                ("project_id", id(project)),
                ("protocol_run_id", id(protocol)),
                ("step_run_id", id(step)),
                ("run_kind", kind),
                ("job_type", job_type),
                ("status", status),
            ];
            let query: Query<'_> =
                filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            let found = client.list(&operation::RUNS, &[], &query, limit.limit).await?;
            output.show(&found.json, |output| print_table(&found.value, output));
            Ok(())
        }
        RunsCommand::Show { id } => {
            print(&client.ask(&operation::RUN, &[&id], &Query::new()).await?, output);
            Ok(())
        }
        RunsCommand::Logs(args) => logs::run(&client, &args, output).await,
        RunsCommand::Start(args) => outside::start(&client, args, output).await,
        RunsCommand::Append { id } => outside::append(&client, &id, output).await,
        RunsCommand::Finish(args) => outside::finish(&client, args, output).await,
        RunsCommand::Cancel { id } => {
            print(&client.ask(&operation::CANCEL_RUN, &[&id], &Query::new()).await?, output);
            Ok(())
        }
        RunsCommand::Artifacts { id, kind, limit } => {
            let query: Query<'_> = kind.into_iter().map(|kind| ("kind", kind)).collect();
            let found = client.list(&operation::RUN_ARTIFACTS, &[&id], &query, limit.limit).await?;
            output.show(&found.json, |output| print_artifacts(&found.value, output));
            Ok(())
        }
        RunsCommand::Artifact { id, artifact, out } => {
            let query = if out.is_some() { vec![("download", "true".to_owned())] } else { Query::new() };
            let artifact = artifact.to_string();
            let response = client.download(&operation::ARTIFACT, &[&id, &artifact], &query).await?;
            match out {
                Some(path) => logs::save(&client, response, &path, output).await,
                None => print_text(&client, response, output).await,
            }
        }
    }
}

/// A text as it arrives; with `--json` as one string.
pub async fn print_text(client: &Client, response: Response, output: &Output) -> Result<(), CliError> {
    print_by(client, response, |bytes| output.content(bytes), output).await
}

/// A text as it arrives, printed by `put`; with `--json` as one string.
async fn print_by(
    client: &Client,
    mut response: Response,
    put: impl Fn(&[u8]),
    output: &Output,
) -> Result<(), CliError> {
    let mut pending = Vec::new();
    while let Some(piece) = client.piece(&mut response).await? {
        pending.extend_from_slice(&piece);
        if !output.is_json() {
            let whole = logs::whole(&pending);
            let rest = pending.split_off(whole);
            put(&pending);
            pending = rest;
        }
    }
    if output.is_json() {
        output.json(&String::from_utf8_lossy(&pending));
    } else if !pending.is_empty() {
        put(&pending);
    }
    Ok(())
}

/// Calls as a table.
pub fn print_table(calls: &[CodexRunOut], output: &Output) {
    let rows: Vec<_> = calls
        .iter()
        .map(|call| {
            vec![
                call.run_id.clone(),
                call.run_kind.clone().unwrap_or_else(|| call.job_type.clone()),
                number(call.protocol_run_id),
                number(call.step_run_id),
                number(call.attempt),
                call.status.to_string(),
                number(call.cost_tokens),
                call.started_at.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let columns = [
        Whole("call"),
        Cut("kind"),
        Whole("run"),
        Whole("step"),
        Spare("attempt"),
        Whole("status"),
        Spare("tokens"),
        Spare("started"),
    ];
    output.table(&columns, &rows);
}

/// Files as a table.
pub fn print_artifacts(artifacts: &[RunArtifactOut], output: &Output) {
    let rows: Vec<_> = artifacts
        .iter()
        .map(|artifact| {
            vec![
                artifact.id.to_string(),
                artifact.run_id.clone(),
                artifact.name.clone(),
                number(artifact.bytes),
                artifact.kind.clone(),
                artifact.path.clone(),
            ]
        })
        .collect();
    let columns = [Whole("id"), Whole("call"), Cut("name"), Whole("bytes"), Spare("kind"), Spare("path")];
    output.table(&columns, &rows);
}

/// A call.
fn print(call: &Answer<CodexRunOut>, output: &Output) {
    output.show(&call.json, |output| {
        let call = &call.value;
        let param = |key: &str| {
            let value = call.params.as_ref().and_then(|params| params.get(key));
            value.and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
        };
        output.fields(&[
            ("call", call.run_id.clone()),
            ("kind", call.run_kind.clone().unwrap_or_else(|| call.job_type.clone())),
            ("status", call.status.to_string()),
            ("error", call.error.clone().unwrap_or_default()),
            ("project", number(call.project_id)),
            ("run", number(call.protocol_run_id)),
            ("step", number(call.step_run_id)),
            ("attempt", number(call.attempt)),
            ("engine", engine_label(&param("engine_id"))),
            ("model", param("model")),
            ("prompt", call.prompt_version.clone().unwrap_or_default()),
            ("tokens", number(call.cost_tokens)),
            ("started", call.started_at.clone().unwrap_or_default()),
            ("finished", call.finished_at.clone().unwrap_or_default()),
            ("worker", call.worker_id.clone().unwrap_or_default()),
        ]);
        if call.has_log {
            output.note(&format!("its log: tasksgodzilla runs logs {}", call.run_id));
        }
    });
}
