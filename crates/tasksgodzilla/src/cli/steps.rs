//! `steps`: list, show and steer the steps of a run. A status changes only through `flow::advance`.

use clap::{Args, Subcommand};
use tg_core::{
    ids::{RunId, StepId},
    lifecycle::{Signal, Source},
    protocol::StepRun,
    scope::Scope,
    wire::StepRunOut,
};
use tg_server::{app::App, store};

use super::{CliError, Global, protocols};
use crate::{output::Output, start};

/// Steps of a run.
#[derive(Debug, Subcommand)]
pub enum StepsCommand {
    /// List the steps of a run in order.
    List {
        /// Id of the run.
        #[arg(long, value_name = "ID")]
        protocol: i64,
    },
    /// Show one step.
    Show(Named),
    /// Queue execution of a step.
    Run(Named),
    /// Queue QA of a step.
    RunQa(Named),
    /// Complete a step on your own authority.
    Approve {
        /// Id of the step.
        id: i64,
        /// What you want recorded.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
}

/// Names a step.
#[derive(Debug, Args)]
pub struct Named {
    /// Id of the step.
    id: i64,
}

/// Runs the command.
pub async fn run(global: &Global, command: StepsCommand, output: &Output) -> Result<(), CliError> {
    let app = start::steering(global, output).await?;
    match command {
        StepsCommand::List { protocol } => {
            let (_, steps) = protocols::load(&app, RunId(protocol)).await?;
            let shown: Vec<StepRunOut> = steps.iter().map(StepRunOut::from).collect();
            output.show(&shown, |output| print_table(&steps, output));
            Ok(())
        }
        StepsCommand::Show(Named { id }) => {
            print_step(&load(&app, StepId(id)).await?, output);
            Ok(())
        }
        StepsCommand::Run(Named { id }) => {
            let step = StepId(id);
            steer(&app, step, Signal::RunStep { step, source: Source::Api }, output).await
        }
        StepsCommand::RunQa(Named { id }) => {
            let step = StepId(id);
            steer(&app, step, Signal::RunQa { step }, output).await
        }
        StepsCommand::Approve { id, note } => {
            let step = StepId(id);
            steer(&app, step, Signal::Approve { step, note }, output).await
        }
    }
}

async fn load(app: &App, id: StepId) -> Result<StepRun, CliError> {
    let mut tx = app.db.read().await?;
    Ok(store::step::load(&mut tx, &Scope::All, id).await?)
}

async fn steer(app: &App, id: StepId, signal: Signal, output: &Output) -> Result<(), CliError> {
    let run = load(app, id).await?.protocol_run_id;
    protocols::advance(app, run, signal).await?;
    let step = load(app, id).await?;
    print_step(&step, output);
    if !step.status.is_settled() {
        output.note(&protocols::worker_hint(run));
    }
    Ok(())
}

fn print_step(step: &StepRun, output: &Output) {
    output.show(&StepRunOut::from(step), |output| {
        output.fields(&[
            ("step", format!("{} {}", step.id, step.step_name)),
            ("run", step.protocol_run_id.to_string()),
            ("status", status_words(step)),
            ("summary", step.summary.clone().unwrap_or_default()),
            ("engine", step.engine_id.as_deref().map(protocols::engine_label).unwrap_or_default()),
            ("model", step.model.clone().unwrap_or_default()),
            ("verdict", step.runtime_state.qa_verdict.clone().unwrap_or_default()),
            ("judge", step.runtime_state.qa_summary.clone().unwrap_or_default()),
            ("retries", step.retries.to_string()),
            ("tokens", step.runtime_state.tokens_used.to_string()),
            ("commit", step.head_sha.clone().unwrap_or_default()),
        ]);
    });
}

/// Steps as a table.
pub fn print_table(steps: &[StepRun], output: &Output) {
    let rows = steps
        .iter()
        .map(|step| {
            vec![
                step.id.to_string(),
                step.step_index.to_string(),
                step.step_name.clone(),
                status_words(step),
                step.engine_id.clone().unwrap_or_default(),
                step.retries.to_string(),
                step.head_sha.as_deref().unwrap_or_default().chars().take(10).collect(),
            ]
        })
        .collect();
    output.table(&["id", "#", "step", "status", "engine", "retries", "commit"], rows);
}

fn status_words(step: &StepRun) -> String {
    step.status_reason.as_ref().map_or_else(
        || step.status.to_string(),
        |reason| format!("{} ({}): {}", step.status, reason.code, reason.message),
    )
}
