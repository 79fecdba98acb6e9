//! `events`: the timeline.

use clap::Subcommand;
use tg_core::{
    ids::{ProjectId, RunId},
    scope::Scope,
    wire::EventOut,
};
use tg_server::{api::convert, app::App, store};

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

/// Events, newest first.
pub async fn list(app: &App, filter: &store::event::Filter, limit: i64) -> Result<Vec<EventOut>, CliError> {
    let mut tx = app.db.read().await?;
    let events = store::event::list(&mut tx, &Scope::All, filter, limit).await?;
    Ok(events.iter().map(convert::event).collect())
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
