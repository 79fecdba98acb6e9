//! The command line: one definition that parsing, help and the reference document are made from, and
//! the way from a command to its module.

mod access;
mod arguments;
mod config;
mod demo;
mod doctor;
mod engines;
mod error;
mod events;
mod follow;
mod local;
mod menu;
mod migrate;
mod pages;
mod projects;
mod protocols;
mod queues;
mod review;
mod run;
mod runs;
mod serve;
mod steps;
#[cfg(test)]
mod tests;
mod tokens;
mod verify;
mod watch;
mod words;

use std::{collections::BTreeMap, future::Future, path::PathBuf};

use clap::{Args, CommandFactory as _, Parser, Subcommand};

pub use self::error::{CliError, ErrorKind};
use crate::output::Output;

/// Carries coding tasks from a sentence to a proven, committed change.
#[derive(Debug, Parser)]
#[command(name = "tasksgodzilla", version, disable_help_subcommand = true)]
#[command(max_term_width = 100)]
pub struct Cli {
    /// Flags that are valid anywhere.
    #[command(flatten)]
    pub global: Global,
    /// What to do; on a terminal a bare call opens a menu.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// Flags that are valid anywhere on the line.
#[derive(Clone, Default, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print exactly one JSON value on standard output; messages go to standard error.
    #[arg(long, global = true)]
    pub json: bool,
    /// Print no progress and no notes.
    #[arg(long, global = true)]
    pub quiet: bool,
    /// Print no colours and no refreshed lines.
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Configuration file, instead of config.toml in the state directory.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// State directory.
    #[arg(long, global = true, value_name = "DIR")]
    pub home: Option<PathBuf>,
    /// Server to talk to; without it the one of the state directory, else `http://127.0.0.1:8010`.
    #[arg(long, global = true, value_name = "URL")]
    pub api_base: Option<String>,
    /// Token to show it; without it the one of the state directory, for its own server only. Others on
    /// this machine can see a flag: `TASKSGODZILLA_API_TOKEN` hides it.
    #[arg(long, global = true, value_name = "TOKEN", conflicts_with = "project_token")]
    pub token: Option<String>,
    /// Token of one project, instead; `TASKSGODZILLA_PROJECT_TOKEN` hides it.
    #[arg(long, global = true, value_name = "TOKEN")]
    pub project_token: Option<String>,
}

impl Global {
    /// Values of settings that flags give, by variable.
    pub fn settings(&self) -> BTreeMap<&'static str, String> {
        let home = self.home.as_ref().map(|home| ("TASKSGODZILLA_HOME", home.display().to_string()));
        let base = self.api_base.clone().map(|base| ("TASKSGODZILLA_API_BASE", base));
        home.into_iter().chain(base).collect()
    }
}

impl std::fmt::Debug for Global {
    /// Without the tokens.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Global")
            .field("home", &self.home)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Carry a task from plan to pushed commits, here and now; no server is needed.
    Run(run::RunArgs),
    /// Show the whole flow with the built-in dummy engine in a scratch repository.
    Demo(demo::DemoArgs),
    /// Serve the API over HTTP and work the queue.
    Serve(serve::ServeArgs),
    /// Print a link that signs a browser in as the admin: once, within ten minutes.
    LoginLink(access::LoginLinkArgs),
    /// Show or replace the admin token of this state directory.
    #[command(subcommand, arg_required_else_help = true)]
    Token(access::TokenCommand),
    /// List, create and change projects: the repositories that are looked after.
    #[command(subcommand, arg_required_else_help = true)]
    Projects(projects::ProjectsCommand),
    /// List, create, show and steer runs.
    #[command(subcommand, arg_required_else_help = true)]
    Protocols(Box<protocols::ProtocolsCommand>),
    /// List, add, show and steer the steps of a run.
    #[command(subcommand, arg_required_else_help = true)]
    Steps(steps::StepsCommand),
    /// Comment on what a run changed.
    #[command(subcommand, arg_required_else_help = true)]
    Review(review::ReviewCommand),
    /// Show the timeline, watch it, check its chain.
    #[command(subcommand, arg_required_else_help = true)]
    Events(events::EventsCommand),
    /// List and show engine calls, read their logs, report runs that work outside.
    #[command(subcommand, arg_required_else_help = true)]
    Runs(runs::RunsCommand),
    /// Show, cancel and retry queued work.
    #[command(subcommand, arg_required_else_help = true)]
    Queues(queues::QueuesCommand),
    /// List, make, replace and revoke tokens.
    #[command(subcommand, arg_required_else_help = true)]
    Tokens(tokens::TokensCommand),
    /// List the engines of the server.
    #[command(subcommand, arg_required_else_help = true)]
    Engines(engines::EnginesCommand),
    /// Print the document of the HTTP API (`OpenAPI` 3.1); no server is needed.
    Openapi,
    /// Print completions for a shell.
    Completions(pages::CompletionsArgs),
    /// Print or write man pages.
    Man(pages::ManArgs),
    /// Check what this machine offers: git, engines, sandbox, state directory.
    Doctor(doctor::DoctorArgs),
    /// Check the event chain, the rows and the commits against each other.
    Verify(verify::VerifyArgs),
    /// Show settings.
    #[command(subcommand, arg_required_else_help = true)]
    Config(config::ConfigCommand),
    /// Bring the database to the schema of this version.
    Migrate(migrate::MigrateArgs),
    /// Sub-reaper between us and an engine.
    #[command(name = "__supervise", hide = true, disable_help_flag = true)]
    Supervise(HiddenArgs),
    /// The dummy engine.
    #[command(name = "__dummy", hide = true, disable_help_flag = true)]
    Dummy(HiddenArgs),
}

/// Arguments of a hidden command, read by the module that owns it.
#[derive(Debug, Args)]
pub struct HiddenArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<std::ffi::OsString>,
}

/// Runs the command of this line to its end.
pub fn dispatch(cli: Cli, output: &Output) -> Result<(), CliError> {
    let Cli { global, command } = cli;
    let Some(command) = command else { return bare(&global, output) };
    match command {
        Command::Supervise(_) => std::process::exit(tg_server::engine::supervise::shim()),
        Command::Dummy(_) => std::process::exit(tg_server::engine::dummy::main()),
        Command::Run(args) => block_on(run::run(&global, args, output)),
        Command::Demo(args) => block_on(demo::run(&global, args, output)),
        Command::Serve(args) => block_on(serve::run(&global, args, output)),
        Command::LoginLink(args) => block_on(access::login_link(&global, args, output)),
        Command::Token(command) => block_on(access::token(&global, command, output)),
        Command::Projects(command) => block_on(projects::run(&global, command, output)),
        Command::Protocols(command) => block_on(protocols::run(&global, *command, output)),
        Command::Steps(command) => block_on(steps::run(&global, command, output)),
        Command::Review(command) => block_on(review::run(&global, command, output)),
        Command::Events(command) => block_on(events::run(&global, command, output)),
        Command::Runs(command) => block_on(runs::run(&global, command, output)),
        Command::Queues(command) => block_on(queues::run(&global, command, output)),
        Command::Tokens(command) => block_on(tokens::run(&global, command, output)),
        Command::Engines(command) => block_on(engines::run(&global, command, output)),
        Command::Openapi => {
            pages::openapi(output);
            Ok(())
        }
        Command::Completions(args) => {
            pages::completions(&args, output);
            Ok(())
        }
        Command::Man(args) => pages::man(args, output),
        Command::Doctor(args) => block_on(doctor::run(&global, args, output)),
        Command::Verify(args) => block_on(verify::run(&global, args, output)),
        Command::Config(command) => config::run(&global, command, output),
        Command::Migrate(args) => block_on(migrate::run(&global, args, output)),
    }
}

/// A call without a command: the menu on a terminal, else usage.
fn bare(global: &Global, output: &Output) -> Result<(), CliError> {
    if output.can_show_menu() {
        return menu::show(global, output);
    }
    output.usage(&Cli::command().render_help().to_string());
    std::process::exit(i32::from(ErrorKind::Usage.exit_code()))
}

fn block_on<F: Future<Output = Result<(), CliError>>>(work: F) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::internal(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(work)
}
