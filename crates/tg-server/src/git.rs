//! The only place that runs `git`, always through the control repository: git dir, index and
//! configuration outside the worktree, typed refs and URLs, explicit refspecs. The `.git` an agent
//! can write is never read.

mod address;
mod agent_view;
mod builder;
mod commit;
mod control;
mod diff;
mod explain;
mod history;
mod inspect;
mod inventory;
mod lock;
mod push;
pub mod sample;
mod standing;
mod status;
mod version;
pub mod worktree;

use std::path::{Path, PathBuf};

use tg_core::ids::{ProjectId, RunId};

use crate::process::{ProcessError, Wrap};

pub use address::Hosts;
pub use builder::processes;
pub use diff::{Beginning, FileChange, Span};
pub use inspect::{Source, inspect};
pub use standing::Standing;
pub use version::{MINIMUM_VERSION, version};

/// Why git could not do it; fit to be shown: cause, remedy, tail of its output.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// git is absent or too old.
    #[error("{0}")]
    Unusable(String),
    /// Not a repository, no such path, no base branch, a name we refuse: a person must act.
    #[error("{0}")]
    Missing(String),
    /// The remote refused or could not be reached.
    #[error("{0}")]
    Remote(String),
    /// Somebody with a newer right holds the worktree: write nothing.
    #[error("{0}")]
    Fenced(String),
    /// git failed otherwise.
    #[error("git {command} failed: {tail}")]
    Failed {
        /// Subcommand.
        command: &'static str,
        /// Tail of its output.
        tail: String,
    },
    /// The process could not be run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A file could not be written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

/// Everything needed to run git for one run of one project. Plain data, made per job.
#[derive(Debug, Clone)]
pub struct Repository {
    /// `git`, absolute or looked up on the `PATH` of `environment`.
    pub program: PathBuf,
    /// What a call that talks to a remote is given (`PATH`, `HOME`, `SSH_AUTH_SOCK`, proxies); every
    /// other call gets nothing of it.
    pub environment: Vec<(String, String)>,
    /// Which hosts a remote may lie on.
    pub hosts: Hosts,
    /// Bare control git dir of the project.
    pub control: PathBuf,
    /// Where the project's repository comes from (`Project.git_url`).
    pub git_url: String,
    /// The user's checkout, if any: read as a source of objects, never written.
    pub local_path: Option<PathBuf>,
    /// Confinement for commands that touch worktree files (no network).
    pub wrap: Wrap,
    /// Name and mail of our commits.
    pub identity: (String, String),
    /// Wall limit of one call.
    pub timeout: std::time::Duration,
    /// Ids for the control index path.
    pub project: ProjectId,
}

/// A commit to make.
#[derive(Debug, Clone)]
pub struct NewCommit {
    /// Subject line.
    pub subject: String,
    /// Trailers in order.
    pub trailers: Vec<(String, String)>,
}

/// What a push did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// The remote has this commit now (or had it already).
    Done(String),
    /// There is no remote: nothing pushed.
    NoRemote,
}

/// Git dir of a run: its own `HEAD` and index, objects and branches shared with the control
/// repository around it, so that a wrap which grants the control directory grants all of it.
pub fn run_git_dir(control: &Path, run: RunId) -> PathBuf {
    control.join("worktrees").join(run.to_string())
}

/// Path of the index of a run (outside the worktree).
pub fn index_path(control: &Path, run: RunId) -> PathBuf {
    run_git_dir(control, run).join("index")
}
