//! A whole application in one line, for journeys: real git with a bare remote, real database, real
//! processes, scripted agent. Speaks the user's words; waits for nothing but the work itself.

mod setup;
mod view;
mod work;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicI64},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tg_core::{
    ids::{ProjectId, RunId},
    job::{Job, Priority},
    lifecycle::{Decision, Enqueue, Signal, Source},
    project::{ModelDefaults, Project},
};

pub use self::{setup::Setup, work::Worker};
use crate::{
    app::App,
    db::dialect::args,
    flow::{self, Cause, FlowError},
    git::sample,
    queue,
    store::{self, protocol::NewRun},
    wake::Wake,
};

/// Time of the application's clock at its start, milliseconds since the epoch.
pub const NOW: i64 = 1_800_000_000_000;

/// A world of its own; everything in it goes when it is dropped.
pub struct TestApp {
    /// The application.
    pub app: App,
    clock: Arc<AtomicI64>,
    /// The one project.
    pub project: Project,
    /// The user's checkout.
    pub checkout: PathBuf,
    /// Its bare remote.
    pub remote: PathBuf,
    folder: TempDir,
}

impl TestApp {
    /// The usual world.
    pub async fn new(shim: &str) -> Self {
        Setup::new(shim).make().await
    }

    /// Folder of the world.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Creates a run of the dummy engine that advances by itself, with a scenario as its model.
    pub async fn create(&self, name: &str, scenario: Option<&str>) -> RunId {
        self.create_as(self.usual(name, scenario)).await
    }

    /// What `create` creates, to be changed.
    pub fn usual(&self, name: &str, scenario: Option<&str>) -> NewRun {
        let model = scenario.map(str::to_owned);
        NewRun {
            project_id: self.project.id,
            protocol_name: name.to_owned(),
            status: tg_core::status::FirstStatus::Pending,
            auto_advance: true,
            engine: Some("dummy".to_owned()),
            models: ModelDefaults { exec: model.clone(), qa: model, ..ModelDefaults::default() },
            base_branch: Some(sample::BRANCH.to_owned()),
            description: Some("Say hello".to_owned()),
            sandbox_off: false,
        }
    }

    /// Changes the spec entry of a step, as a person would by hand.
    pub async fn edit_spec(&self, run: RunId, step: &str, change: impl Fn(&mut Value)) {
        let mut config = self.run(run).await.template_config.expect("the run is planned");
        let steps = config["protocol_spec"]["steps"].as_array_mut().expect("a spec has steps");
        steps.iter_mut().filter(|entry| entry["name"] == step).for_each(change);
        let mut tx = self.app.db.begin().await.expect("begins");
        let text = "UPDATE protocol_runs SET template_config = $1 WHERE id = $2";
        tx.execute(text, args![config.to_string(), run.0]).await.expect("the row is updated");
        tx.commit().await.expect("commits");
    }

    /// Says how a step is judged.
    pub async fn set_qa_policy(&self, run: RunId, step: &str, policy: &str) {
        self.edit_spec(run, step, |entry| entry["qa"]["policy"] = Value::from(policy)).await;
    }

    /// Gives the dummy engine another script from now on.
    pub fn replace_script(&self, script: &Value) {
        std::fs::write(self.folder.path().join("script.json"), script.to_string())
            .expect("the script is written");
    }

    /// Creates a run as told.
    pub async fn create_as(&self, new: NewRun) -> RunId {
        let mut tx = self.app.db.begin().await.expect("begins");
        let run = store::protocol::insert(&mut tx, &tg_core::scope::Scope::All, &new, self.app.clock.now())
            .await
            .expect("a run is inserted");
        tx.commit().await.expect("commits");
        run.id
    }

    /// A person sends a signal.
    pub async fn signal(&self, run: RunId, signal: Signal) -> Result<Vec<Decision>, FlowError> {
        let mut tx = self.app.db.begin().await.map_err(store::StoreError::from)?;
        let cause = Cause { actor: Some("ada"), ..Cause::default() };
        let decisions = flow::advance(&self.app, &mut tx, run, signal, &cause).await?;
        tx.commit().await.map_err(store::StoreError::from)?;
        self.app.wake.notify();
        Ok(decisions)
    }

    /// A person starts a run.
    pub async fn start(&self, run: RunId) {
        self.signal(run, Signal::Start).await.expect("the run may start");
    }

    /// A person pauses a run.
    pub async fn pause(&self, run: RunId) {
        self.signal(run, Signal::Pause { reason: None }).await.expect("the run may pause");
    }

    /// A person resumes a run.
    pub async fn resume(&self, run: RunId) {
        self.signal(run, Signal::Resume { reason: None }).await.expect("the run may resume");
    }

    /// A person cancels a run.
    pub async fn cancel(&self, run: RunId) {
        self.signal(run, Signal::Cancel { reason: None }).await.expect("the run may be cancelled");
    }

    /// A person approves a step.
    pub async fn approve(&self, run: RunId, step: &str) {
        let step = self.step(run, step).await.id;
        let signal = Signal::Approve { step, note: Some("looks right".to_owned()) };
        self.signal(run, signal).await.expect("the step may be approved");
    }

    /// A person runs a step.
    pub async fn run_step(&self, run: RunId, step: &str) {
        let step = self.step(run, step).await.id;
        self.signal(run, Signal::RunStep { step, source: Source::Api }).await.expect("the step may run");
    }

    /// A person asks for the push again.
    pub async fn push_again(&self, run: RunId) {
        let what = Enqueue { job: Job::OpenPullRequest { protocol_run_id: run }, priority: Priority::User };
        let mut tx = self.app.db.begin().await.expect("begins");
        queue::enqueue(&mut tx, &what, Some(self.project.id), Duration::ZERO, None)
            .await
            .expect("the push is queued");
        tx.commit().await.expect("commits");
    }

    /// A person cancels a run from another process: nobody here is told.
    pub async fn cancel_from_afar(&self, run: RunId) {
        let elsewhere = App { wake: Wake::default(), ..self.app.clone() };
        let mut tx = elsewhere.db.begin().await.expect("begins");
        let cancel = Signal::Cancel { reason: None };
        flow::advance(&elsewhere, &mut tx, run, cancel, &Cause::default())
            .await
            .expect("the run may be cancelled");
        tx.commit().await.expect("commits");
    }

    /// Id of the one project.
    pub fn project_id(&self) -> ProjectId {
        self.project.id
    }
}
