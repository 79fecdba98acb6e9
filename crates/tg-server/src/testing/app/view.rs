//! Looks at a world: rows, timeline, files, git. Changes nothing.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tg_core::{
    ids::{CallId, RunId},
    job::{Job, JobStatus},
    protocol::{ProtocolRun, StepRun},
    scope::Scope,
};

use super::TestApp;
use crate::{
    git::sample,
    process, queue,
    store::{self, artifact::Artifact, call::Call, event::StoredEvent},
    testing::require,
};

/// Why writing to a string is no matter.
const TEXT: &str = "writing to a string cannot fail";

impl TestApp {
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
            write!(text, " ({})", reason.code).expect(TEXT);
        }
        for step in self.steps(run).await {
            write!(text, " | {} {}", step.step_name, step.status).expect(TEXT);
            if let Some(reason) = &step.status_reason {
                write!(text, " ({})", reason.code).expect(TEXT);
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
            write!(text, "{}: {}", event.event_type, event.message).expect(TEXT);
            let moved = event.metadata.get("transitions").and_then(Value::as_array);
            let word =
                |value: &Value, key: &str| value.get(key).and_then(Value::as_str).unwrap_or("?").to_owned();
            for transition in moved.into_iter().flatten() {
                let id = transition.get("id").and_then(Value::as_i64).unwrap_or_default();
                let entity = name(&word(transition, "entity"), id);
                let (from, to) = (word(transition, "from"), word(transition, "to"));
                write!(text, "\n    {entity}: {from} -> {to}").expect(TEXT);
            }
            text.push('\n');
        }
        self.normalised(&text)
    }

    pub(super) async fn timelines(&self) -> String {
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
        let output = process::run(process::Command {
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
            wrap: process::Wrap::None,
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
