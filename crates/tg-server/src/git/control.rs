//! The control repository of a project: made empty, filled by fetches, never configured by others.
//! Touches no worktree.

use std::path::PathBuf;

use tg_core::{
    ids::RunId,
    naming::{BranchName, LocalRemotes, ProtocolName, RemoteUrl, Transport},
};

use super::{GitError, Repository, builder::Subcommand, lock};

/// What is never committed, whatever a worktree says.
pub(super) const EXCLUDE: &str = ".protocols/*/.tmp/\n";

/// Most branch names shown in an error.
const SHOWN_BRANCHES: usize = 12;

impl Repository {
    /// Makes the control repository if absent and fetches; resolves `origin/<base>` (or the local
    /// base of a repository without a remote) to a commit.
    ///
    /// # Errors
    /// `GitError::Missing` when repository or base branch are not there, `GitError::Remote` when
    /// the remote cannot be asked.
    pub async fn fetch_base(&self, base: &str) -> Result<String, GitError> {
        let base = branch(base)?;
        let source = self.source()?;
        let _lock = self.lock_project().await?;
        self.ensure_control().await?;
        let mut call = self.call(Subcommand::Fetch).remote(&source).args([
            "--quiet",
            "--no-tags",
            "--prune",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
        ]);
        if matches!(source.transport(), Transport::File) {
            // A shallow checkout on this machine is as good as it is.
            call = call.arg("--update-shallow");
        }
        call.args(["--end-of-options", source.as_str(), "+refs/heads/*:refs/remotes/origin/*"])
            .remote_output(&source)
            .await?;
        self.resolve_base(&base, &source).await
    }

    async fn resolve_base(&self, base: &BranchName, source: &RemoteUrl) -> Result<String, GitError> {
        let listed = self
            .call(Subcommand::ForEachRef)
            .args(["--format=%(objectname) %(refname:lstrip=3)", "refs/remotes/origin/"])
            .output()
            .await?;
        let listed = String::from_utf8_lossy(&listed);
        let branches: Vec<(&str, &str)> = listed.lines().filter_map(|line| line.split_once(' ')).collect();
        if let Some((sha, _)) = branches.iter().find(|(_, name)| *name == base.as_str()) {
            return commit_id(sha);
        }
        if branches.is_empty() {
            return Err(GitError::Missing(format!(
                "{source} has no commits yet; make a first commit on {} and try again",
                base.as_str()
            )));
        }
        let mut names: Vec<&str> = branches.iter().map(|(_, name)| *name).collect();
        let more = names.len().saturating_sub(SHOWN_BRANCHES);
        names.truncate(SHOWN_BRANCHES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        Err(GitError::Missing(format!(
            "{source} has no branch {:?}; it has {}{more}. Name one of them as base",
            base.as_str(),
            names.join(", ")
        )))
    }

    /// Names of all branches on the remote (for numbering); of the checkout when there is none.
    ///
    /// # Errors
    /// As `fetch_base`.
    pub async fn remote_branches(&self) -> Result<Vec<String>, GitError> {
        let source = self.source()?;
        let listed = super::builder::Call::new(self.starter(), Subcommand::LsRemote)
            .remote(&source)
            .args(["--quiet", "--heads", "--end-of-options", source.as_str()])
            .remote_output(&source)
            .await?;
        Ok(String::from_utf8_lossy(&listed)
            .lines()
            .filter_map(|line| line.split_once("\trefs/heads/"))
            .map(|(_, name)| name.to_owned())
            .collect())
    }

    /// Where commits come from.
    pub(super) fn source(&self) -> Result<RemoteUrl, GitError> {
        let url = address(&self.git_url)?;
        if let Some(path) = url.local_path()
            && !path.exists()
        {
            return Err(GitError::Missing(format!(
                "the repository {} is not there any more; put it back or register it anew",
                path.display()
            )));
        }
        Ok(url)
    }

    /// Where commits go; `None` when the project is a checkout without a remote.
    pub(super) fn destination(&self) -> Result<Option<RemoteUrl>, GitError> {
        let url = address(&self.git_url)?;
        let (Some(path), Some(checkout)) = (url.local_path(), &self.local_path) else {
            return Ok(Some(url));
        };
        let same = path == *checkout
            || matches!((path.canonicalize(), checkout.canonicalize()), (Ok(a), Ok(b)) if a == b);
        Ok((!same).then_some(url))
    }

    /// Folder of our own notes in the control repository; git ignores it.
    pub(super) fn notes(&self) -> PathBuf {
        self.control.join("tasksgodzilla")
    }

    pub(super) async fn lock_project(&self) -> Result<lock::Lock, GitError> {
        lock::take(&self.control.with_extension("lock"), self.timeout).await
    }

    pub(super) async fn lock_run(&self, run: RunId) -> Result<lock::Lock, GitError> {
        lock::take(&self.notes().join(format!("run-{run}.lock")), self.timeout).await
    }

    async fn ensure_control(&self) -> Result<(), GitError> {
        let ready = self.notes().join("ready");
        if ready.is_file() {
            return Ok(());
        }
        std::fs::create_dir_all(&self.control)?;
        super::builder::Call::new(self.starter(), Subcommand::Init)
            .args(["--quiet", "--bare", "--template=", "--initial-branch=unborn", "--end-of-options"])
            .arg(&self.control)
            .output()
            .await?;
        std::fs::create_dir_all(self.control.join("info"))?;
        std::fs::write(self.control.join("info").join("exclude"), EXCLUDE)?;
        std::fs::create_dir_all(self.notes())?;
        std::fs::write(ready, "")?;
        Ok(())
    }
}

/// A branch of others, as a person names it.
pub(super) fn branch(name: &str) -> Result<BranchName, GitError> {
    BranchName::parse(name)
        .map_err(|error| GitError::Missing(format!("cannot use the branch {name:?}: {error}")))
}

/// A branch of ours: the name of a protocol.
pub(super) fn own_branch(name: &str) -> Result<BranchName, GitError> {
    ProtocolName::parse(name)
        .map(|name| name.branch())
        .map_err(|error| GitError::Missing(format!("cannot use {name:?} as a branch: {error}")))
}

/// A full commit id.
pub(super) fn commit_id(text: &str) -> Result<String, GitError> {
    let hex = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if hex && matches!(text.len(), 40 | 64) {
        return Ok(text.to_owned());
    }
    Err(GitError::Missing(format!("{:?} is not a commit id", text.chars().take(80).collect::<String>())))
}

fn address(text: &str) -> Result<RemoteUrl, GitError> {
    RemoteUrl::parse(text, LocalRemotes::Allowed)
        .map_err(|error| GitError::Missing(format!("cannot use the project's repository: {error}")))
}
