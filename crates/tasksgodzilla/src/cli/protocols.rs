//! `protocols`: list, show and steer runs. A status changes only through `flow::advance`.

use clap::{Args, Subcommand};
use tg_core::{
    ids::{ProjectId, RunId},
    lifecycle::Signal,
    protocol::{ProtocolRun, StepRun},
    scope::Scope,
    status::ProtocolStatus,
    wire::ProtocolRunOut,
};
use tg_server::{
    app::App,
    flow::{self, Cause},
    jobs::engine_choice::DUMMY_ENGINE,
    store,
};

use super::{CliError, Global, steps};
use crate::{
    output::{Output, Tone},
    start,
};

/// Runs: one task each, from plan to the last commit.
#[derive(Debug, Subcommand)]
pub enum ProtocolsCommand {
    /// List runs, newest first.
    List {
        /// Only of this project.
        #[arg(long, value_name = "ID")]
        project: Option<i64>,
        /// At most this many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=500))]
        limit: i64,
    },
    /// Show one run with its steps.
    Show(Named),
    /// Queue planning of a pending run.
    Start(Named),
    /// Pause a run: the job at work ends, nothing new begins.
    Pause(Steer),
    /// Let a paused run go on.
    Resume(Steer),
    /// Cancel a run for good.
    Cancel(Steer),
    /// Queue the next step that is pending, blocked or failed.
    RunNext(Named),
    /// Queue the latest failed or blocked step again.
    RetryLatest(Named),
}

/// Names a run.
#[derive(Debug, Args)]
pub struct Named {
    /// Id of the run.
    id: i64,
}

/// Names a run and says why.
#[derive(Debug, Args)]
pub struct Steer {
    /// Id of the run.
    id: i64,
    /// Why; recorded on the timeline.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Runs the command.
pub async fn run(global: &Global, command: ProtocolsCommand, output: &Output) -> Result<(), CliError> {
    let app = start::steering(global, output).await?;
    match command {
        ProtocolsCommand::List { project, limit } => list(&app, project, limit, output).await,
        ProtocolsCommand::Show(Named { id }) => show(&app, RunId(id), output).await,
        ProtocolsCommand::Start(Named { id }) => steer(&app, id, Signal::Start, output).await,
        ProtocolsCommand::Pause(Steer { id, reason }) => {
            steer(&app, id, Signal::Pause { reason }, output).await
        }
        ProtocolsCommand::Resume(Steer { id, reason }) => {
            steer(&app, id, Signal::Resume { reason }, output).await
        }
        ProtocolsCommand::Cancel(Steer { id, reason }) => {
            steer(&app, id, Signal::Cancel { reason }, output).await
        }
        ProtocolsCommand::RunNext(Named { id }) => steer(&app, id, Signal::RunNext, output).await,
        ProtocolsCommand::RetryLatest(Named { id }) => steer(&app, id, Signal::RetryLatest, output).await,
    }
}

async fn list(app: &App, project: Option<i64>, limit: i64, output: &Output) -> Result<(), CliError> {
    let mut tx = app.db.read().await?;
    let runs = store::protocol::list(&mut tx, &Scope::All, project.map(ProjectId), limit).await?;
    let shown: Vec<ProtocolRunOut> = runs.iter().map(ProtocolRunOut::from).collect();
    output.show(&shown, |output| {
        let rows = shown
            .iter()
            .map(|run| {
                vec![
                    run.id.to_string(),
                    run.project_id.to_string(),
                    run.protocol_name.clone(),
                    status_words(run),
                    run.engine.clone().unwrap_or_default(),
                    run.updated_at.clone(),
                ]
            })
            .collect();
        output.table(&["id", "project", "name", "status", "engine", "updated"], rows);
    });
    Ok(())
}

async fn show(app: &App, id: RunId, output: &Output) -> Result<(), CliError> {
    let (run, steps) = load(app, id).await?;
    print_run(&run, &steps, output);
    Ok(())
}

/// A run and its steps, as they are in one moment.
pub async fn load(app: &App, id: RunId) -> Result<(ProtocolRun, Vec<StepRun>), CliError> {
    let mut tx = app.db.read().await?;
    let run = store::protocol::load(&mut tx, &Scope::All, id).await?;
    let steps = store::step::list(&mut tx, &Scope::All, id).await?;
    Ok((run, steps))
}

/// Sends a signal for a run, as a person on this machine, in a transaction of its own.
pub async fn advance(app: &App, id: RunId, signal: Signal) -> Result<(), CliError> {
    let mut tx = app.db.begin().await?;
    let cause = Cause { actor: Some("cli"), ..Cause::default() };
    flow::advance(app, &mut tx, id, signal, &cause).await?;
    tx.commit().await?;
    app.wake.notify();
    Ok(())
}

async fn steer(app: &App, id: i64, signal: Signal, output: &Output) -> Result<(), CliError> {
    advance(app, RunId(id), signal).await?;
    let (run, steps) = load(app, RunId(id)).await?;
    print_run(&run, &steps, output);
    if matches!(run.status, ProtocolStatus::Planning | ProtocolStatus::Running) {
        output.note(&worker_hint(run.id));
    }
    Ok(())
}

/// Says how queued work goes on.
pub fn worker_hint(id: RunId) -> String {
    format!(
        "queued work is done by a running `tasksgodzilla serve`, or here and now by `tasksgodzilla run --continue {id}`"
    )
}

fn print_run(run: &ProtocolRun, steps: &[StepRun], output: &Output) {
    let shown = ProtocolRunOut::from(run);
    output.show(&shown, |output| {
        output.fields(&[
            ("run", format!("{} {}", run.id, run.protocol_name)),
            ("status", status_words(&shown)),
            ("engine", run.engine.as_deref().map(engine_label).unwrap_or_default()),
            ("task", run.description.as_deref().map(first_line).unwrap_or_default()),
            ("base", format!("{} {}", run.base_branch, run.base_sha.as_deref().unwrap_or_default())),
            ("branch", run.protocol_name.clone()),
            ("head", run.head_sha.clone().unwrap_or_default()),
            ("pushed", run.pushed_sha.clone().unwrap_or_default()),
            ("worktree", run.worktree_path.clone().unwrap_or_default()),
            ("protocol", run.protocol_root.clone().unwrap_or_default()),
            ("sandbox", run.confinement.map(|word| word.as_str().to_owned()).unwrap_or_default()),
        ]);
        if run.sandbox_off {
            output.toned(Tone::Bad, "engines of this run work UNCONFINED, by request");
        }
        if !steps.is_empty() {
            steps::print_table(steps, output);
        }
    });
}

/// Status and, where there is one, the reason.
fn status_words(run: &ProtocolRunOut) -> String {
    run.status_reason.as_ref().map_or_else(
        || run.status.to_string(),
        |reason| format!("{} ({}): {}", run.status, reason.code, reason.message),
    )
}

/// Engine with a label where nothing real is done.
pub fn engine_label(engine: &str) -> String {
    if engine == DUMMY_ENGINE {
        "dummy (scripted, nothing real is done)".to_owned()
    } else {
        engine.to_owned()
    }
}

/// First line with something on it, at most 120 characters.
pub fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default().chars().take(120).collect()
}
