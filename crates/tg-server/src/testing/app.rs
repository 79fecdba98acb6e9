//! A whole application in one line, for journeys: real git with a bare remote, real database, real
//! processes, scripted agent. Speaks the user's words; waits for nothing but the work itself.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tg_core::{
    ids::{CallId, ProjectId, RunId},
    job::{Job, JobStatus, Priority},
    lifecycle::{Decision, Enqueue, Signal, Source},
    project::{ModelDefaults, Project},
    protocol::{ProtocolRun, StepRun},
    scope::Scope,
};

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::require;
use crate::{
    app::{App, Clock},
    config::{Config, Inputs},
    db::{Db, dialect::args},
    engine::sandbox::{self, Sandbox},
    flow::{self, Cause, FlowError},
    git::sample,
    jobs::{self, Answer, JobError},
    queue::{self, Lease},
    secret::Secret,
    store::{
        self, StoreError, artifact::Artifact, call::Call, event::StoredEvent, project::NewProject,
        protocol::NewRun,
    },
    wake::Wake,
    worker::{self, heartbeat::Held, scheduler},
};

/// Time of the application's clock at its start, milliseconds since the epoch.
pub const NOW: i64 = 1_800_000_000_000;

/// How a world differs from the usual one.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Binary that knows `__supervise` and `__dummy` (`env!("CARGO_BIN_EXE_tg-shim")`).
    pub shim: PathBuf,
    /// Script of the dummy engine: a list of `{"match": …, "do": […]}`.
    pub script: Value,
    /// The repository has a remote.
    pub has_remote: bool,
    /// Settings by variable.
    pub settings: Vec<(&'static str, String)>,
    /// Another database than SQLite in the world's folder.
    pub database: Option<String>,
    /// What to say of the sandbox instead of looking.
    pub sandbox: Option<Sandbox>,
}

impl Setup {
    /// The usual world: dummy engine without a script, bare remote, SQLite.
    pub fn new(shim: &str) -> Self {
        Self {
            shim: PathBuf::from(shim),
            script: Value::Array(Vec::new()),
            has_remote: true,
            settings: Vec::new(),
            database: None,
            sandbox: None,
        }
    }

    /// Plays this script.
    #[must_use]
    pub fn script(mut self, script: Value) -> Self {
        self.script = script;
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn set(mut self, variable: &'static str, value: &str) -> Self {
        self.settings.push((variable, value.to_owned()));
        self
    }

    /// A repository without a remote.
    #[must_use]
    pub fn without_remote(mut self) -> Self {
        self.has_remote = false;
        self
    }

    /// Makes the world.
    ///
    /// # Panics
    /// When the machine lacks git or a writable target directory.
    pub async fn make(self) -> TestApp {
        let base = self.shim.parent().and_then(Path::parent).expect("the shim lies in target/<profile>");
        // Not the system's temporary directory: agents get one of their own in its place.
        let base = base.join("tmp");
        std::fs::create_dir_all(&base).expect("the target directory is writable");
        let folder =
            tempfile::Builder::new().prefix("world-").tempdir_in(base).expect("a temporary directory");
        let (checkout, remote) = (folder.path().join("checkout"), folder.path().join("remote.git"));
        sample::make(Path::new("git"), &checkout, &remote).await.expect("git makes a sample");
        if !self.has_remote {
            std::fs::write(
                checkout.join(".git/config"),
                "[core]\n\trepositoryformatversion = 0\n\tbare = false\n",
            )
            .expect("the checkout is writable");
        }
        let script = folder.path().join("script.json");
        std::fs::write(&script, self.script.to_string()).expect("the script is written");
        let mut config = self.config(folder.path());
        config.dummy_script = Some(script);
        if let Some(url) = &self.database {
            config.database_url = Secret::new(url.clone());
        }
        for path in [&config.home.root, &config.home.projects, &config.home.runs] {
            std::fs::create_dir_all(path).expect("the state directory is made");
        }
        let db =
            Db::open(config.database_url.expose(), config.database_pool).await.expect("the database opens");
        db.migrate().await.expect("the schema applies");
        let sandbox = match self.sandbox {
            Some(sandbox) => sandbox,
            None => sandbox::probe(&config.search_path).await,
        };
        let clock = Arc::new(AtomicI64::new(NOW));
        let app = App {
            config: Arc::new(config),
            db,
            clock: Clock::Fixed(clock.clone()),
            wake: Wake::default(),
            sandbox: Arc::new(sandbox),
        };
        let remote_url = remote.display().to_string();
        let checkout_text = checkout.display().to_string();
        let project = NewProject {
            name: "sample".to_owned(),
            git_url: if self.has_remote { remote_url } else { checkout_text.clone() },
            local_path: Some(checkout_text),
            base_branch: sample::BRANCH.to_owned(),
            default_models: ModelDefaults::default(),
        };
        let mut tx = app.db.begin().await.expect("begins");
        let project = store::project::insert(&mut tx, &project, NOW).await.expect("a project is inserted");
        tx.commit().await.expect("commits");
        TestApp { app, clock, project, checkout, remote, folder }
    }

    fn config(&self, folder: &Path) -> Config {
        let home = folder.join("state").display().to_string();
        let mut environment = BTreeMap::from([
            ("TASKSGODZILLA_HOME".to_owned(), home),
            ("HOME".to_owned(), folder.display().to_string()),
            ("PATH".to_owned(), require::variable("PATH").unwrap_or_default()),
        ]);
        let own = self.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        environment.extend(own);
        let inputs = Inputs {
            environment,
            directory: folder.to_owned(),
            own_binary: self.shim.clone(),
            ..Inputs::default()
        };
        Config::resolve(&inputs).expect("the settings of the test are valid")
    }
}

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
            auto_advance: true,
            engine: Some("dummy".to_owned()),
            models: ModelDefaults { exec: model.clone(), qa: model, ..ModelDefaults::default() },
            base_branch: sample::BRANCH.to_owned(),
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
        let run =
            store::protocol::insert(&mut tx, &new, self.app.clock.now()).await.expect("a run is inserted");
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

    /// Works on everything that is due, one job after another, until nothing is. Returns how many.
    ///
    /// # Panics
    /// When jobs follow from jobs without an end.
    #[expect(clippy::panic, reason = "a test that runs in a circle must end")]
    pub async fn run_pending_jobs(&self) -> usize {
        let (held, owner) = (Held::default(), worker::new_owner());
        for count in 0..200 {
            let taken = worker::take(&self.app, &owner, &held).await.expect("a job can be claimed");
            let Some((lease, slot)) = taken else { return count };
            self.clock.fetch_add(1000, Ordering::SeqCst);
            worker::carry(self.app.clone(), held.clone(), lease, slot).await;
        }
        panic!("jobs follow from jobs without an end:\n{}", self.timelines().await);
    }

    /// Works on one due job; `false` when there is none.
    pub async fn run_one_job(&self) -> bool {
        let (held, owner) = (Held::default(), worker::new_owner());
        let taken = worker::take(&self.app, &owner, &held).await.expect("a job can be claimed");
        let Some((lease, slot)) = taken else { return false };
        worker::carry(self.app.clone(), held, lease, slot).await;
        true
    }

    /// Claims one due job and does nothing with it: what a worker holds that is about to die.
    pub async fn take(&self) -> Option<Lease> {
        let (held, owner) = (Held::default(), worker::new_owner());
        let taken = worker::take(&self.app, &owner, &held).await.expect("a job can be claimed");
        taken.map(|(lease, _slot)| lease)
    }

    /// Does the work of a held job and tells nobody: its worker dies before it can answer.
    pub async fn work_and_die(&self) -> Result<Option<Answer>, JobError> {
        let lease = self.take().await.expect("a job is due");
        jobs::run(&self.app, &lease, &CancellationToken::new()).await
    }

    /// Does the work of a held job and writes down how it ended.
    pub async fn finish(&self, lease: Lease) {
        let held = Held::default();
        let slot = held.add(&lease, std::time::Instant::now() + Duration::from_secs(3600));
        worker::carry(self.app.clone(), held, lease, slot).await;
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

    /// Lets time pass on the application's clock.
    pub fn pass(&self, time: Duration) {
        self.clock.fetch_add(i64::try_from(time.as_millis()).expect("a short time"), Ordering::SeqCst);
    }

    /// How many jobs are in a state.
    pub async fn jobs(&self, status: JobStatus) -> usize {
        let mut tx = self.app.db.read().await.expect("reads");
        queue::list(&mut tx, Some(status), 500).await.expect("jobs are listed").len()
    }

    /// How many plan jobs are in a state.
    pub async fn plans(&self, status: JobStatus) -> usize {
        let mut tx = self.app.db.read().await.expect("reads");
        let jobs = queue::list(&mut tx, Some(status), 500).await.expect("jobs are listed");
        jobs.iter().filter(|row| matches!(row.job, Job::PlanProtocol { .. })).count()
    }

    /// Loses every queued job, as a mistake of ours would.
    pub async fn forget_queued_jobs(&self) {
        let mut tx = self.app.db.begin().await.expect("begins");
        tx.execute("DELETE FROM jobs WHERE state = 'queued'", args![]).await.expect("jobs are deleted");
        tx.commit().await.expect("commits");
    }

    /// Queues house-keeping and does it.
    pub async fn keep_house(&self) {
        let what = Enqueue { job: Job::Maintenance, priority: Priority::Automatic };
        let mut tx = self.app.db.begin().await.expect("begins");
        queue::enqueue(&mut tx, &what, None, Duration::ZERO, None).await.expect("it is queued");
        tx.commit().await.expect("commits");
        self.run_pending_jobs().await;
    }

    /// Takes back what dead workers held.
    pub async fn rescue(&self) -> usize {
        self.expire_leases().await;
        scheduler::rescue(&self.app).await.expect("jobs can be rescued")
    }

    /// Starts a worker in the background.
    pub fn worker(&self, patience: Duration) -> Worker {
        let stop = CancellationToken::new();
        let task = tokio::spawn(worker::run_with(self.app.clone(), stop.clone(), patience));
        Worker { stop, task }
    }

    /// Waits until something is so.
    ///
    /// # Panics
    /// When it is not so after half a minute.
    #[expect(clippy::panic, reason = "a test that waits for nothing must end")]
    pub async fn until<F: Future<Output = bool>>(&self, what: &str, mut is_so: impl FnMut() -> F) {
        let began = std::time::Instant::now();
        while !is_so().await {
            if began.elapsed() > Duration::from_secs(30) {
                panic!("waited in vain: {what}\n{}", self.timelines().await);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the timeline of a run holds this event (of a step, if one is named).
    pub async fn until_event(&self, run: RunId, kind: &str, step: Option<&str>) {
        self.until(kind, || async {
            let events = self.events(run).await;
            let names = |event: &StoredEvent| event.metadata.get("step_name").cloned();
            events.iter().any(|event| {
                event.event_type == kind && (step.is_none() || names(event) == step.map(Value::from))
            })
        })
        .await;
    }

    /// Ids of processes that belong to calls of this world.
    pub fn processes(&self) -> Vec<String> {
        let mark = self.app.config.home.root.display().to_string();
        let entries = std::fs::read_dir("/proc").expect("there is a /proc");
        let mut found = Vec::new();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_process = name.chars().all(|digit| digit.is_ascii_digit());
            // A process may end between the two looks.
            let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
            let is_ours = String::from_utf8_lossy(&environment).contains(&format!("={mark}\0"));
            if is_process && is_ours {
                found.push(name);
            }
        }
        found
    }

    /// Lets the time of every back-off pass; returns the delays in seconds, rounded.
    pub async fn skip_back_off(&self) -> Vec<i64> {
        let mut tx = self.app.db.begin().await.expect("begins");
        let now = tx.now().await.expect("the database has a clock");
        let rows = tx
            .all("SELECT run_at FROM jobs WHERE state = 'queued' AND run_at > $1 ORDER BY run_at", args![now])
            .await
            .expect("jobs are listed");
        let delay = |row: &crate::db::dialect::Row| {
            let at = row.int("run_at").expect("a column of the table").expect("never null");
            (at - now + 500) / 1000
        };
        let delays = rows.iter().map(delay).collect();
        tx.execute("UPDATE jobs SET run_at = $1 WHERE state = 'queued'", args![now])
            .await
            .expect("jobs are updated");
        tx.commit().await.expect("commits");
        delays
    }

    /// Lets every lease run out, as if all workers had died.
    pub async fn expire_leases(&self) {
        let mut tx = self.app.db.begin().await.expect("begins");
        tx.execute("UPDATE jobs SET lease_until = 1 WHERE state = 'started'", args![])
            .await
            .expect("jobs are updated");
        tx.commit().await.expect("commits");
    }

    /// Works through back-offs too, until nothing is queued. Returns the delays met.
    pub async fn run_to_rest(&self) -> Vec<i64> {
        let mut delays = Vec::new();
        loop {
            self.run_pending_jobs().await;
            let met = self.skip_back_off().await;
            if met.is_empty() {
                return delays;
            }
            delays.extend(met);
        }
    }

    /// The run as it is.
    pub async fn run(&self, run: RunId) -> ProtocolRun {
        let mut tx = self.app.db.read().await.expect("reads");
        store::protocol::load(&mut tx, &Scope::All, run).await.expect("the run is there")
    }

    /// Its steps by index.
    pub async fn steps(&self, run: RunId) -> Vec<StepRun> {
        let mut tx = self.app.db.read().await.expect("reads");
        store::step::list(&mut tx, &Scope::All, run).await.expect("the steps are listed")
    }

    /// One step by name.
    ///
    /// # Panics
    /// When there is no such step.
    pub async fn step(&self, run: RunId, name: &str) -> StepRun {
        let steps = self.steps(run).await;
        steps.into_iter().find(|step| step.step_name == name).expect("there is such a step")
    }

    /// Its calls, oldest first.
    pub async fn calls(&self, run: RunId) -> Vec<Call> {
        let mut tx = self.app.db.read().await.expect("reads");
        let filter = store::call::Filter { run: Some(run), ..store::call::Filter::default() };
        let mut calls =
            store::call::list(&mut tx, &Scope::All, &filter, 500).await.expect("calls are listed");
        calls.reverse();
        calls
    }

    /// Files of a call by name.
    pub async fn artifacts(&self, call: &CallId) -> Vec<Artifact> {
        let mut tx = self.app.db.read().await.expect("reads");
        store::artifact::list(&mut tx, &Scope::All, call).await.expect("files are listed")
    }

    /// Its events, oldest first.
    pub async fn events(&self, run: RunId) -> Vec<StoredEvent> {
        let mut tx = self.app.db.read().await.expect("reads");
        let filter = store::event::Filter { run: Some(run), ..store::event::Filter::default() };
        let mut events =
            store::event::list(&mut tx, &Scope::All, &filter, 500).await.expect("events are listed");
        events.reverse();
        events
    }

    /// Wire words of its events, oldest first.
    pub async fn event_types(&self, run: RunId) -> Vec<String> {
        self.events(run).await.into_iter().map(|event| event.event_type).collect()
    }

    /// Where run and steps stand: `running | 00-setup.md completed | …`.
    pub async fn standing(&self, run: RunId) -> String {
        let mut text = String::new();
        let row = self.run(run).await;
        text.push_str(row.status.as_str());
        if let Some(reason) = &row.status_reason {
            text.push_str(&format!(" ({})", reason.code));
        }
        for step in self.steps(run).await {
            text.push_str(&format!(" | {} {}", step.step_name, step.status));
            if let Some(reason) = &step.status_reason {
                text.push_str(&format!(" ({})", reason.code));
            }
        }
        text
    }

    /// The whole story as text: every event with its sentence and transitions, names and fingerprints
    /// that differ from run to run replaced.
    pub async fn timeline(&self, run: RunId) -> String {
        let steps = self.steps(run).await;
        let name = |entity: &str, id: i64| match entity {
            "step_run" => steps
                .iter()
                .find(|step| step.id.0 == id)
                .map_or_else(|| format!("step {id}"), |step| step.step_name.clone()),
            _ => "run".to_owned(),
        };
        let mut text = String::new();
        for event in self.events(run).await {
            text.push_str(&format!("{}: {}", event.event_type, event.message));
            let moved = event.metadata.get("transitions").and_then(Value::as_array);
            let word =
                |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
            for transition in moved.into_iter().flatten() {
                let id = transition.get("id").and_then(Value::as_i64).unwrap_or_default();
                let entity = name(&word(transition, "entity"), id);
                let (from, to) = (word(transition, "from"), word(transition, "to"));
                text.push_str(&format!("\n    {entity}: {from} -> {to}"));
            }
            text.push('\n');
        }
        self.normalised(&text)
    }

    async fn timelines(&self) -> String {
        let mut tx = self.app.db.read().await.expect("reads");
        let runs = store::protocol::list(&mut tx, &Scope::All, None, 10).await.expect("runs are listed");
        drop(tx);
        let mut text = String::new();
        for run in runs {
            text.push_str(&self.timeline(run.id).await);
        }
        text
    }

    /// Replaces what differs from run to run: folders, commits, ids, fingerprints.
    pub fn normalised(&self, text: &str) -> String {
        let text = text.replace(&self.folder.path().display().to_string(), "<world>");
        let mut out = String::new();
        let mut word = String::new();
        for character in text.chars().chain(['\n']) {
            if character.is_ascii_alphanumeric() || character == '-' {
                word.push(character);
                continue;
            }
            out.push_str(placeholder(&word).unwrap_or(&word));
            word.clear();
            out.push(character);
        }
        out.pop();
        out
    }

    /// What git says about the remote (or the checkout, when there is none): `git <arguments>` there.
    pub async fn git(&self, folder: &Path, arguments: &[&str]) -> String {
        let output = crate::process::run(crate::process::Command {
            program: PathBuf::from("git"),
            arguments: arguments.iter().map(Into::into).collect(),
            environment: [("PATH", require::variable("PATH").unwrap_or_default())]
                .into_iter()
                .chain([
                    ("GIT_CONFIG_GLOBAL", "/dev/null".to_owned()),
                    ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
                ])
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
            directory: folder.to_owned(),
            input: Vec::new(),
            wrap: crate::process::Wrap::None,
            timeout: Duration::from_secs(30),
            output_cap: 8 * 1024 * 1024,
        })
        .await
        .expect("git runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Subjects of the commits of a run on the remote, oldest first.
    pub async fn pushed(&self, name: &str) -> Vec<String> {
        let range = format!("{}..refs/heads/{name}", sample::BRANCH);
        let log = self.git(&self.remote, &["log", "--reverse", "--format=%s", &range, "--"]).await;
        log.lines().map(str::to_owned).collect()
    }

    /// A file of a run's worktree as text; `None` when it is not there.
    pub async fn file(&self, run: RunId, relative: &str) -> Option<String> {
        let tree = self.run(run).await.worktree_path?;
        std::fs::read_to_string(Path::new(&tree).join(relative)).ok()
    }

    /// Id of the one project.
    pub fn project_id(&self) -> ProjectId {
        self.project.id
    }
}

/// A worker in the background; stop it before the world ends.
pub struct Worker {
    stop: CancellationToken,
    task: JoinHandle<Result<(), StoreError>>,
}

impl Worker {
    /// Stops it and waits for its end.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("the worker does not panic").expect("the worker ends well");
    }
}

/// What stands for a word that differs from run to run.
fn placeholder(word: &str) -> Option<&'static str> {
    let is_hex = |text: &str| text.chars().all(|character| character.is_ascii_hexdigit());
    if uuid::Uuid::parse_str(word).is_ok() {
        Some("<id>")
    } else if word.len() == 40 && is_hex(word) {
        Some("<commit>")
    } else if word.len() == 12 && is_hex(word) {
        Some("<print>")
    } else {
        None
    }
}
