//! `projects`: the repositories we look after.

use clap::Subcommand;
use tg_core::{scope::Scope, wire::ProjectOut};
use tg_server::store;

use super::{CliError, Global};
use crate::{output::Output, start};

/// Repositories.
#[derive(Debug, Subcommand)]
pub enum ProjectsCommand {
    /// List repositories, newest first.
    List {
        /// At most this many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=500))]
        limit: i64,
    },
}

/// Runs the command.
pub async fn run(global: &Global, command: ProjectsCommand, output: &Output) -> Result<(), CliError> {
    let ProjectsCommand::List { limit } = command;
    let app = start::steering(global, output).await?;
    let mut tx = app.db.read().await?;
    let projects =
        store::project::list(&mut tx, &Scope::All, store::project::Filter::default(), limit).await?;
    let shown: Vec<ProjectOut> = projects.iter().map(ProjectOut::from).collect();
    output.show(&shown, |output| {
        let rows = shown
            .iter()
            .map(|project| {
                vec![
                    project.id.to_string(),
                    project.name.clone(),
                    project.base_branch.clone(),
                    project.local_path.clone().unwrap_or_else(|| project.git_url.clone()),
                ]
            })
            .collect();
        output.table(&["id", "name", "base", "repository"], rows);
    });
    Ok(())
}
