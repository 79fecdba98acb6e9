//! Reads and steers runs in the database of this machine, for commands that need no server. A status
//! changes only through `flow::advance`.

use tg_core::{
    ids::RunId,
    lifecycle::Signal,
    protocol::{ProtocolRun, StepRun},
    scope::Scope,
    wire::EventOut,
};
use tg_server::{
    api::convert,
    app::App,
    flow::{self, Cause},
    store,
};

use super::CliError;

/// A run and its steps, as they are in one moment.
pub async fn load(app: &App, id: RunId) -> Result<(ProtocolRun, Vec<StepRun>), CliError> {
    let mut tx = app.db.read().await?;
    let run = store::protocol::load(&mut tx, &Scope::All, id).await?;
    let steps = store::step::list(&mut tx, &Scope::All, id).await?;
    Ok((run, steps))
}

/// Sends a signal for a run, as a person on this machine, in a transaction of its own.
pub async fn advance(app: &App, id: RunId, signal: Signal) -> Result<(), CliError> {
    let mut tx = app.db.begin().await?;
    let cause = Cause { actor: Some("cli"), ..Cause::default() };
    flow::advance(app, &mut tx, id, signal, &cause).await?;
    tx.commit().await?;
    app.wake.notify();
    Ok(())
}

/// Events, newest first.
pub async fn timeline(
    app: &App,
    filter: &store::event::Filter,
    limit: i64,
) -> Result<Vec<EventOut>, CliError> {
    let mut tx = app.db.read().await?;
    let events = store::event::list(&mut tx, &Scope::All, filter, limit).await?;
    Ok(events.iter().map(convert::event).collect())
}
