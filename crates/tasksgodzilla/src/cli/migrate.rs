//! `migrate`: brings the database to the schema of this version. Every other command does so too; this
//! one does nothing else.

use std::collections::BTreeMap;

use clap::Args;

use super::{CliError, Global};
use crate::{
    output::Output,
    start::{self, Chatter},
};

/// Nothing to choose.
#[derive(Debug, Args)]
pub struct MigrateArgs {}

/// Runs the command.
pub async fn run(global: &Global, _args: MigrateArgs, output: &Output) -> Result<(), CliError> {
    let config = start::config(global, BTreeMap::new(), Chatter::Command, output)?;
    start::database(&config).await?;
    if output.is_json() {
        output.json(&serde_json::json!({ "migrated": true }));
    } else {
        output.line("the database has the schema of this version");
    }
    Ok(())
}
