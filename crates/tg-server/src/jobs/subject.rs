//! What a job is about, loaded once when it starts. Reads only.

use tg_core::{
    ids::{RunId, StepId},
    project::Project,
    protocol::{ProtocolRun, StepRun},
    scope::Scope,
};

use tokio_util::sync::CancellationToken;

use crate::{
    app::App,
    queue::Lease,
    store::{self, StoreError},
};

/// One try of a job at its subject: what every part of it is handed.
#[derive(Clone, Copy)]
pub struct Attempt<'a> {
    /// The application.
    pub app: &'a App,
    /// The right to do it; every write shows it.
    pub lease: &'a Lease,
    /// Ends the try and its processes.
    pub cancel: &'a CancellationToken,
    /// What it is about.
    pub subject: &'a Subject,
}

/// A run with its project and steps as they are now.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Owner of the run.
    pub project: Project,
    /// The run.
    pub run: ProtocolRun,
    /// Its steps by index.
    pub steps: Vec<StepRun>,
}

impl Subject {
    /// Loads a run.
    pub async fn of_run(app: &App, run: RunId) -> Result<Self, StoreError> {
        Self::seen_by(app, &Scope::All, run).await
    }

    /// Loads a run for somebody who sees this scope.
    pub async fn seen_by(app: &App, scope: &Scope, run: RunId) -> Result<Self, StoreError> {
        let mut tx = app.db.read().await?;
        let run = store::protocol::load(&mut tx, scope, run).await?;
        let project = store::project::load(&mut tx, &Scope::All, run.project_id).await?;
        let steps = store::step::list(&mut tx, &Scope::All, run.id).await?;
        Ok(Self { project, run, steps })
    }

    /// Loads the run of a step, and the step itself.
    pub async fn of_step(app: &App, step: StepId) -> Result<(Self, StepRun), StoreError> {
        let mut tx = app.db.read().await?;
        let step = store::step::load(&mut tx, &Scope::All, step).await?;
        drop(tx);
        Ok((Self::of_run(app, step.protocol_run_id).await?, step))
    }

    /// Text before the first `-` of the protocol's name, as shown in commits and prompts.
    pub fn number(&self) -> &str {
        tg_core::naming::protocol_number(&self.run.protocol_name)
    }
}
