//! The only place that runs `git`, always through the control repository: git dir, index and
//! configuration outside the worktree, typed refs and URLs, explicit refspecs. The `.git` an agent
//! can write is never read.

pub mod inventory;
pub mod sample;
pub mod worktree;

use std::path::{Path, PathBuf};

use tg_core::ids::{ProjectId, RunId};

use crate::process::{ProcessError, Wrap};

/// Oldest git whose flags we rely on.
pub const MINIMUM_VERSION: (u32, u32) = (2, 38);

/// Why git could not do it; fit to be shown: cause, remedy, redacted tail of its output.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// git is absent or too old.
    #[error("{0}")]
    Unusable(String),
    /// Not a repository, no such path, no base branch: a person must act.
    #[error("{0}")]
    Missing(String),
    /// The remote refused or could not be reached.
    #[error("{0}")]
    Remote(String),
    /// git failed otherwise.
    #[error("git {command} failed: {tail}")]
    Failed {
        /// Subcommand.
        command: &'static str,
        /// Redacted tail of its output.
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
    /// Path of `git`.
    pub program: PathBuf,
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

/// Version of git, checked against `MINIMUM_VERSION`.
pub async fn version(program: &Path) -> Result<String, GitError> {
    todo!()
}

/// What a path or URL given by a person is: the project's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `Project.git_url`: origin of the checkout, or the path itself when it has none.
    pub git_url: String,
    /// The checkout, when a path was given.
    pub local_path: Option<PathBuf>,
    /// The checkout has an origin.
    pub has_remote: bool,
    /// Branch the checkout is on, or the remote's default branch.
    pub default_branch: Option<String>,
    /// Uncommitted changes in the checkout: allowed, never touched; worth saying.
    pub dirty: bool,
}

/// Looks at a path or URL without running anything the repository configures.
pub async fn inspect(program: &Path, given: &str, directory: &Path) -> Result<Source, GitError> {
    todo!()
}

impl Repository {
    /// Makes the control repository if absent and fetches; resolves `origin/<base>` (or the local
    /// base of a repository without a remote) to a commit.
    pub async fn fetch_base(&self, base: &str) -> Result<String, GitError> {
        todo!()
    }

    /// Names of all branches on the remote (for numbering).
    pub async fn remote_branches(&self) -> Result<Vec<String>, GitError> {
        todo!()
    }

    /// Stages everything in the worktree into the run's index and commits if the tree differs from
    /// the branch's. `None` = nothing to commit. The agent's `.git` is refreshed afterwards.
    pub async fn commit(
        &self,
        tree: &worktree::Worktree,
        commit: &NewCommit,
    ) -> Result<Option<String>, GitError> {
        todo!()
    }

    /// Stages everything and says which paths differ from the branch's tip, with status letters
    /// (porcelain form), at most `limit`.
    pub async fn changes(&self, tree: &worktree::Worktree, limit: usize) -> Result<Vec<String>, GitError> {
        todo!()
    }

    /// Unified diff from a commit to the branch's tip, at most `cap` bytes, says when cut.
    pub async fn diff(&self, tree: &worktree::Worktree, from: &str, cap: usize) -> Result<String, GitError> {
        todo!()
    }

    /// Pushes exactly `refs/heads/<branch>` to the project's URL.
    pub async fn push(&self, tree: &worktree::Worktree) -> Result<Pushed, GitError> {
        todo!()
    }

    /// Commit and subject at the branch's tip.
    pub async fn tip(&self, tree: &worktree::Worktree) -> Result<(String, String), GitError> {
        todo!()
    }

    /// Finds a commit between `base` and the tip whose message carries this trailer (a step that was
    /// committed before a crash).
    pub async fn find_trailer(
        &self,
        tree: &worktree::Worktree,
        base: &str,
        key: &str,
        value: &str,
    ) -> Result<Option<String>, GitError> {
        todo!()
    }
}

/// Path of the index of a run (outside the worktree).
pub fn index_path(control: &Path, run: RunId) -> PathBuf {
    control.with_file_name("index").join(run.to_string())
}
