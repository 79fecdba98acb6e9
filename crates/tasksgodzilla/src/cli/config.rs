//! `config show`: every setting, its value without secrets, and where it comes from.

use std::collections::BTreeMap;

use clap::Subcommand;
use serde::Serialize;

use super::{CliError, Global};
use crate::{
    output::{
        Column::{Cut, Whole},
        Output,
    },
    start::{self, Chatter},
};

/// Settings.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Show every setting, its value without secrets, and where it comes from.
    Show,
}

#[derive(Serialize)]
struct Row<'a> {
    variable: &'a str,
    key: &'a str,
    value: &'a str,
    source: &'a str,
}

/// Runs the command.
pub fn run(global: &Global, command: ConfigCommand, output: &Output) -> Result<(), CliError> {
    let ConfigCommand::Show = command;
    let config = start::config(global, BTreeMap::new(), Chatter::Command, output)?;
    let rows: Vec<_> = config
        .shown
        .iter()
        .map(|shown| Row {
            variable: shown.variable,
            key: &shown.key,
            value: &shown.value,
            source: shown.source,
        })
        .collect();
    output.show(&rows, |output| {
        let cells: Vec<_> = rows
            .iter()
            .map(|row| vec![row.variable.to_owned(), row.value.to_owned(), row.source.to_owned()])
            .collect();
        output.table(&[Whole("variable"), Cut("value"), Whole("source")], &cells);
    });
    Ok(())
}
