//! An application, projects and runs to measure with: the real worker in this process, the dummy engine
//! as the real child of the real binary, a bare remote for each project.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tempfile::TempDir;
use tg_core::{
    ids::RunId,
    lifecycle::Signal,
    project::{ModelDefaults, Project},
    protocol::ProtocolRun,
    scope::Scope,
    status::ProtocolStatus,
};
use tg_server::{
    app::App,
    config::{Config, Inputs},
    db::Db,
    engine::sandbox,
    flow::{self, Cause},
    git::sample,
    store, worker,
};
use tokio_util::sync::CancellationToken;

/// Work steps of a measured run.
pub const STEPS: usize = 5;
/// A measurement that takes longer is broken.
pub const LIMIT: Duration = Duration::from_mins(5);
/// Between two looks at a run.
pub const LOOK: Duration = Duration::from_millis(20);

/// Folder, application, and the worker that runs in it.
pub struct World {
    pub app: App,
    pub folder: TempDir,
    looks: AtomicU64,
    stop: CancellationToken,
    worker: Option<tokio::task::JoinHandle<Result<(), store::StoreError>>>,
}

impl World {
    /// With the settings given, and `script` for the dummy engine.
    pub async fn new(settings: &[(&str, &str)], script: &serde_json::Value) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
        let path = folder.path().join("script.json");
        std::fs::write(&path, script.to_string())?;
        let mut environment = BTreeMap::from([
            ("TASKSGODZILLA_HOME".to_owned(), folder.path().join("home").display().to_string()),
            ("TASKSGODZILLA_DUMMY_SCRIPT".to_owned(), path.display().to_string()),
            ("HOME".to_owned(), folder.path().display().to_string()),
            ("PATH".to_owned(), "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ]);
        environment.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let inputs = Inputs {
            environment,
            own_binary: PathBuf::from(env!("CARGO_BIN_EXE_tasksgodzilla")),
            directory: folder.path().to_owned(),
            ..Inputs::default()
        };
        let config = Config::resolve(&inputs)?;
        for directory in [&config.home.root, &config.home.projects, &config.home.runs] {
            std::fs::create_dir_all(directory)?;
        }
        let db = Db::open(config.database_url.expose(), config.database_pool).await?;
        db.migrate().await?;
        let sandbox = sandbox::probe(&config.search_path).await;
        let app = App::new(config, db, sandbox);
        Ok(Self { app, folder, looks: AtomicU64::new(0), stop: CancellationToken::new(), worker: None })
    }

    /// Starts the worker.
    pub fn work(&mut self) {
        self.worker = Some(tokio::spawn(worker::run(self.app.clone(), self.stop.clone())));
    }

    /// Stops the worker and waits for it.
    pub async fn rest(&mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        if let Some(worker) = self.worker.take() {
            worker.await??;
        }
        Ok(())
    }

    /// A project with a repository and a bare remote.
    pub async fn project(&self, name: &str) -> anyhow::Result<Project> {
        let checkout = self.folder.path().join(name);
        let remote = self.folder.path().join(format!("{name}.git"));
        sample::make(Path::new("git"), &checkout, &remote).await?;
        let new = store::project::NewProject {
            name: name.to_owned(),
            git_url: remote.display().to_string(),
            local_path: Some(checkout.display().to_string()),
            base_branch: sample::BRANCH.to_owned(),
            ci_provider: None,
            default_models: ModelDefaults::default(),
        };
        let mut tx = self.app.db.begin().await?;
        let project = store::project::insert(&mut tx, &new, self.app.clock.now()).await?;
        tx.commit().await?;
        Ok(project)
    }

    /// A run of a project, not yet started.
    pub async fn run(&self, project: &Project, name: &str) -> anyhow::Result<ProtocolRun> {
        let new = store::protocol::NewRun {
            project_id: project.id,
            protocol_name: name.to_owned(),
            status: tg_core::status::FirstStatus::Pending,
            auto_advance: true,
            engine: Some("dummy".to_owned()),
            models: ModelDefaults::default(),
            base_branch: Some(sample::BRANCH.to_owned()),
            description: Some("Measure".to_owned()),
            sandbox_off: false,
        };
        let mut tx = self.app.db.begin().await?;
        let run = store::protocol::insert(&mut tx, &Scope::All, &new, self.app.clock.now()).await?;
        tx.commit().await?;
        Ok(run)
    }

    /// Starts a run.
    pub async fn start(&self, run: RunId) -> anyhow::Result<()> {
        let mut tx = self.app.db.begin().await?;
        flow::advance(&self.app, &mut tx, run, Signal::Start, &Cause::default()).await?;
        tx.commit().await?;
        self.app.wake.notify();
        Ok(())
    }

    /// Waits until a run is completed; anything else it may end in is an error.
    pub async fn completed(&self, run: RunId) -> anyhow::Result<()> {
        let began = Instant::now();
        while !self.is_completed(run).await? {
            ensure!(began.elapsed() < LIMIT, "run {run} takes too long");
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// How often somebody asked so far; the bench's own doing.
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }

    /// Whether a run is completed; anything else that it may end in is an error.
    pub async fn is_completed(&self, run: RunId) -> anyhow::Result<bool> {
        self.looks.fetch_add(1, Ordering::Relaxed);
        let mut tx = self.app.db.read().await?;
        let found = store::protocol::load(&mut tx, &Scope::All, run).await?;
        drop(tx);
        match found.status {
            ProtocolStatus::Completed => Ok(true),
            ProtocolStatus::Blocked | ProtocolStatus::Failed | ProtocolStatus::Cancelled => {
                let reason = found.status_reason.context("a run that rests says why")?;
                anyhow::bail!("run {run} is {}: {reason:?}", found.status);
            }
            ProtocolStatus::Pending
            | ProtocolStatus::Planning
            | ProtocolStatus::Planned
            | ProtocolStatus::Running
            | ProtocolStatus::Paused => Ok(false),
        }
    }
}

/// A script without latency: a plan of so many work steps, each of which writes a file and passes.
pub fn script(steps: usize) -> serde_json::Value {
    let file = |number: usize, name: &str| {
        json!({
            "filename": format!("{number:02}-{name}.md"),
            "content": format!("# {name}\n\n## Briefing\nDo it.\n\n## Sub-tasks\n- do\n\n## Workflow\n- look\n"),
        })
    };
    let mut files = vec![file(0, "setup")];
    files.extend((1..=steps).map(|number| file(number, "work")));
    let plan =
        json!({"plan_md": "# Plan\n", "context_md": "# Context\n", "log_md": "# Log\n", "step_files": files});
    json!([
        {"match": {"phase": "plan", "step": ""}, "do": [{"structured": plan}]},
        {"match": {"phase": "qa"}, "do": [{"final": "Looked.\n\nVerdict: PASS"}]},
    ])
}
