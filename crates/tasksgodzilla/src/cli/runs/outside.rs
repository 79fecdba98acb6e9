//! Runs that work outside: something else does the work and reports here.

use clap::{Args, ValueEnum};
use serde_json::Value;
use tg_core::wire::{Ending, FinishRun, StartRun};

use super::super::{CliError, arguments};
use crate::{
    client::{Client, operation},
    output::Output,
};

/// A run to register.
#[derive(Debug, Args)]
pub struct Start {
    /// What kind of work it is, in your word.
    #[arg(long, value_name = "WORD")]
    job_type: String,
    /// Kind of call.
    #[arg(long, value_name = "WORD")]
    kind: Option<String>,
    /// Project; left out, it follows from the run or step.
    #[arg(long, value_name = "ID")]
    project: Option<i64>,
    /// Run it belongs to.
    #[arg(long, value_name = "ID")]
    protocol: Option<i64>,
    /// Step it belongs to.
    #[arg(long, value_name = "ID")]
    step: Option<i64>,
    /// Queue it came from.
    #[arg(long, value_name = "NAME")]
    queue: Option<String>,
    /// Attempt, from 1.
    #[arg(long, value_name = "NUMBER")]
    attempt: Option<i64>,
    /// Who does it.
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// Fingerprint of the prompt.
    #[arg(long, value_name = "TEXT")]
    prompt_version: Option<String>,
    /// What it was asked.
    #[arg(long, value_name = "JSON", value_parser = arguments::json)]
    params: Option<Value>,
    /// Its id; left out, one is made.
    #[arg(long, value_name = "ID")]
    run_id: Option<String>,
    #[command(flatten)]
    cost: Cost,
}

/// What it cost.
#[derive(Debug, Clone, Copy, Args)]
struct Cost {
    /// Tokens used.
    #[arg(long, value_name = "NUMBER")]
    cost_tokens: Option<i64>,
    /// Cost in cents.
    #[arg(long, value_name = "NUMBER")]
    cost_cents: Option<i64>,
}

/// How a run may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum How {
    Succeeded,
    Failed,
    Cancelled,
}

/// How a run ended.
#[derive(Debug, Args)]
pub struct Finish {
    /// Id of the run.
    id: String,
    /// How it ended.
    #[arg(long, value_enum)]
    status: How,
    /// What came out.
    #[arg(long, value_name = "JSON", value_parser = arguments::json)]
    result: Option<Value>,
    /// What went wrong.
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    #[command(flatten)]
    cost: Cost,
}

/// Registers a run.
pub async fn start(client: &Client, args: Start, output: &Output) -> Result<(), CliError> {
    let new = StartRun {
        job_type: args.job_type,
        run_kind: args.kind,
        project_id: args.project,
        protocol_run_id: args.protocol,
        step_run_id: args.step,
        queue: args.queue,
        attempt: args.attempt,
        worker_id: args.worker,
        prompt_version: args.prompt_version,
        params: args.params,
        run_id: args.run_id,
        cost_tokens: args.cost.cost_tokens,
        cost_cents: args.cost.cost_cents,
    };
    super::print(&client.send(&operation::START_RUN, &[], &new).await?, output);
    Ok(())
}

/// Appends to its log.
pub async fn append(client: &Client, id: &str, output: &Output) -> Result<(), CliError> {
    let text = arguments::input(None)?;
    let next = client.send_text(&operation::APPEND_LOG, &[id], text).await?;
    output.show(&next.json, |output| {
        output.line(&format!("the log has {} bytes", next.value.next_offset));
    });
    Ok(())
}

/// Ends it.
pub async fn finish(client: &Client, args: Finish, output: &Output) -> Result<(), CliError> {
    let end = FinishRun {
        status: match args.status {
            How::Succeeded => Ending::Succeeded,
            How::Failed => Ending::Failed,
            How::Cancelled => Ending::Cancelled,
        },
        result: args.result,
        error: args.error,
        cost_tokens: args.cost.cost_tokens,
        cost_cents: args.cost.cost_cents,
    };
    super::print(&client.send(&operation::FINISH_RUN, &[&args.id], &end).await?, output);
    Ok(())
}
