//! `run`: a task in, a completed run out, in this process. Refuses before it creates anything when the
//! task, the repository, git, the engine or the sandbox will not do.

mod create;
mod task;

use std::{collections::BTreeMap, path::PathBuf};

use clap::{Args, ValueEnum};
use tg_core::{
    ids::RunId,
    lifecycle::Signal,
    project::ModelDefaults,
    protocol::{ProtocolRun, StepRun},
    status::ProtocolStatus,
    step::StepStatus,
    wire::ProtocolRunOut,
};
use tg_server::{
    app::App,
    engine::{self, sandbox::Sandbox, supervise},
    jobs::engine_choice::{DEFAULT_ENGINE, DUMMY_ENGINE},
};

pub use self::create::{Wanted, create, name_of, repository, short};
use super::{CliError, Global, doctor::engines::split, follow, local, protocols, words};
use crate::{
    output::{Output, Tone},
    start::{self, Chatter},
};

/// A task and how to carry it out.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each switch is a flag of its own")]
pub struct RunArgs {
    /// The task in your words; without it and --description it is read from standard input.
    #[arg(conflicts_with_all = ["description", "continue_run"])]
    task: Option<String>,
    /// Path or URL of the repository; without it the one around the current directory.
    #[arg(long, value_name = "PATH-OR-URL")]
    repo: Option<String>,
    /// Engine for the whole run: codex, or dummy (scripted, does nothing real).
    #[arg(long, value_name = "ID")]
    engine: Option<String>,
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
    /// Branch to start from; without it the project's.
    #[arg(long, value_name = "BRANCH")]
    base_branch: Option<String>,
    /// Words for the name of the run and its branch.
    #[arg(long, value_name = "WORDS")]
    short_name: Option<String>,
    /// The task, instead of the argument.
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// `off` lets engines work unconfined; the run says so wherever it is shown.
    #[arg(long, value_enum)]
    sandbox: Option<SandboxChoice>,
    /// Leave short, simple steps as the plan wrote them.
    #[arg(long)]
    skip_simple_decompose: bool,
    /// Stop when the plan is written.
    #[arg(long)]
    plan_only: bool,
    /// Do not begin the next step by itself.
    #[arg(long)]
    no_auto_advance: bool,
    /// Ask nothing.
    #[arg(long)]
    yes: bool,
    /// Work an existing run on until it rests.
    #[arg(long = "continue", value_name = "ID", conflicts_with_all = [
        "repo", "engine", "model", "planning_model", "decompose_model", "exec_model", "base_branch",
        "short_name", "description", "plan_only", "no_auto_advance",
    ])]
    continue_run: Option<i64>,
}

/// Confinement of engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SandboxChoice {
    /// Engines run confined, or not at all.
    Auto,
    /// Engines run unconfined.
    Off,
}

impl RunArgs {
    fn settings(&self) -> BTreeMap<&'static str, String> {
        let mut settings = BTreeMap::new();
        match self.sandbox {
            Some(SandboxChoice::Auto) => drop(settings.insert("TASKSGODZILLA_SANDBOX", "auto".to_owned())),
            Some(SandboxChoice::Off) => drop(settings.insert("TASKSGODZILLA_SANDBOX", "off".to_owned())),
            None => {}
        }
        if self.skip_simple_decompose {
            settings.insert("PROTOCOL_SKIP_SIMPLE_DECOMPOSE", "true".to_owned());
        }
        settings
    }

    fn models(&self) -> ModelDefaults {
        let of = |own: &Option<String>| own.clone().or_else(|| self.model.clone());
        ModelDefaults {
            planning: of(&self.planning_model),
            decompose: of(&self.decompose_model),
            exec: of(&self.exec_model),
            qa: self.model.clone(),
        }
    }
}

/// Runs the command.
pub async fn run(global: &Global, args: RunArgs, output: &Output) -> Result<(), CliError> {
    let config = start::config(global, args.settings(), Chatter::Command, output)?;
    if let Some(id) = args.continue_run {
        let app = start::working(config).await?;
        return go_on(&app, RunId(id), output).await;
    }
    let task = task::read(args.task.as_deref().or(args.description.as_deref()))?;
    let engine = engine_named(args.engine.as_deref())?;
    let app = start::working(config).await?;
    let label = engine.card().id;
    ready(&app, engine, &args, output)?;
    let wanted = Wanted {
        repository: args.repo.clone(),
        directory: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        task,
        short_name: args.short_name.clone(),
        engine: args.engine.clone(),
        models: args.models(),
        base_branch: args.base_branch.clone(),
        auto_advance: !args.plan_only && !args.no_auto_advance,
    };
    let created = create(&app, &wanted, output).await?;
    output.note(&format!(
        "run {} {} · engine {} · base {}",
        created.id,
        created.protocol_name,
        words::engine_label(label),
        created.base_branch
    ));
    let left = follow::work(&app, created.id, 0, output).await?;
    tell(&left.run, &left.steps, output);
    follow::verdict(&left, args.plan_only)
}

fn engine_named(name: Option<&str>) -> Result<&'static dyn engine::Engine, CliError> {
    let id = name.unwrap_or(DEFAULT_ENGINE);
    engine::find(id).ok_or_else(|| {
        let known: Vec<_> = engine::ENGINES.iter().map(|engine| engine.card().id).collect();
        CliError::usage(format!("there is no engine `{id}`"))
            .hint(format!("known engines: {}", known.join(", ")))
    })
}

/// Says no before anything is created: engine not installed, no sandbox; asks when it is switched off.
fn ready(app: &App, engine: &dyn engine::Engine, args: &RunArgs, output: &Output) -> Result<(), CliError> {
    let card = engine.card();
    if let Err(failure) = supervise::resolve(&app.config, engine) {
        return Err(CliError::missing(split(&failure.message).0).hint(card.remedy));
    }
    if app.config.sandbox_off {
        output.warn("the sandbox is off: engines of this run work UNCONFINED, with your rights");
        if !args.yes && output.can_ask() && !output.confirm("go on?") {
            return Err(CliError::failed("not started").hint("leave --sandbox off away, or pass --yes"));
        }
        return Ok(());
    }
    match &*app.sandbox {
        Sandbox::Unavailable(why) if card.id != DUMMY_ENGINE => Err(CliError::missing(split(why).0)
            .hint("install bubblewrap and allow user namespaces, or pass --sandbox off to run unconfined")),
        Sandbox::Bwrap(_) | Sandbox::Unavailable(_) => Ok(()),
    }
}

/// Works an existing run on to its end. A run that does not advance by itself is led step by step.
async fn go_on(app: &App, id: RunId, output: &Output) -> Result<(), CliError> {
    let (mut run, mut steps) = local::load(app, id).await?;
    let mut seen = follow::newest_event(app, id).await?;
    loop {
        if let Some(signal) = onward(&run, &steps) {
            match local::advance(app, id, signal).await {
                Ok(()) => {}
                // Somebody else was faster, or the queue holds it already: then that is worked on.
                Err(error) if run.status == ProtocolStatus::Running => tracing::debug!(error = %error.error),
                Err(error) => return Err(error),
            }
        }
        let left = follow::work(app, id, seen, output).await?;
        let goes_on = matches!(left.run.status, ProtocolStatus::Planned | ProtocolStatus::Running);
        let moved = left.run.status != run.status || statuses(&left.steps) != statuses(&steps);
        if left.interrupted || !goes_on || !moved {
            tell(&left.run, &left.steps, output);
            return follow::verdict(&left, false);
        }
        (run, steps, seen) = (left.run, left.steps, left.seen);
    }
}

fn statuses(steps: &[StepRun]) -> Vec<StepStatus> {
    steps.iter().map(|step| step.status).collect()
}

/// What a person would do next for this run.
fn onward(run: &ProtocolRun, steps: &[StepRun]) -> Option<Signal> {
    let is = |wanted: StepStatus| steps.iter().find(|step| step.status == wanted);
    match run.status {
        ProtocolStatus::Pending => Some(Signal::Start),
        ProtocolStatus::Planned => Some(Signal::RunNext),
        ProtocolStatus::Paused => Some(Signal::Resume { reason: None }),
        ProtocolStatus::Blocked if steps.iter().all(|step| step.started_at.is_none()) => Some(Signal::Start),
        ProtocolStatus::Blocked => Some(Signal::RetryLatest),
        ProtocolStatus::Running => match (is(StepStatus::Running), is(StepStatus::NeedsQa)) {
            (Some(_), _) => None,
            (None, Some(step)) => Some(Signal::RunQa { step: step.id }),
            (None, None) => is(StepStatus::Pending).map(|_| Signal::RunNext),
        },
        ProtocolStatus::Planning
        | ProtocolStatus::Failed
        | ProtocolStatus::Cancelled
        | ProtocolStatus::Completed => None,
    }
}

/// Tells where a run was left: the run object, or a few lines.
pub fn tell(run: &ProtocolRun, steps: &[StepRun], output: &Output) {
    output.show(&ProtocolRunOut::from(run), |output| {
        let done = steps.iter().filter(|step| step.status.is_settled()).count();
        output.toned(
            protocols::tone(run.status),
            &format!(
                "run {} {} is {}: {done} of {} steps done",
                run.id,
                run.protocol_name,
                run.status,
                steps.len()
            ),
        );
        let pushed = match (&run.head_sha, &run.pushed_sha) {
            (Some(head), Some(pushed)) if head == pushed => "yes".to_owned(),
            (Some(_), Some(pushed)) => format!("up to {pushed}"),
            (Some(_), None) => "no: nothing was pushed".to_owned(),
            (None, _) => String::new(),
        };
        output.fields(&[
            ("branch", run.protocol_name.clone()),
            ("head", run.head_sha.clone().unwrap_or_default()),
            ("pushed", pushed),
            ("worktree", run.worktree_path.clone().unwrap_or_default()),
            ("engine", run.engine.as_deref().map(words::engine_label).unwrap_or_default()),
            ("sandbox", run.confinement.map(|word| word.as_str().to_owned()).unwrap_or_default()),
        ]);
        if run.sandbox_off {
            output.toned(Tone::Bad, "engines of this run worked UNCONFINED, by request");
        }
    });
}
