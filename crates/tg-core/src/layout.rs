//! Where things lie: path arithmetic only, no file is touched.
//! The only place that joins these names.

use std::path::{Path, PathBuf};

use crate::ids::{CallId, ProjectId};

/// The state directory (`TASKSGODZILLA_HOME`) and the roots below or beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// State directory.
    pub root: PathBuf,
    /// Clones and worktrees (`TASKSGODZILLA_PROJECTS_ROOT`).
    pub projects: PathBuf,
    /// Call logs and artifacts (`TASKSGODZILLA_RUNS_DIR`).
    pub runs: PathBuf,
}

impl Home {
    /// All roots below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self { projects: root.join("projects"), runs: root.join("runs"), root }
    }

    /// SQLite file.
    pub fn database(&self) -> PathBuf {
        self.root.join("tasksgodzilla.sqlite")
    }

    /// Held by the process that serves this state directory.
    pub fn serve_lock(&self) -> PathBuf {
        self.root.join("serve.lock")
    }

    /// Address of the process that serves this state directory.
    pub fn serve_url(&self) -> PathBuf {
        self.root.join("url")
    }

    /// Admin token of the API, made at the first start; only its owner can read it.
    pub fn admin_token(&self) -> PathBuf {
        self.root.join("token")
    }

    /// Key that seals project secrets, where no setting gives one.
    pub fn secret_key(&self) -> PathBuf {
        self.root.join("secret.key")
    }

    /// Bare git dir that is our truth for a project.
    pub fn control_repo(&self, project: ProjectId) -> PathBuf {
        self.root.join("control").join(format!("{project}.git"))
    }

    /// Worktree of a run.
    pub fn worktree(&self, project: ProjectId, protocol_name: &str) -> PathBuf {
        self.projects.join(project.to_string()).join("worktrees").join(protocol_name)
    }

    /// Home of one engine for one project: never below the temp dir, never shared.
    pub fn engine_home(&self, project: ProjectId, engine: &str) -> PathBuf {
        self.root.join("engines").join(project.to_string()).join(engine)
    }

    /// Folder of one call.
    pub fn call_dir(&self, call: &CallId) -> PathBuf {
        self.runs.join(&call.0)
    }

    /// Judges' prompts, captured before an agent runs, and their reports; invisible to agents.
    pub fn judges(&self) -> PathBuf {
        self.root.join("judges")
    }

    /// Raw, redacted output of one call.
    pub fn call_log(&self, call: &CallId) -> PathBuf {
        self.call_dir(call).join("logs.txt")
    }
}

/// Folder of a protocol below its worktree.
pub fn protocol_root(protocol_name: &str) -> PathBuf {
    Path::new(".protocols").join(protocol_name)
}

/// Default output of a step below the protocol folder; `stem` is the step name without `.md`.
pub fn step_output(stem: &str) -> PathBuf {
    Path::new("outputs").join(format!("{stem}.md"))
}

/// QA report of a step below the protocol folder.
pub fn step_report(stem: &str) -> PathBuf {
    Path::new("reports").join(format!("{stem}.md"))
}

/// Plan of a protocol, below its folder.
pub const PLAN_FILE: &str = "plan.md";
/// State of a protocol, below its folder.
pub const CONTEXT_FILE: &str = "context.md";
/// Diary of a protocol, below its folder.
pub const LOG_FILE: &str = "log.md";
/// Newest QA report, below the protocol folder.
pub const QUALITY_REPORT: &str = "quality-report.md";
/// Scratch below the protocol folder; never committed.
pub const SCRATCH_DIR: &str = ".tmp";

/// Path of one role's prompt in a repository.
pub fn prompt_file(role: &str) -> PathBuf {
    Path::new("prompts").join(format!("{role}.prompt.md"))
}

/// Step name without `.md`: what outputs and reports are named by.
pub fn step_stem(step_name: &str) -> &str {
    step_name.strip_suffix(".md").unwrap_or(step_name)
}
