//! `verify`: the event chain is whole. (Rows and commits are compared too.)

use clap::Args;
use serde_json::json;
use tg_server::store;

use super::{CliError, Global};
use crate::{output::Output, start};

/// What to verify.
#[derive(Debug, Args)]
pub struct VerifyArgs {}

/// Runs the command.
pub async fn run(global: &Global, _args: VerifyArgs, output: &Output) -> Result<(), CliError> {
    let app = start::steering(global, output).await?;
    let mut tx = app.db.read().await?;
    let chain = store::event::verify(&mut tx, None).await?;
    let bad = chain.first_bad.as_ref().map(|(seq, why)| format!("event {seq}: {why}"));
    output.show(&json!({ "events": chain.checked, "first_bad": bad }), |output| {
        output.line(&format!("{} events checked", chain.checked));
    });
    match bad {
        None => Ok(()),
        Some(bad) => Err(CliError::failed(bad).hint("restore the database from a backup")),
    }
}
