//! One run of the scripted engine on a repository with a remote, and what must be true of it whatever
//! happened on the way.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use serde_json::Value;

use crate::env::{Ended, TestEnv, wait_until};

/// Branch and protocol name of the run.
pub const BRANCH: &str = "0001-do-it";

/// Lease of a job in these stories, in seconds.
const LEASE: &str = "2";

/// A state directory, a repository and its remote.
pub struct Story {
    pub env: TestEnv,
    /// Its project and its run: the first of both, unless another story was told there before.
    pub id: i64,
    pub repository: PathBuf,
    pub remote: PathBuf,
}

/// What a run left, in a form that two runs can be compared by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Left {
    /// Subject and trailers of each commit, oldest first.
    pub commits: Vec<String>,
    /// Names of all files on the branch.
    pub files: Vec<String>,
    /// Engine calls by kind, whatever became of them.
    pub calls: BTreeMap<String, usize>,
}

impl Story {
    pub fn new() -> Self {
        let mut env = TestEnv::new();
        let (repository, remote) = env.repository_with_remote("repo");
        env.set("TASKSGODZILLA_LEASE_SECONDS", LEASE).set("TASKSGODZILLA_SCHEDULER_INTERVAL_SECONDS", "0.2");
        Self { env, id: 1, repository, remote }
    }

    /// With a script for the scripted engine.
    pub fn scripted(rules: &Value) -> Self {
        let mut story = Self::new();
        story.script(rules);
        story
    }

    /// From now on the scripted engine follows this script.
    pub fn script(&mut self, rules: &Value) {
        let path = self.env.path("script.json");
        std::fs::write(&path, rules.to_string()).unwrap();
        self.env.set("TASKSGODZILLA_DUMMY_SCRIPT", path.to_str().unwrap());
    }

    /// The command line that begins the run.
    pub fn begin(&self) -> [&str; 6] {
        ["run", "--engine", "dummy", "--repo", self.repository.to_str().unwrap(), "do it"]
    }

    /// The command line that leads it on.
    pub const fn go_on() -> [&'static str; 3] {
        ["run", "--continue", "1"]
    }

    pub fn list(&self, arguments: &[&str]) -> Vec<Value> {
        let mut all = arguments.to_vec();
        all.push("--json");
        self.env.ask(&all).ok().json().as_array().unwrap().clone()
    }

    /// The run.
    pub fn run(&self) -> Value {
        self.env.ask(&["protocols", "show", &self.id.to_string(), "--json"]).ok().json()
    }

    /// Its events, oldest first.
    pub fn events(&self) -> Vec<Value> {
        let mut events = self.list(&["events", "recent", "--limit", "500"]);
        events.reverse();
        events
    }

    /// Its engine calls.
    pub fn calls(&self) -> Vec<Value> {
        self.list(&["runs", "list", "--protocol", &self.id.to_string(), "--limit", "500"])
    }

    /// The worktree of the run.
    pub fn worktree(&self) -> PathBuf {
        self.env.home().join(format!("projects/{}/worktrees/{BRANCH}", self.id))
    }

    /// Home of the engine: agents of all attempts share it and nothing else.
    pub fn engine_home(&self) -> PathBuf {
        self.env.home().join(format!("engines/{}/dummy", self.id))
    }

    /// Names of what lies beside the state directory: nothing is added there by a run.
    pub fn around(&self) -> BTreeSet<String> {
        std::fs::read_dir(self.env.path("."))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name != "home")
            .collect()
    }

    /// Lines of a file that agents keep in their home.
    pub fn noted(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.engine_home().join(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// What the run left.
    pub fn left(&self) -> Left {
        let format =
            "--format=%s | %(trailers:key=TG-Step,separator=%x2C) | %(trailers:key=TG-Qa,separator=%x2C)";
        let range = format!("main..{BRANCH}");
        let lines = |text: String| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let mut calls = BTreeMap::new();
        for call in self.calls() {
            *calls.entry(call["run_kind"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        Left {
            commits: lines(self.env.git(&self.remote, &["log", "--reverse", format, &range])),
            files: lines(self.env.git(&self.remote, &["ls-tree", "-r", "--name-only", BRANCH])),
            calls,
        }
    }

    /// Fails the test unless the run completed once and only once, and nothing was lost on the way:
    /// one commit per step, the pushed branch is the run's head, no event is missing, rows and commits
    /// are what the events say, nobody works any more.
    pub fn completed_once(&self, said: &Ended) -> Left {
        let run = self.run();
        assert_eq!(run["status"], "completed", "{run}\n{said:?}");
        let left = self.left();
        let steps: Vec<_> = left.commits.iter().filter_map(|line| line.split(" | ").nth(1)).collect();
        let steps: Vec<_> = steps.into_iter().filter(|trailer| !trailer.is_empty()).collect();
        let different: BTreeSet<_> = steps.iter().collect();
        assert_eq!((steps.len(), different.len()), (4, 4), "the plan and three steps: {left:?}");
        let pushed = self.env.git(&self.remote, &["rev-parse", BRANCH]);
        assert_eq!(run["head_sha"], pushed.trim());
        let is_pushed = |line: &str| line.split_whitespace().eq(["pushed", "yes"]);
        assert!(said.stdout.lines().any(is_pushed), "{said:?}");
        self.nothing_lost();
        self.nobody_works();
        left
    }

    /// Fails the test unless the run rests in a state that is what it says: completed, or at a halt with
    /// its reason. Nobody works any more and nothing is lost.
    #[track_caller]
    pub fn ended_honestly(&self, said: &Ended) -> Value {
        let run = self.run();
        match run["status"].as_str().unwrap() {
            "completed" => drop(self.completed_once(said)),
            "blocked" | "failed" => {
                assert!(run["status_reason"]["message"].is_string(), "{run}");
                said.refused(1, run["status_reason"]["code"].as_str().unwrap());
            }
            other => panic!("the run is {other}: {said:?}"),
        }
        self.nothing_lost();
        self.nobody_works();
        run
    }

    /// Events are without a gap, and `verify` finds chain, rows and commits whole.
    pub fn nothing_lost(&self) {
        let events = self.events();
        let at = |event: &Value, key: &str| usize::try_from(event[key].as_i64().unwrap()).unwrap();
        let of_project: Vec<_> = events.iter().filter(|event| event["project_id"] == self.id).collect();
        for (index, event) in of_project.iter().enumerate() {
            assert_eq!(at(event, "project_seq"), index + 1, "{events:#?}");
        }
        assert!(of_project.len() > 3 && of_project.len() < 500, "{}", of_project.len());
        let verified = self.env.run(&["verify", "--json"]);
        assert_eq!(verified.ok().json()["first_bad"], Value::Null);
        let open: Vec<_> = self.calls().into_iter().filter(|call| call["status"] == "running").collect();
        assert!(open.is_empty(), "{open:#?}");
    }

    /// No process of this state directory is left.
    #[track_caller]
    pub fn nobody_works(&self) {
        wait_until("every process of the run is gone", Duration::from_secs(10), || {
            self.env.processes().is_empty()
        });
    }
}
