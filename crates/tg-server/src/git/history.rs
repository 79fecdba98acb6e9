//! Reads commits of a run's branch: tip, differences, trailers. Looks at no worktree file.

use super::{
    GitError, Repository,
    builder::Subcommand,
    control::{commit_id, own_branch},
    worktree::Worktree,
};
use crate::process::ProcessError;

/// A difference up to this size is read whole and then cut.
const DIFF_READ: usize = 64 * 1024 * 1024;

impl Repository {
    /// Unified diff from a commit to the branch's tip, at most `cap` bytes, says when cut.
    ///
    /// # Errors
    /// When git fails.
    pub async fn diff(&self, tree: &Worktree, from: &str, cap: usize) -> Result<String, GitError> {
        let from = commit_id(from)?;
        let tip = own_branch(&tree.branch)?.full_ref();
        let call = |form: &'static str| {
            self.call(Subcommand::Diff)
                .for_reading()
                .args(["--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=none"])
                .args([form, "--end-of-options", from.as_str(), tip.as_str(), "--"])
        };
        match call("--patch").cap(DIFF_READ.max(cap)).output().await {
            Ok(bytes) => Ok(cut(&bytes, cap)),
            Err(GitError::Process(ProcessError::TooMuchOutput(_))) => {
                let summary = call("--stat=120").output().await?;
                let note = "The diff is too large to be shown; this is its summary.\n\n";
                Ok(cut(&[note.as_bytes(), &summary].concat(), cap))
            }
            Err(error) => Err(error),
        }
    }

    /// Commit and subject at the branch's tip.
    ///
    /// # Errors
    /// When there is no such branch.
    pub async fn tip(&self, tree: &Worktree) -> Result<(String, String), GitError> {
        let tip = own_branch(&tree.branch)?.full_ref();
        let line = self
            .call(Subcommand::Log)
            .args(["-1", "--no-show-signature", "--format=%H %s", "--end-of-options", tip.as_str(), "--"])
            .output()
            .await?;
        let line = String::from_utf8_lossy(&line);
        let (sha, subject) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        Ok((commit_id(sha)?, subject.to_owned()))
    }

    /// Finds the newest commit between `base` and the tip whose message carries this trailer (a step
    /// that was committed before a crash).
    ///
    /// # Errors
    /// When git fails.
    pub async fn find_trailer(
        &self,
        tree: &Worktree,
        base: &str,
        key: &str,
        value: &str,
    ) -> Result<Option<String>, GitError> {
        let range = format!("{}..{}", commit_id(base)?, own_branch(&tree.branch)?.full_ref());
        let listing = self
            .call(Subcommand::Log)
            .args(["-z", "--no-show-signature", "--format=%H%n%(trailers:only,unfold)", "--end-of-options"])
            .args([range.as_str(), "--"])
            .output()
            .await?;
        let wanted = format!("{key}: {value}");
        for commit in String::from_utf8_lossy(&listing).split('\0') {
            let mut lines = commit.lines();
            let sha = lines.next().unwrap_or_default();
            if lines.any(|line| line == wanted) {
                return Ok(Some(commit_id(sha)?));
            }
        }
        Ok(None)
    }

    /// Commit at the branch's tip, its subject not asked for: usually no process at all.
    ///
    /// # Errors
    /// When the branch is gone.
    pub async fn head(&self, tree: &Worktree) -> Result<String, GitError> {
        self.branch_tip(tree).await
    }

    /// Commit at the branch's tip. Our refs are plain files, which spares a process.
    pub(super) async fn branch_tip(&self, tree: &Worktree) -> Result<String, GitError> {
        match self.find_branch(tree).await? {
            Some(sha) => Ok(sha),
            None => Err(GitError::Missing(format!(
                "the branch {} is gone from {}; it cannot be committed to",
                tree.branch,
                self.control.display()
            ))),
        }
    }

    /// As `branch_tip`; `None` when there is no such branch.
    pub(super) async fn find_branch(&self, tree: &Worktree) -> Result<Option<String>, GitError> {
        self.find_ref(&own_branch(&tree.branch)?.full_ref()).await
    }

    /// Commit of a ref by its full name, which is a checked one.
    pub(super) async fn find_ref(&self, name: &str) -> Result<Option<String>, GitError> {
        match std::fs::read_to_string(self.control.join(name)) {
            Ok(text) => return commit_id(text.trim()).map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        let listed = self
            .call(Subcommand::ForEachRef)
            .args(["--format=%(objectname) %(refname)", name])
            .output()
            .await?;
        String::from_utf8_lossy(&listed)
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find(|(_, found)| *found == name)
            .map(|(sha, _)| commit_id(sha))
            .transpose()
    }
}

/// At most `cap` bytes, cut at the end of a line, with a note when something is missing.
fn cut(bytes: &[u8], cap: usize) -> String {
    if bytes.len() <= cap {
        return String::from_utf8_lossy(bytes).into_owned();
    }
    let note = format!("\n[cut: {} bytes in all]\n", bytes.len());
    let room = cap.saturating_sub(note.len());
    let head = &bytes[..room];
    let end = head.iter().rposition(|&byte| byte == b'\n').unwrap_or(0);
    let mut text = String::from_utf8_lossy(&head[..end]).into_owned();
    text.push_str(&note);
    // A character that is not UTF-8 grows when it is replaced.
    while text.len() > cap {
        text.pop();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn cuts_at_a_line_within_the_cap_and_says_so() {
        let text = "line\n".repeat(100);
        assert_eq!(cut(text.as_bytes(), 500), text);
        let short = cut(text.as_bytes(), 99);
        assert!(short.len() <= 99 && short.ends_with("[cut: 500 bytes in all]\n"), "{short}");
        assert!(cut(&[0xff; 600], 100).len() <= 100);
        assert!(cut(text.as_bytes(), 3).len() <= 3);
    }
}
