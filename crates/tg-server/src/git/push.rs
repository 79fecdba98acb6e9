//! Publishes exactly one branch of ours, never by force. Takes no address from a repository.

use super::{
    GitError, Pushed, Repository,
    builder::Subcommand,
    control::{commit_id, own_branch},
    explain,
    worktree::Worktree,
};

impl Repository {
    /// Pushes exactly `refs/heads/<branch>` to the project's URL. A remote that has the commit
    /// already is `Done`, too.
    ///
    /// # Errors
    /// `GitError::Remote` when the remote refuses or cannot be reached, `GitError::Fenced` when the
    /// worktree has a newer holder.
    pub async fn push(&self, tree: &Worktree) -> Result<Pushed, GitError> {
        self.publish(tree, true).await
    }

    /// As `push`, for somebody who does not work in the tree: pushes what is committed and leaves
    /// whoever holds the worktree undisturbed.
    ///
    /// # Errors
    /// `GitError::Remote` when the remote refuses or cannot be reached.
    pub async fn push_committed(&self, tree: &Worktree) -> Result<Pushed, GitError> {
        self.publish(tree, false).await
    }

    async fn publish(&self, tree: &Worktree, as_holder: bool) -> Result<Pushed, GitError> {
        let Some(url) = self.destination()? else { return Ok(Pushed::NoRemote) };
        let branch = own_branch(&tree.branch)?.full_ref();
        let _lock = self.lock_run(tree.run).await?;
        if as_holder {
            tree.check_holder()?;
        }
        self.check_owner(tree)?;
        let sha = commit_id(&self.branch_tip(tree).await?)?;
        let output = self
            .call(Subcommand::Push)
            .remote(&url)
            .args([
                "--porcelain",
                "--no-verify",
                "--no-signed",
                "--no-follow-tags",
                "--recurse-submodules=no",
            ])
            .arg("--end-of-options")
            .args([url.as_str(), &format!("{sha}:{branch}")])
            .run()
            .await?;
        if output.status == Some(0) {
            return Ok(Pushed::Done(sha));
        }
        let report = String::from_utf8_lossy(&output.stdout);
        let Some(refused) = report.lines().find(|line| line.starts_with('!')) else {
            return Err(explain::remote(&url, &output));
        };
        let remedy = if refused.contains("fetch first") || refused.contains("non-fast-forward") {
            "it holds commits on this branch that are not ours; move them away or delete that branch there"
        } else {
            "see what the remote says; its rules may protect the branch"
        };
        Err(GitError::Remote(format!(
            "{url} refused the branch {}: {}; {remedy}. git: {}",
            tree.branch,
            refused.rsplit('\t').next().unwrap_or_default(),
            explain::tail(&output.stderr)
        )))
    }
}
