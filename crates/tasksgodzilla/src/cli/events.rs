//! `events`: the timeline.

use std::collections::BTreeMap;

use clap::Subcommand;
use tg_core::{
    ids::{ProjectId, RunId},
    scope::Scope,
    wire::EventOut,
};
use tg_server::{api::convert, app::App, db::Tx, store};

use super::{CliError, Global};
use crate::{output::Output, start};

/// The timeline.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Show the newest events, newest first.
    Recent {
        /// Only of this project.
        #[arg(long, value_name = "ID")]
        project: Option<i64>,
        /// Only of this run.
        #[arg(long, value_name = "ID")]
        protocol: Option<i64>,
        /// At most this many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(i64).range(1..=500))]
        limit: i64,
    },
}

/// Runs the command.
pub async fn run(global: &Global, command: EventsCommand, output: &Output) -> Result<(), CliError> {
    let EventsCommand::Recent { project, protocol, limit } = command;
    let app = start::steering(global, output).await?;
    let filter = store::event::Filter {
        project: project.map(ProjectId),
        run: protocol.map(RunId),
        ..store::event::Filter::default()
    };
    let shown = list(&app, &filter, limit).await?;
    output.show(&shown, |output| print_table(&shown, output));
    Ok(())
}

/// Events with the names of their project and run, newest first.
pub async fn list(app: &App, filter: &store::event::Filter, limit: i64) -> Result<Vec<EventOut>, CliError> {
    let mut tx = app.db.read().await?;
    let events = store::event::list(&mut tx, &Scope::All, filter, limit).await?;
    let mut names = Names::default();
    let mut shown = Vec::with_capacity(events.len());
    for event in &events {
        let project = names.project(&mut tx, event.project_id).await?;
        let run = names.run(&mut tx, event.protocol_run_id).await?;
        shown.push(convert::event(event, run, project));
    }
    Ok(shown)
}

/// Events as a table.
pub fn print_table(events: &[EventOut], output: &Output) {
    let rows = events
        .iter()
        .map(|event| {
            vec![
                event.seq.to_string(),
                event.created_at.clone(),
                event.protocol_name.clone().unwrap_or_default(),
                event.event_type.clone(),
                event.message.clone(),
            ]
        })
        .collect();
    output.table(&["seq", "time", "run", "event", "message"], rows);
}

#[derive(Default)]
struct Names {
    projects: BTreeMap<i64, String>,
    runs: BTreeMap<i64, String>,
}

impl Names {
    async fn project(&mut self, tx: &mut Tx, id: Option<ProjectId>) -> Result<Option<String>, CliError> {
        let Some(id) = id else { return Ok(None) };
        if let Some(name) = self.projects.get(&id.0) {
            return Ok(Some(name.clone()));
        }
        let name = store::project::load(tx, &Scope::All, id).await?.name;
        self.projects.insert(id.0, name.clone());
        Ok(Some(name))
    }

    async fn run(&mut self, tx: &mut Tx, id: Option<RunId>) -> Result<Option<String>, CliError> {
        let Some(id) = id else { return Ok(None) };
        if let Some(name) = self.runs.get(&id.0) {
            return Ok(Some(name.clone()));
        }
        let name = store::protocol::load(tx, &Scope::All, id).await?.protocol_name;
        self.runs.insert(id.0, name.clone());
        Ok(Some(name))
    }
}
