//! The command line: one definition that parsing, help and the reference document are made from, and
//! the way from a command to its module.

mod access;
mod config;
mod demo;
mod doctor;
mod error;
mod events;
mod follow;
mod migrate;
mod projects;
mod protocols;
mod run;
mod runs;
mod serve;
mod steps;
#[cfg(test)]
mod tests;
mod verify;

use std::{collections::BTreeMap, future::Future, path::PathBuf};

use clap::{Args, Parser, Subcommand};

pub use self::error::{CliError, ErrorKind};
use crate::output::Output;

/// Carries coding tasks from a sentence to a proven, committed change.
#[derive(Debug, Parser)]
#[command(name = "tasksgodzilla", version, arg_required_else_help = true, subcommand_required = true)]
#[command(max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// Flags that are valid anywhere.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that are valid anywhere on the line.
#[derive(Debug, Clone, Default, Args)]
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
}

impl Global {
    /// Values of settings that flags give, by variable.
    pub fn settings(&self) -> BTreeMap<&'static str, String> {
        let home = self.home.as_ref().map(|home| ("TASKSGODZILLA_HOME", home.display().to_string()));
        home.into_iter().collect()
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
    /// List repositories.
    #[command(subcommand, arg_required_else_help = true)]
    Projects(projects::ProjectsCommand),
    /// List, show and steer runs.
    #[command(subcommand, arg_required_else_help = true)]
    Protocols(protocols::ProtocolsCommand),
    /// List, show and steer the steps of a run.
    #[command(subcommand, arg_required_else_help = true)]
    Steps(steps::StepsCommand),
    /// Show the timeline.
    #[command(subcommand, arg_required_else_help = true)]
    Events(events::EventsCommand),
    /// List and show engine calls and read their logs.
    #[command(subcommand, arg_required_else_help = true)]
    Runs(runs::RunsCommand),
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
    match command {
        Command::Supervise(_) => std::process::exit(tg_server::engine::supervise::shim()),
        Command::Dummy(_) => std::process::exit(tg_server::engine::dummy::main()),
        Command::Run(args) => block_on(run::run(&global, args, output)),
        Command::Demo(args) => block_on(demo::run(&global, args, output)),
        Command::Serve(args) => block_on(serve::run(&global, args, output)),
        Command::LoginLink(args) => block_on(access::login_link(&global, args, output)),
        Command::Token(command) => block_on(access::token(&global, command, output)),
        Command::Projects(command) => block_on(projects::run(&global, command, output)),
        Command::Protocols(command) => block_on(protocols::run(&global, command, output)),
        Command::Steps(command) => block_on(steps::run(&global, command, output)),
        Command::Events(command) => block_on(events::run(&global, command, output)),
        Command::Runs(command) => block_on(runs::run(&global, command, output)),
        Command::Doctor(args) => block_on(doctor::run(&global, args, output)),
        Command::Verify(args) => block_on(verify::run(&global, args, output)),
        Command::Config(command) => config::run(&global, command, output),
        Command::Migrate(args) => block_on(migrate::run(&global, args, output)),
    }
}

fn block_on<F: Future<Output = Result<(), CliError>>>(work: F) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CliError::internal(format!("cannot start the runtime: {error}")))?;
    runtime.block_on(work)
}
