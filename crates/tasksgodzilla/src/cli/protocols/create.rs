//! A run to create, as the command line says it.

use clap::Args;
use tg_core::{
    project::ModelDefaults,
    wire::{FirstStatus, NewProtocol, ProtocolRunOut},
};

use super::super::{CliError, arguments, run::short};
use crate::client::{Answer, Client, operation};

/// A run to create.
#[derive(Debug, Args)]
pub struct Create {
    /// Id of the project.
    #[arg(long, value_name = "ID")]
    project: i64,
    /// The task in your words; `-` reads it from standard input.
    #[arg(conflicts_with = "description")]
    task: Option<String>,
    /// The task, instead of the argument.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Whole name of the run and its branch, such as 0007-login.
    #[arg(long, value_name = "NAME", conflicts_with = "short_name")]
    name: Option<String>,
    /// Words for the name; the next free number is put before them. Without either they come from the
    /// task.
    #[arg(long, value_name = "WORDS")]
    short_name: Option<String>,
    /// Branch to start from; without it the project's.
    #[arg(long, value_name = "BRANCH")]
    base_branch: Option<String>,
    /// Engine for the whole run: codex, or dummy (scripted, does nothing real).
    #[arg(long, value_name = "ID")]
    engine: Option<String>,
    /// A pass queues the next step by itself.
    #[arg(long)]
    auto_advance: bool,
    /// Begin as planned: steps are added by hand.
    #[arg(long)]
    planned: bool,
    /// Model for everything that no other flag names.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Model for planning.
    #[arg(long, value_name = "NAME")]
    planning_model: Option<String>,
    /// Model for breaking steps down.
    #[arg(long, value_name = "NAME")]
    decompose_model: Option<String>,
    /// Model for execution.
    #[arg(long, value_name = "NAME")]
    exec_model: Option<String>,
    /// Model for QA.
    #[arg(long, value_name = "NAME")]
    qa_model: Option<String>,
}

/// Creates it.
pub async fn create(client: &Client, args: Create) -> Result<Answer<ProtocolRunOut>, CliError> {
    let project = args.project.to_string();
    client.send(&operation::CREATE_PROTOCOL, &[&project], &wanted(args)?).await
}

fn wanted(args: Create) -> Result<NewProtocol, CliError> {
    let task = match args.task.or(args.description) {
        Some(task) if task == "-" => Some(arguments::input_text(None)?),
        task => task,
    };
    let from_task = || task.as_deref().map(short);
    let short_name = if args.name.is_some() { None } else { args.short_name.clone().or_else(from_task) };
    if args.name.is_none() && short_name.is_none() {
        return Err(CliError::usage("the run has neither a task nor a name")
            .hint("say the task as an argument, or name the run with --name or --short-name"));
    }
    let model = |own: Option<String>| own.or_else(|| args.model.clone());
    Ok(NewProtocol {
        protocol_name: args.name,
        short_name,
        base_branch: args.base_branch,
        description: task,
        status: if args.planned { FirstStatus::Planned } else { FirstStatus::Pending },
        auto_advance: args.auto_advance,
        engine: args.engine,
        models: ModelDefaults {
            planning: model(args.planning_model),
            decompose: model(args.decompose_model),
            exec: model(args.exec_model),
            qa: model(args.qa_model),
        },
    })
}
