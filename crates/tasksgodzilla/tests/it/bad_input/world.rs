//! A repository, a state directory and an engine that misbehaves as told; and what must hold after
//! every bad input: blocked with a reason, nothing touched, nothing left running.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::env::{Ended, TestEnv};

/// Killed processes may take a moment to leave the process table.
const GONE: Duration = Duration::from_secs(3);

/// What a command at work does next takes at most this long.
const COMES: Duration = Duration::from_secs(30);

/// A step that is too simple to be broken down.
pub const WORK: &str = "# Work\n\n## Sub-tasks\n- Write a file.\n";

/// Every file of a folder with its mode and content.
pub type Snapshot = BTreeMap<PathBuf, (u32, Vec<u8>)>;

/// A place for one test.
pub struct World {
    pub env: TestEnv,
    pub repository: PathBuf,
    pub remote: Option<PathBuf>,
    before: Snapshot,
}

impl World {
    /// A repository with a bare remote.
    pub fn new() -> Self {
        let env = TestEnv::new();
        let (repository, remote) = env.repository_with_remote("checkout");
        Self::with(env, repository, Some(remote))
    }

    pub fn with(env: TestEnv, repository: PathBuf, remote: Option<PathBuf>) -> Self {
        let before = snapshot(&repository);
        Self { env, repository, remote, before }
    }

    /// Takes the checkout as it is now for the state that must not change.
    pub fn remember(&mut self) {
        self.before = snapshot(&self.repository);
    }

    /// What the dummy engine does; the first rule that fits is played.
    pub fn script(&mut self, rules: &Value) {
        let path = self.env.path("script.json");
        fs::write(&path, rules.to_string()).unwrap();
        self.env.set("TASKSGODZILLA_DUMMY_SCRIPT", path.to_str().unwrap());
    }

    /// A `codex` that does this, as a shell script.
    pub fn codex(&mut self, body: &str) -> PathBuf {
        let path = self.env.path("engine/codex");
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/bash\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.env.set("TASKSGODZILLA_CODEX_BIN", path.to_str().unwrap());
        path
    }

    /// Arguments of `run` on the repository.
    pub fn arguments<'a>(&'a self, engine: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let repository = self.repository.to_str().unwrap();
        let mut arguments = vec!["run", "--engine", engine, "--json", "--repo", repository];
        arguments.extend(more);
        arguments.push("Do the work");
        arguments
    }

    /// Runs a task.
    pub fn run(&self, engine: &str, more: &[&str]) -> Ended {
        self.env.run(&self.arguments(engine, more))
    }

    /// A list command as JSON.
    pub fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = arguments.to_vec();
        all.push("--json");
        self.env.ask(&all).ok().json().as_array().unwrap().clone()
    }

    /// Engine calls of a run with their attempts, oldest first.
    pub fn calls(&self, run: &Value) -> Vec<Value> {
        let id = run["id"].to_string();
        let mut calls = self.list(&["runs", "list", "--protocol", &id, "--limit", "500"]);
        calls.reverse();
        calls
    }

    pub fn steps(&self, run: &Value) -> Vec<Value> {
        self.list(&["steps", "list", "--protocol", &run["id"].to_string()])
    }

    /// The run that the command left blocked, after everything that must hold then was checked.
    #[track_caller]
    pub fn blocked(&self, ended: &Ended, code: &str, sentence: &str) -> Value {
        ended.refused(1, &format!("blocked ({code}): "));
        let cause = ended.stderr.lines().find(|line| line.starts_with("error: ")).unwrap();
        assert!(cause.contains(sentence), "{sentence} not in {cause}");
        let hint = ended.stderr.lines().find(|line| line.starts_with("hint: ")).unwrap();
        assert!(hint.len() > 20, "{hint}");
        let run = ended.json();
        let shown = self.env.ask(&["protocols", "show", &run["id"].to_string(), "--json"]).ok().json();
        assert_eq!(shown["status"], "blocked", "{shown}");
        assert_eq!(shown["status_reason"]["code"], code, "{shown}");
        assert!(shown["status_reason"]["message"].as_str().unwrap().contains(sentence), "{shown}");
        self.sound();
        run
    }

    /// What holds after every command: checkout untouched, nothing running, history whole.
    #[track_caller]
    pub fn sound(&self) {
        self.untouched();
        self.nothing_running();
        self.env.run(&["verify"]).ok();
    }

    /// The person's checkout, its git dir included, is as it was, byte for byte.
    #[track_caller]
    pub fn untouched(&self) {
        let now = snapshot(&self.repository);
        let differs: Vec<_> = self
            .before
            .keys()
            .chain(now.keys())
            .filter(|path| self.before.get(*path) != now.get(*path))
            .collect();
        assert!(differs.is_empty(), "changed in the checkout: {differs:?}");
    }

    /// No process carries a trace of this test: in its environment, arguments or directory.
    #[track_caller]
    pub fn nothing_running(&self) {
        let deadline = Instant::now() + GONE;
        loop {
            let left = running(&self.env.path(""));
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left running: {left:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Subjects of the commits on a run's branch at the remote, oldest first.
    pub fn pushed(&self, run: &Value) -> Vec<String> {
        let Some(remote) = &self.remote else { return Vec::new() };
        let branch = run["protocol_name"].as_str().unwrap();
        let known = self.env.git(remote, &["branch", "--list", "--format=%(refname:short)", branch]);
        if known.trim().is_empty() {
            return Vec::new();
        }
        let log = self.env.git(remote, &["log", "--reverse", "--format=%s", &format!("main..{branch}")]);
        log.lines().map(str::to_owned).collect()
    }
}

/// Reads a folder without git, which would refresh its index.
pub fn snapshot(folder: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    let mut open = vec![folder.to_owned()];
    while let Some(path) = open.pop() {
        let data = fs::symlink_metadata(&path).unwrap();
        let content = if data.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if data.is_symlink() {
            fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else {
            fs::read(&path).unwrap()
        };
        found.insert(path, (data.permissions().mode(), content));
    }
    found
}

/// Processes that carry a path in environment, arguments or working directory.
fn running(path: &Path) -> Vec<String> {
    let wanted = path.to_str().unwrap().trim_end_matches('/').as_bytes().to_vec();
    let holds = |text: &[u8]| text.windows(wanted.len()).any(|part| part == wanted);
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == own || !name.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        // A process may end while it is looked at.
        let read = |file: &str| fs::read(entry.path().join(file)).unwrap_or_default();
        let directory = fs::read_link(entry.path().join("cwd")).unwrap_or_default();
        let arguments = read("cmdline");
        if holds(&read("environ")) || holds(&arguments) || holds(directory.as_os_str().as_bytes()) {
            found.push(format!("{name}: {}", String::from_utf8_lossy(&arguments).replace('\0', " ")));
        }
    }
    found
}

/// A planner's answer with these step files.
pub fn plan(files: &[(&str, &str)]) -> Value {
    let files: Vec<_> =
        files.iter().map(|(name, content)| json!({"filename": name, "content": content})).collect();
    json!({"plan_md": "# Plan\n", "context_md": "# Context\n", "log_md": "# Log\n", "step_files": files})
}

/// A file of the run's worktree, if there is a worktree and the file.
pub fn in_worktree(run: &Value, file: &str) -> Option<PathBuf> {
    let path = Path::new(run["worktree_path"].as_str()?).join(file);
    path.exists().then_some(path)
}

/// Waits for something that a command at work does, for a time.
#[track_caller]
pub fn wait_until(done: impl Fn() -> bool) {
    let deadline = Instant::now() + COMES;
    while !done() {
        assert!(Instant::now() < deadline, "it does not come to that");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Plan, steps and reports are committed once each.
#[track_caller]
pub fn once_each(pushed: &[String]) {
    let wanted = [
        "feat(protocol): add plan for 0001-do-the-work [protocol-0001/00]",
        "chore(protocol): 00-setup.md [protocol-0001/00]",
        "chore(protocol): 01-work.md [protocol-0001/01]",
        "chore(protocol): qa 01-work.md [protocol-0001/01]",
    ];
    assert_eq!(pushed, wanted);
}
