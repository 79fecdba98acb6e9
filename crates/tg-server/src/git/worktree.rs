//! Worktrees of runs: made from the base commit, reused by the same run, bound to a fence, removed
//! only on proof.

use std::path::PathBuf;

use tg_core::ids::{Fence, RunId};

use super::{GitError, Repository};

/// A run's worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worktree {
    /// Absolute path.
    pub path: PathBuf,
    /// Run.
    pub run: RunId,
    /// Branch = protocol name.
    pub branch: String,
    /// Commit it was cut from.
    pub base_sha: String,
}

impl Repository {
    /// Makes (or reuses, for the same run) the worktree at `path` on branch `branch` from `base_sha`.
    /// A tree that a dead attempt left dirty is saved as a patch (returned) and reset to the branch's
    /// tip, so that each attempt starts from our own commit.
    pub async fn ensure_worktree(
        &self,
        path: PathBuf,
        run: RunId,
        branch: &str,
        base_sha: &str,
        fence: Fence,
    ) -> Result<(Worktree, Option<Vec<u8>>), GitError> {
        todo!()
    }
}
