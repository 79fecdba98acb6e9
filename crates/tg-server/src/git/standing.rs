//! Where the branch of a run stands: its tip, what is not committed, how far it is from its base.
//! Looks only: takes no lock, changes no index, and holds nobody up who works there.

use std::path::PathBuf;

use tg_core::ids::{Fence, JobId, RunId};

use super::{
    GitError, Repository,
    builder::Subcommand,
    control::branch,
    status,
    worktree::{Holder, Worktree},
};

/// Most bytes of a list of changed files that are read.
const LISTING_CAP: usize = 1024 * 1024;

/// Where a run's branch stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its newest commit.
    pub head: String,
    /// Paths that are not committed; the first ones.
    pub changed: Vec<Vec<u8>>,
    /// There are more than are listed.
    pub is_cut: bool,
    /// Commits that the base does not have.
    pub ahead: u64,
    /// Commits of the base that the run does not have.
    pub behind: u64,
}

impl Worktree {
    /// A worktree to look at. Nobody holds it by this: every write by it is refused.
    pub fn seen(path: PathBuf, run: RunId, branch: &str, base_sha: &str) -> Self {
        Self {
            path,
            run,
            branch: branch.to_owned(),
            base_sha: base_sha.to_owned(),
            holder: Holder { job: JobId(String::new()), fence: Fence(0) },
        }
    }
}

impl Repository {
    /// Newest commit on the branch of a run.
    ///
    /// # Errors
    /// `GitError::Missing` when the control repository or the run's branch is not there.
    pub async fn tip_of(&self, tree: &Worktree) -> Result<String, GitError> {
        if !self.notes().join("ready").is_file() {
            return Err(GitError::Missing(format!(
                "run {} has no repository here; start it, or start a new run if its folder was removed",
                tree.run
            )));
        }
        self.check_owner(tree)?;
        self.branch_tip(tree).await
    }

    /// Compares a worktree with its branch, and the branch with its base as it was last fetched.
    ///
    /// # Errors
    /// As `tip_of`, or when git fails.
    pub async fn standing(&self, tree: &Worktree, base: &str, most: usize) -> Result<Standing, GitError> {
        let head = self.tip_of(tree).await?;
        let listing = self.tree_call(tree, Subcommand::Status).args(status::FORM).cap(LISTING_CAP);
        let (listing, is_cut) = listing.beginning().await?;
        let end = listing.iter().rposition(|&byte| byte == 0).map_or(0, |at| at + 1);
        let mut changed: Vec<Vec<u8>> =
            status::read(&listing[..end]).entries.into_iter().map(|(_, path)| path).collect();
        let is_cut = is_cut || changed.len() > most;
        changed.truncate(most);
        let (ahead, behind) = self.distance(tree, base, &head).await?;
        Ok(Standing { head, changed, is_cut, ahead, behind })
    }

    async fn distance(&self, tree: &Worktree, base: &str, head: &str) -> Result<(u64, u64), GitError> {
        let tracked = branch(base)?.tracking_ref("origin");
        let base = match self.find_ref(&tracked).await? {
            Some(sha) => sha,
            // The branch is gone from the remote: what is left of it is where the run began.
            None => super::control::commit_id(&tree.base_sha)?,
        };
        let counted = self
            .call(Subcommand::RevList)
            .args(["--left-right", "--count", "--end-of-options", &format!("{base}...{head}"), "--"])
            .output()
            .await?;
        let counted = String::from_utf8_lossy(&counted);
        let (behind, ahead) = counted
            .trim_end()
            .split_once('\t')
            .and_then(|(left, right)| Some((left.parse().ok()?, right.parse().ok()?)))
            .ok_or_else(|| GitError::Failed { command: "rev-list", tail: "no counts".to_owned() })?;
        Ok((ahead, behind))
    }
}
