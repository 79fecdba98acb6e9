//! `engines`: the agent command lines that the server can start.

use clap::Subcommand;

use super::{CliError, Global};
use crate::{
    client::{Client, Query, operation},
    output::{
        Column::{Cut, Spare, Whole},
        Output,
    },
};

/// Engines of the server.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum EnginesCommand {
    /// List the engines and say which can be used there.
    List,
}

/// Runs the command.
pub async fn run(global: &Global, command: EnginesCommand, output: &Output) -> Result<(), CliError> {
    let EnginesCommand::List = command;
    let client = Client::new(global, output)?;
    let found = client.ask(&operation::ENGINES, &[], &Query::new()).await?;
    output.show(&found.json, |output| {
        let rows: Vec<_> = found
            .value
            .iter()
            .map(|engine| {
                vec![
                    engine.id.clone(),
                    engine.display_name.clone(),
                    if engine.available { "yes" } else { "no" }.to_owned(),
                    engine.default_model.clone().unwrap_or_default(),
                    engine.reason.clone().unwrap_or_default(),
                ]
            })
            .collect();
        let columns = [Whole("id"), Cut("name"), Whole("available"), Spare("default model"), Cut("reason")];
        output.table(&columns, &rows);
    });
    Ok(())
}
