//! Worktrees of runs: made from the base commit, reused by the same run, bound to a fence, removed
//! only on proof.

mod holder;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use tg_core::ids::RunId;

pub use holder::Holder;

use super::{
    GitError, Repository, agent_view,
    builder::Subcommand,
    control::{commit_id, own_branch},
    run_git_dir,
};
use crate::process::ProcessError;

/// Patches up to this size are handed back; larger leftovers are kept as a commit.
const PATCH_CAP: usize = 64 * 1024 * 1024;

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
    /// Who may write: checked before every commit and push.
    pub holder: Holder,
}

impl Worktree {
    /// A place beside the worktree. No protocol name starts with a dot, so it is nobody's worktree.
    pub(super) fn beside(&self, what: &str) -> PathBuf {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        self.path.with_file_name(format!(".{name}.{what}"))
    }
}

impl Repository {
    /// Makes (or reuses, for the same run) the worktree at `path` on branch `branch` from `base_sha`.
    /// A tree that a dead attempt left dirty is saved as a patch (returned) and reset to the branch's
    /// tip, so that each attempt starts from our own commit. Ignored files stay.
    ///
    /// # Errors
    /// `GitError::Fenced` when a newer attempt of the same job was here, `GitError::Missing` when
    /// path or branch belong to somebody else.
    pub async fn ensure_worktree(
        &self,
        path: PathBuf,
        run: RunId,
        branch: &str,
        base_sha: &str,
        holder: &Holder,
    ) -> Result<(Worktree, Option<Vec<u8>>), GitError> {
        self.ensure_worktree_keeping(path, run, branch, base_sha, holder, &[]).await
    }

    /// As [`Self::ensure_worktree`]; a tree in which nothing but these files differs counts as clean and
    /// stays as it is. They are given below the worktree, and the caller writes their content itself.
    ///
    /// # Errors
    /// As there.
    pub async fn ensure_worktree_keeping(
        &self,
        path: PathBuf,
        run: RunId,
        branch: &str,
        base_sha: &str,
        holder: &Holder,
        keep: &[PathBuf],
    ) -> Result<(Worktree, Option<Vec<u8>>), GitError> {
        own_branch(branch)?;
        if !path.is_absolute() || path.file_name().is_none() {
            return Err(GitError::Missing(format!("the worktree path {} is not absolute", path.display())));
        }
        let tree = Worktree {
            path,
            run,
            branch: branch.to_owned(),
            base_sha: commit_id(base_sha)?,
            holder: holder.clone(),
        };
        if !self.notes().join("ready").is_file() {
            return Err(GitError::Missing(format!(
                "the control repository {} is gone; start a new run, this one's commits are on its remote only",
                self.control.display()
            )));
        }
        let _lock = self.lock_run(run).await?;
        tree.take_hold()?;
        let tip = self.ensure_branch(&tree).await?;
        self.remove_stale_locks(&tree)?;
        let leftover = if self.is_checked_out(&tree) {
            self.save_and_reset(&tree, &tip, keep).await?
        } else {
            self.check_out(&tree, &tip).await?;
            None
        };
        agent_view::refresh(self, &tree, &tip)?;
        Ok((tree, leftover))
    }

    /// The branch of the run, made at its first use. A branch that is there already, on the remote or
    /// for another run, is not ours: it is neither taken over nor pushed to. That covers the base and
    /// the default branch.
    async fn ensure_branch(&self, tree: &Worktree) -> Result<String, GitError> {
        let git_dir = run_git_dir(&self.control, tree.run);
        let known = self.check_owner(tree).is_ok();
        let existing = self.find_branch(tree).await?;
        if let (true, Some(tip)) = (known, &existing) {
            return Ok(tip.clone());
        }
        let branch = own_branch(&tree.branch)?;
        if !known {
            if git_dir.join("HEAD").exists() {
                return Err(GitError::Missing(format!(
                    "run {} already works on another branch than {}",
                    tree.run, tree.branch
                )));
            }
            if existing.is_some() {
                return Err(GitError::Missing(format!(
                    "the branch {} belongs to another run; choose another name",
                    tree.branch
                )));
            }
            let remote = branch.tracking_ref("origin");
            let listed = self
                .call(Subcommand::ForEachRef)
                .args(["--format=%(refname)", remote.as_str()])
                .output()
                .await?;
            if !listed.is_empty() {
                return Err(GitError::Missing(format!(
                    "the repository already has a branch {}, which is not ours to change; choose another name",
                    tree.branch
                )));
            }
            self.write_git_dir(tree)?;
        }
        self.call(Subcommand::UpdateRef)
            .args([
                "--no-deref",
                "--end-of-options",
                &branch.full_ref(),
                &tree.base_sha,
                &"0".repeat(tree.base_sha.len()),
            ])
            .output()
            .await?;
        Ok(tree.base_sha.clone())
    }

    /// `HEAD` last: it is what says that the branch is this run's.
    fn write_git_dir(&self, tree: &Worktree) -> io::Result<()> {
        let git_dir = run_git_dir(&self.control, tree.run);
        fs::create_dir_all(&git_dir)?;
        fs::write(git_dir.join("commondir"), "../..\n")?;
        let mut pointer = tree.path.join(".git").into_os_string().into_encoded_bytes();
        pointer.push(b'\n');
        fs::write(git_dir.join("gitdir"), pointer)?;
        fs::write(git_dir.join("locked"), "in use by a run\n")?;
        let draft = git_dir.join("HEAD.new");
        fs::write(&draft, head(&tree.branch))?;
        fs::rename(draft, git_dir.join("HEAD"))
    }

    /// Is this run the owner of the branch?
    pub(super) fn check_owner(&self, tree: &Worktree) -> Result<(), GitError> {
        let path = run_git_dir(&self.control, tree.run).join("HEAD");
        match fs::read_to_string(&path) {
            Ok(text) if text == head(&tree.branch) => Ok(()),
            Ok(_) => Err(not_ours(tree)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(not_ours(tree)),
            Err(error) => Err(error.into()),
        }
    }

    /// Locks of a git that was killed. We hold the run's lock, so none of ours is at work.
    fn remove_stale_locks(&self, tree: &Worktree) -> Result<(), GitError> {
        let git_dir = run_git_dir(&self.control, tree.run);
        let branch = self.control.join(format!("{}.lock", own_branch(&tree.branch)?.full_ref()));
        for path in [git_dir.join("index.lock"), git_dir.join("HEAD.lock"), branch] {
            match fs::remove_file(&path) {
                Ok(()) => tracing::warn!(path = %path.display(), "removed the lock of a git that was killed"),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn marker(&self, tree: &Worktree) -> PathBuf {
        run_git_dir(&self.control, tree.run).join("checked-out")
    }

    fn is_checked_out(&self, tree: &Worktree) -> bool {
        self.marker(tree).is_file() && tree.path.is_dir()
    }

    /// First checkout, or one that was cut short. Files of others in the way are refused.
    async fn check_out(&self, tree: &Worktree, tip: &str) -> Result<(), GitError> {
        let started = run_git_dir(&self.control, tree.run).join("index").exists();
        if !started && is_occupied(&tree.path)? {
            return Err(GitError::Missing(format!(
                "{} is not empty and no worktree of ours; move it away",
                tree.path.display()
            )));
        }
        fs::create_dir_all(&tree.path)?;
        self.reset(tree, tip).await?;
        fs::write(self.marker(tree), "")?;
        Ok(())
    }

    /// Index and files as in the commit. Runs no hook and, since none is configured, no filter.
    async fn reset(&self, tree: &Worktree, tip: &str) -> Result<(), GitError> {
        self.tree_call(tree, Subcommand::ReadTree)
            .args(["--reset", "-u", "--end-of-options", tip])
            .output()
            .await?;
        self.freeze_submodules(tree).await
    }

    /// Submodules keep the commit they are at and are never looked into: to compare one, git would
    /// run what the repository in it configures, hardening or not.
    async fn freeze_submodules(&self, tree: &Worktree) -> Result<(), GitError> {
        let staged = self
            .tree_call(tree, Subcommand::LsFiles)
            .args(["--stage", "-z", "--full-name"])
            .cap(512 * 1024 * 1024)
            .output()
            .await?;
        let mut paths = Vec::new();
        for entry in staged.split(|&byte| byte == 0).filter(|entry| entry.starts_with(b"160000 ")) {
            if let Some(tab) = entry.iter().position(|&byte| byte == b'\t') {
                paths.extend_from_slice(&entry[tab + 1..]);
                paths.push(0);
            }
        }
        if paths.is_empty() {
            return Ok(());
        }
        self.tree_call(tree, Subcommand::UpdateIndex)
            .args(["--skip-worktree", "-z", "--stdin"])
            .input(paths)
            .output()
            .await?;
        Ok(())
    }

    /// What a dead attempt left, as a patch; afterwards the tree is at the tip again.
    async fn save_and_reset(
        &self,
        tree: &Worktree,
        tip: &str,
        keep: &[PathBuf],
    ) -> Result<Option<Vec<u8>>, GitError> {
        let status = self.status(tree).await?;
        let is_kept = |path: &[u8]| keep.iter().any(|kept| kept.as_os_str().as_encoded_bytes() == path);
        if status.entries.iter().all(|(_, path)| is_kept(path)) {
            return Ok(None);
        }
        self.stage(tree, &status).await?;
        let patch = self
            .tree_call(tree, Subcommand::Diff)
            .args(["--cached", "--binary", "--full-index", "--no-ext-diff", "--no-textconv", "--no-color"])
            .args(["--no-renames", "--end-of-options", tip, "--"])
            .cap(PATCH_CAP)
            .output()
            .await;
        let patch = match patch {
            Ok(patch) => patch,
            Err(GitError::Process(ProcessError::TooMuchOutput(_))) => self.keep_as_commit(tree, tip).await?,
            Err(error) => return Err(error),
        };
        self.reset(tree, tip).await?;
        Ok((!patch.is_empty()).then_some(patch))
    }

    /// Keeps a leftover that is too large for a patch as a commit in the control repository.
    async fn keep_as_commit(&self, tree: &Worktree, tip: &str) -> Result<Vec<u8>, GitError> {
        let written = self.tree_call(tree, Subcommand::WriteTree).output().await?;
        let written = commit_id(String::from_utf8_lossy(&written).trim())?;
        let kept = self
            .call(Subcommand::CommitTree)
            .identity(&self.identity)
            .args(["-p", tip, "-F", "-", &written])
            .input(b"leftover of a dead attempt\n".to_vec())
            .output()
            .await?;
        let kept = commit_id(String::from_utf8_lossy(&kept).trim())?;
        let name = format!("refs/tasksgodzilla/leftover/{}/{kept}", tree.run);
        self.call(Subcommand::UpdateRef).args(["--end-of-options", &name, &kept]).output().await?;
        Ok(format!(
            "The leftover is too large for a patch. It is kept as commit {kept} in {}.\n",
            self.control.display()
        )
        .into_bytes())
    }
}

fn head(branch: &str) -> String {
    format!("ref: refs/heads/{branch}\n")
}

fn not_ours(tree: &Worktree) -> GitError {
    GitError::Missing(format!("the branch {} is not the branch of run {}", tree.branch, tree.run))
}

/// Is there anything at this path but an empty folder?
fn is_occupied(path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(data) if data.is_dir() => Ok(fs::read_dir(path)?.next().is_some()),
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
