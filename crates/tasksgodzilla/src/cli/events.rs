//! `events`: the timeline, as it was and as it goes on.

use clap::{Args, Subcommand, builder::PossibleValuesParser};
use tg_core::{event::Category, wire::EventOut};

use super::{
    CliError, Global,
    arguments::FewAtFirst,
    watch::{self, Filter},
};
use crate::{
    client::{Client, Query, operation},
    output::{
        Column::{Cut, Spare, Whole},
        Output,
    },
};

/// The timeline.
#[derive(Debug, Subcommand)]
pub enum EventsCommand {
    /// Show the newest events, newest first.
    Recent {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        limit: FewAtFirst,
    },
    /// Print events as they come, each once, until Ctrl-C; over broken connections too.
    Watch {
        #[command(flatten)]
        which: Which,
        /// Begin after this event instead of now; 0 begins with the first.
        #[arg(long, value_name = "SEQ")]
        after: Option<i64>,
        /// End when the run of --protocol has ended.
        #[arg(long, requires = "protocol")]
        until_ended: bool,
    },
    /// Check the hash chain of the events at the server.
    Verify {
        /// Only of this project.
        #[arg(long, value_name = "ID")]
        project: Option<i64>,
    },
}

/// Which events.
#[derive(Debug, Args)]
pub struct Which {
    /// Only of this project.
    #[arg(long, value_name = "ID")]
    project: Option<i64>,
    /// Only of this run.
    #[arg(long, value_name = "ID")]
    protocol: Option<i64>,
    /// Only of this step.
    #[arg(long, value_name = "ID")]
    step: Option<i64>,
    /// Only of this type, such as `step_completed`.
    #[arg(long = "type", value_name = "WORD")]
    event_type: Option<String>,
    /// Only of this area of work.
    #[arg(long, value_name = "WORD", value_parser = areas())]
    kind: Option<String>,
}

fn areas() -> PossibleValuesParser {
    PossibleValuesParser::new(Category::ALL.iter().map(|word| word.as_str()))
}

impl From<Which> for Filter {
    fn from(which: Which) -> Self {
        let Which { project, protocol, step, event_type, kind } = which;
        Self { project, protocol, step, event_type, kind }
    }
}

/// Runs the command.
pub async fn run(global: &Global, command: EventsCommand, output: &Output) -> Result<(), CliError> {
    let client = Client::new(global, output)?;
    match command {
        EventsCommand::Recent { which, limit } => {
            let query: Query<'_> = Filter::from(which).query();
            let found = client.list(&operation::EVENTS, &[], &query, limit.limit).await?;
            output.show(&found.json, |output| print_table(&found.value, output));
            Ok(())
        }
        EventsCommand::Watch { which, after, until_ended } => {
            let run = which.protocol.filter(|_| until_ended);
            watch::events(&client, &which.into(), after, run, output).await
        }
        EventsCommand::Verify { project } => verify(&client, project, output).await,
    }
}

async fn verify(client: &Client, project: Option<i64>, output: &Output) -> Result<(), CliError> {
    let query: Query<'_> = project.iter().map(|id| ("project_id", id.to_string())).collect();
    let found = client.ask(&operation::VERIFY, &[], &query).await?;
    output.show(&found.json, |output| {
        output.line(&format!("{} events checked", found.value.checked));
    });
    if found.value.ok {
        return Ok(());
    }
    let place = found.value.first_bad_seq.map(|seq| format!(" at event {seq}")).unwrap_or_default();
    Err(CliError::failed(format!("the chain of events is broken{place}")).hint(
        "a row was changed by hand or by the disk; `tasksgodzilla verify` on that machine looks for more",
    ))
}

/// Events as a table.
pub fn print_table(events: &[EventOut], output: &Output) {
    let rows: Vec<_> = events
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
    let columns = [Whole("seq"), Spare("time"), Spare("run"), Whole("event"), Cut("message")];
    output.table(&columns, &rows);
}
