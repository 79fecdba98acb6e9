//! `steps`: list, add, show and steer the steps of a run over the API.

use clap::{
    Args, Subcommand, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use serde_json::Value;
use tg_core::{
    step::StepType,
    wire::{ActionResponse, ExecutionPlanOut, FirstStepStatus, NewStep, Note, StepEdit, StepRunOut},
};

use super::{
    CliError, Global,
    arguments::{self, Id, Limit},
    protocols::{self, Diff},
    runs,
    words::{engine_label, inline, short_sha, step_status},
};
use crate::{
    client::{Answer, Client, Query, operation, operation::Operation},
    output::{
        Column::{Cut, Spare, Whole},
        Output,
    },
};

/// Steps of a run.
#[derive(Debug, Subcommand)]
pub enum StepsCommand {
    /// List the steps of a run in order.
    List {
        /// Id of the run.
        #[arg(long, value_name = "ID")]
        protocol: i64,
    },
    /// Add a step to a run by hand.
    Create(Create),
    /// Show one step.
    Show(Id),
    /// Change a step that is pending, blocked or failed.
    Update(Update),
    /// Show what an execution of a step would do; nothing is changed.
    Plan(Id),
    /// Queue execution of a step.
    Run(Id),
    /// Queue QA of a step.
    RunQa(Id),
    /// Complete a step on your own authority.
    Approve {
        #[command(flatten)]
        id: Id,
        /// What you want recorded.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Show the events of a step, newest first.
    Events {
        #[command(flatten)]
        id: Id,
        #[command(flatten)]
        limit: arguments::FewAtFirst,
    },
    /// List the engine calls of a step.
    Runs {
        #[command(flatten)]
        id: Id,
        /// Only of this kind.
        #[arg(long, value_name = "WORD")]
        kind: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// List the files that calls of a step produced.
    Artifacts {
        #[command(flatten)]
        id: Id,
        /// Only of this kind.
        #[arg(long, value_name = "WORD")]
        kind: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Print what a step changed, as a unified diff.
    Diff(Diff),
}

/// A step to add.
#[derive(Debug, Args)]
pub struct Create {
    /// Id of the run.
    #[arg(long, value_name = "ID")]
    protocol: i64,
    /// Position from 0.
    #[arg(long, value_name = "NUMBER")]
    index: i64,
    /// File name of the step.
    #[arg(long, value_name = "NAME")]
    name: String,
    /// What it is for.
    #[arg(long = "type", value_name = "WORD", default_value = "work", value_parser = step_type())]
    step_type: StepType,
    /// Where it begins; `needs_qa` for work that was done by hand.
    #[arg(long, value_name = "WORD", default_value = "pending", value_parser = first_status())]
    status: FirstStepStatus,
    #[command(flatten)]
    rest: Rest,
}

/// What may be said of a step and changed later.
#[derive(Debug, Args)]
struct Rest {
    /// Model.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Engine.
    #[arg(long, value_name = "ID")]
    engine: Option<String>,
    /// What it does, in a line.
    #[arg(long, value_name = "TEXT")]
    summary: Option<String>,
    /// Loop and trigger entries: an object or a list.
    #[arg(long, value_name = "JSON", value_parser = arguments::json)]
    policy: Option<Value>,
}

/// A field that can be made empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Clear {
    Model,
    Engine,
    Summary,
    Policy,
}

/// Changes to a step; what is not named stays.
#[derive(Debug, Args)]
pub struct Update {
    #[command(flatten)]
    id: Id,
    #[command(flatten)]
    rest: Rest,
    /// Make these empty.
    #[arg(long, value_name = "FIELD", value_enum)]
    clear: Vec<Clear>,
}

/// Runs the command.
pub async fn run(global: &Global, command: StepsCommand, output: &Output) -> Result<(), CliError> {
    let client = Client::new(global, output)?;
    match command {
        StepsCommand::List { protocol } => {
            let steps = protocols::steps_of(&client, protocol).await?;
            output.show(&steps.json, |output| print_table(&steps.value, output));
            Ok(())
        }
        StepsCommand::Create(args) => {
            let run = args.protocol.to_string();
            print(&client.send(&operation::CREATE_STEP, &[&run], &new_step(args)).await?, output);
            Ok(())
        }
        StepsCommand::Show(id) => {
            print(&client.ask(&operation::STEP, &[&id.text()], &Query::new()).await?, output);
            Ok(())
        }
        StepsCommand::Update(args) => {
            let id = args.id.text();
            print(&client.send(&operation::UPDATE_STEP, &[&id], &edit(args)).await?, output);
            Ok(())
        }
        StepsCommand::Plan(id) => {
            print_plan(&client.ask(&operation::STEP_PLAN, &[&id.text()], &Query::new()).await?, output);
            Ok(())
        }
        StepsCommand::Run(id) => queue(&client, &operation::RUN_STEP, id, output).await,
        StepsCommand::RunQa(id) => queue(&client, &operation::RUN_QA, id, output).await,
        StepsCommand::Approve { id, note } => {
            print(&client.send(&operation::APPROVE, &[&id.text()], &Note { note }).await?, output);
            Ok(())
        }
        StepsCommand::Events { id, limit } => {
            let ids = [&*id.text()];
            let found = client.list(&operation::STEP_EVENTS, &ids, &Query::new(), limit.limit).await?;
            output.show(&found.json, |output| super::events::print_table(&found.value, output));
            Ok(())
        }
        StepsCommand::Runs { id, kind, limit } => {
            let query: Query<'_> = kind.into_iter().map(|kind| ("run_kind", kind)).collect();
            let found = client.list(&operation::STEP_RUNS, &[&id.text()], &query, limit.limit).await?;
            output.show(&found.json, |output| runs::print_table(&found.value, output));
            Ok(())
        }
        StepsCommand::Artifacts { id, kind, limit } => {
            let query: Query<'_> = kind.into_iter().map(|kind| ("kind", kind)).collect();
            let found = client.list(&operation::STEP_ARTIFACTS, &[&id.text()], &query, limit.limit).await?;
            output.show(&found.json, |output| runs::print_artifacts(&found.value, output));
            Ok(())
        }
        StepsCommand::Diff(args) => {
            protocols::diff(&client, &operation::STEP_DIFF, &operation::STEP_CHANGES, args, output).await
        }
    }
}

fn step_type() -> impl TypedValueParser<Value = StepType> {
    let words = PossibleValuesParser::new(StepType::ALL.iter().map(|word| word.as_str()));
    words.map(|word| StepType::parse(&word).expect("one of the words that were offered"))
}

fn first_status() -> impl TypedValueParser<Value = FirstStepStatus> {
    let words = PossibleValuesParser::new(FirstStepStatus::ALL.iter().map(|word| word.as_str()));
    words.map(|word| FirstStepStatus::parse(&word).expect("one of the words that were offered"))
}

fn new_step(args: Create) -> NewStep {
    NewStep {
        step_index: args.index,
        step_name: args.name,
        step_type: args.step_type,
        status: args.status,
        model: args.rest.model,
        summary: args.rest.summary,
        engine_id: args.rest.engine,
        policy: args.rest.policy,
    }
}

fn edit(args: Update) -> StepEdit {
    let cleared = |field: Clear| args.clear.contains(&field);
    StepEdit {
        model: args.rest.model.map(Some).or_else(|| cleared(Clear::Model).then_some(None)),
        engine_id: args.rest.engine.map(Some).or_else(|| cleared(Clear::Engine).then_some(None)),
        policy: args.rest.policy.map(Some).or_else(|| cleared(Clear::Policy).then_some(None)),
        summary: args.rest.summary.map(Some).or_else(|| cleared(Clear::Summary).then_some(None)),
    }
}

async fn queue(
    client: &Client,
    action: &Operation<(), ActionResponse>,
    id: Id,
    output: &Output,
) -> Result<(), CliError> {
    let answer = client.ask(action, &[&id.text()], &Query::new()).await?;
    protocols::print_action(&answer, output);
    output.note(&format!("follow it with `tasksgodzilla events watch --step {}`", id.id));
    Ok(())
}

fn print(step: &Answer<StepRunOut>, output: &Output) {
    output.show(&step.json, |output| {
        let step = &step.value;
        let state = |key: &str| {
            let value = step.runtime_state.as_ref().and_then(|state| state.get(key));
            value.map_or_else(String::new, |value| {
                value.as_str().map_or_else(|| value.to_string(), str::to_owned)
            })
        };
        output.fields(&[
            ("step", format!("{} {}", step.id, step.step_name)),
            ("run", step.protocol_run_id.to_string()),
            ("status", step_status(step)),
            ("summary", step.summary.clone().unwrap_or_default()),
            ("engine", step.engine_id.as_deref().map(engine_label).unwrap_or_default()),
            ("model", step.model.clone().unwrap_or_default()),
            ("verdict", state("qa_verdict")),
            ("judge", state("qa_summary")),
            ("retries", step.retries.to_string()),
            ("tokens", state("tokens_used")),
            ("commit", step.head_sha.clone().unwrap_or_default()),
        ]);
    });
}

fn print_plan(plan: &Answer<ExecutionPlanOut>, output: &Output) {
    output.show(&plan.json, |output| {
        let plan = &plan.value;
        let versions =
            plan.prompt_versions.iter().map(|(role, version)| format!("{role} {}", inline(version)));
        let aux = plan.outputs.aux.iter().map(|(name, path)| format!("{name} {path}"));
        let estimate = plan.estimated_tokens.iter().map(|(phase, tokens)| format!("{phase} {tokens}"));
        let qa = &plan.qa;
        let mut fields = vec![
            ("engine", engine_label(&plan.engine_id)),
            ("model", plan.model.clone().unwrap_or_default()),
            ("prompt", plan.prompt_path.clone()),
            ("made of", versions.collect::<Vec<_>>().join(", ")),
            ("tokens", estimate.collect::<Vec<_>>().join(", ")),
            ("output", plan.outputs.protocol.clone()),
            ("further", aux.collect::<Vec<_>>().join(", ")),
            ("works in", plan.workdir.clone()),
            ("time", format!("{} s", plan.timeout_seconds)),
            ("qa", qa.policy.map_or_else(|| "on request".to_owned(), |policy| policy.to_string())),
            ("judge", engine_label(&qa.engine_id)),
            ("its model", qa.model.clone().unwrap_or_default()),
            ("its prompt", qa.prompt_path.clone()),
        ];
        let gates: Vec<_> = plan.gates.iter().map(|gate| (format!("gate {}", gate.gate), gate)).collect();
        fields.extend(gates.iter().map(|(name, gate)| {
            let why = gate.reason.as_deref().unwrap_or_default();
            (name.as_str(), if gate.open { "open".to_owned() } else { format!("closed: {why}") })
        }));
        output.fields(&fields);
    });
}

/// Steps as a table.
pub fn print_table(steps: &[StepRunOut], output: &Output) {
    let rows: Vec<_> = steps
        .iter()
        .map(|step| {
            vec![
                step.id.to_string(),
                step.step_index.to_string(),
                step.step_name.clone(),
                step_status(step),
                step.engine_id.clone().unwrap_or_default(),
                step.retries.to_string(),
                short_sha(step.head_sha.as_deref()),
            ]
        })
        .collect();
    let columns = [
        Whole("id"),
        Whole("#"),
        Cut("step"),
        Cut("status"),
        Spare("engine"),
        Spare("retries"),
        Spare("commit"),
    ];
    output.table(&columns, &rows);
}
