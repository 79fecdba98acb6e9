//! `protocols`: list, create, show and steer runs over the API.

mod create;
mod read;

use clap::{Args, Subcommand};
use tg_core::{
    status::ProtocolStatus,
    wire::{ActionResponse, Confirm, ProtocolChange, ProtocolRunOut, Reason, StepRunOut},
};

pub use self::{
    create::Create,
    read::{Diff, diff},
};
use super::{
    CliError, Global,
    arguments::{self, FewAtFirst, Id, Limit, Remove},
    steps, watch,
    words::{engine_label, first_line, run_status},
};
use crate::{
    client::{Answer, Client, Query, operation, operation::Operation},
    output::{Output, Tone},
};

/// Runs: one task each, from plan to the last commit.
#[derive(Debug, Subcommand)]
pub enum ProtocolsCommand {
    /// List runs, newest first.
    List {
        /// Only of this project.
        #[arg(long, value_name = "ID")]
        project: Option<i64>,
        /// Only in this status.
        #[arg(long, value_name = "WORD", value_parser = arguments::run_statuses())]
        status: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Create a run; nothing is queued yet.
    Create(Create),
    /// Create a run and queue its planning.
    CreateAndStart {
        #[command(flatten)]
        create: Create,
        /// Show its events until it rests.
        #[arg(long)]
        follow: bool,
    },
    /// Show one run with its steps.
    Show(Id),
    /// Change a run.
    Update(Update),
    /// Archive a run that has not begun or has ended; its worktree is removed.
    Delete(Remove),
    /// Queue planning of a pending run.
    Start(Go),
    /// Pause a run: the job at work ends, nothing new begins.
    Pause(Steer),
    /// Resume a paused run.
    Resume(Steer),
    /// Cancel a run for good.
    Cancel(Steer),
    /// Queue the next step that is pending, blocked or failed.
    RunNext(Go),
    /// Queue the latest failed or blocked step again.
    RetryLatest(Go),
    /// Queue pushing the branch and opening its pull request.
    OpenPr(Go),
    /// Show the events of a run, newest first.
    Events {
        #[command(flatten)]
        id: Id,
        #[command(flatten)]
        limit: FewAtFirst,
    },
    /// List the engine calls of a run.
    Runs {
        #[command(flatten)]
        id: Id,
        /// Only of this kind.
        #[arg(long, value_name = "WORD")]
        kind: Option<String>,
        /// Only in this status.
        #[arg(long, value_name = "WORD", value_parser = arguments::call_statuses())]
        status: Option<String>,
        #[command(flatten)]
        limit: Limit,
    },
    /// List the files that calls of a run produced.
    Artifacts {
        #[command(flatten)]
        id: Id,
        /// Only of this kind.
        #[arg(long, value_name = "WORD")]
        kind: Option<String>,
        /// Only of this step.
        #[arg(long, value_name = "ID")]
        step: Option<i64>,
        #[command(flatten)]
        limit: Limit,
    },
    /// Show where the branch and the worktree of a run stand.
    GitStatus(Id),
    /// Print what a run changed, as a unified diff.
    Diff(Diff),
}

/// Names a run and says why.
#[derive(Debug, Args)]
pub struct Steer {
    #[command(flatten)]
    id: Id,
    /// Why; recorded on the timeline.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// Names a run whose work goes on.
#[derive(Debug, Args)]
pub struct Go {
    #[command(flatten)]
    id: Id,
    /// Show its events until it rests.
    #[arg(long)]
    follow: bool,
}

/// Changes to a run; what is not named stays.
#[derive(Debug, Args)]
pub struct Update {
    #[command(flatten)]
    id: Id,
    /// The task; an empty text removes it.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A pass queues the next step by itself, or not.
    #[arg(long, value_name = "BOOL")]
    auto_advance: Option<bool>,
    /// Branch to start from; only before any step ran.
    #[arg(long, value_name = "BRANCH")]
    base_branch: Option<String>,
}

/// Runs the command.
pub async fn run(global: &Global, command: ProtocolsCommand, output: &Output) -> Result<(), CliError> {
    let client = Client::new(global, output)?;
    match command {
        ProtocolsCommand::List { project, status, limit } => {
            read::list(&client, project, status.as_deref(), limit, output).await
        }
        ProtocolsCommand::Create(args) => {
            let run = create::create(&client, args).await?;
            print(&run, &[], output);
            output.note(&format!("next: tasksgodzilla protocols start {}", run.value.id));
            Ok(())
        }
        ProtocolsCommand::CreateAndStart { create, follow } => {
            let run = create::create(&client, create).await?.value.id;
            client.ask(&operation::START, &[&run.to_string()], &Query::new()).await?;
            went_on(&client, run, follow, output).await
        }
        ProtocolsCommand::Show(id) => {
            let run = load(&client, id.id).await?;
            let steps = if output.is_json() { Vec::new() } else { steps_of(&client, id.id).await?.value };
            print(&run, &steps, output);
            Ok(())
        }
        ProtocolsCommand::Update(args) => update(&client, args, output).await,
        ProtocolsCommand::Delete(remove) => {
            remove.confirm(&format!("archive run {}", remove.id), output)?;
            let id = remove.id.to_string();
            let gone = client.send(&operation::DELETE_PROTOCOL, &[&id], &Confirm { confirm: true }).await?;
            output.show(&gone.json, |output| output.line(&format!("run {id} is archived")));
            Ok(())
        }
        ProtocolsCommand::Start(go) => queue(&client, &operation::START, &go, output).await,
        ProtocolsCommand::RunNext(go) => queue(&client, &operation::RUN_NEXT, &go, output).await,
        ProtocolsCommand::RetryLatest(go) => queue(&client, &operation::RETRY_LATEST, &go, output).await,
        ProtocolsCommand::OpenPr(go) => queue(&client, &operation::OPEN_PR, &go, output).await,
        ProtocolsCommand::Pause(args) => steer(&client, &operation::PAUSE, args, output).await,
        ProtocolsCommand::Resume(args) => steer(&client, &operation::RESUME, args, output).await,
        ProtocolsCommand::Cancel(args) => steer(&client, &operation::CANCEL, args, output).await,
        ProtocolsCommand::Events { id, limit } => read::events(&client, id, limit, output).await,
        ProtocolsCommand::Runs { id, kind, status, limit } => {
            read::runs(&client, id, kind, status, limit, output).await
        }
        ProtocolsCommand::Artifacts { id, kind, step, limit } => {
            read::artifacts(&client, id, kind, step, limit, output).await
        }
        ProtocolsCommand::GitStatus(id) => read::git_status(&client, id, output).await,
        ProtocolsCommand::Diff(args) => {
            read::diff(&client, &operation::PROTOCOL_DIFF, &operation::PROTOCOL_CHANGES, args, output).await
        }
    }
}

/// A run.
pub async fn load(client: &Client, id: i64) -> Result<Answer<ProtocolRunOut>, CliError> {
    client.ask(&operation::PROTOCOL, &[&id.to_string()], &Query::new()).await
}

/// The steps of a run.
pub async fn steps_of(client: &Client, id: i64) -> Result<Answer<Vec<StepRunOut>>, CliError> {
    client.ask(&operation::STEPS, &[&id.to_string()], &Query::new()).await
}

async fn update(client: &Client, args: Update, output: &Output) -> Result<(), CliError> {
    let change = ProtocolChange {
        description: args.description.map(|text| (!text.is_empty()).then_some(text)),
        auto_advance: args.auto_advance,
        base_branch: args.base_branch,
    };
    let run = client.send(&operation::UPDATE_PROTOCOL, &[&args.id.text()], &change).await?;
    print(&run, &[], output);
    Ok(())
}

async fn queue(
    client: &Client,
    action: &Operation<(), ActionResponse>,
    go: &Go,
    output: &Output,
) -> Result<(), CliError> {
    let answer = client.ask(action, &[&go.id.text()], &Query::new()).await?;
    if go.follow {
        return went_on(client, go.id.id, true, output).await;
    }
    print_action(&answer, output);
    output.note(&follow_hint(go.id.id));
    Ok(())
}

/// Shows the run after work was queued: at once, or when it rests.
async fn went_on(client: &Client, id: i64, follow: bool, output: &Output) -> Result<(), CliError> {
    if follow {
        return watch::until_rest(client, id, output).await;
    }
    print(&load(client, id).await?, &[], output);
    output.note(&follow_hint(id));
    Ok(())
}

fn follow_hint(id: i64) -> String {
    format!("follow it with `tasksgodzilla events watch --protocol {id}`")
}

async fn steer(
    client: &Client,
    action: &Operation<Reason, ProtocolRunOut>,
    args: Steer,
    output: &Output,
) -> Result<(), CliError> {
    let reason = Reason { reason: args.reason };
    let run = client.send(action, &[&args.id.text()], &reason).await?;
    print(&run, &[], output);
    Ok(())
}

/// What an action answers.
pub fn print_action(answer: &Answer<ActionResponse>, output: &Output) {
    output.show(&answer.json, |output| {
        output.line(&answer.value.message);
        if let Some(job) = &answer.value.job {
            output.fields(&[("job", format!("{} {}", job.job_id, job.job_type))]);
        }
    });
}

/// A run with what is known of its steps.
pub fn print(run: &Answer<ProtocolRunOut>, steps: &[StepRunOut], output: &Output) {
    output.show(&run.json, |output| {
        let run = &run.value;
        output.fields(&[
            ("run", format!("{} {}", run.id, run.protocol_name)),
            ("project", run.project_id.to_string()),
            ("status", run_status(run)),
            ("engine", run.engine.as_deref().map(engine_label).unwrap_or_default()),
            ("task", run.description.as_deref().map(first_line).unwrap_or_default()),
            ("advance", if run.auto_advance { "by itself" } else { "on request" }.to_owned()),
            ("base", run.base_branch.clone()),
            ("branch", run.protocol_name.clone()),
            ("head", run.head_sha.clone().unwrap_or_default()),
            ("request", run.pr_url.clone().unwrap_or_default()),
            ("worktree", run.worktree_path.clone().unwrap_or_default()),
            ("protocol", run.protocol_root.clone().unwrap_or_default()),
            ("sandbox", run.confinement.clone().unwrap_or_default()),
        ]);
        if run.sandbox_off {
            output.toned(Tone::Bad, "engines of this run work UNCONFINED, by request");
        }
        if !steps.is_empty() {
            steps::print_table(steps, output);
        }
    });
}

/// How a status looks.
pub const fn tone(status: ProtocolStatus) -> Tone {
    match status {
        ProtocolStatus::Completed => Tone::Good,
        ProtocolStatus::Failed | ProtocolStatus::Cancelled => Tone::Bad,
        ProtocolStatus::Pending
        | ProtocolStatus::Planning
        | ProtocolStatus::Planned
        | ProtocolStatus::Running
        | ProtocolStatus::Paused
        | ProtocolStatus::Blocked => Tone::Doubtful,
    }
}
