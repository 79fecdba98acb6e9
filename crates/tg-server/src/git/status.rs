//! What differs between a worktree and the tip of its branch. Changes neither.

use super::{
    GitError, Repository,
    builder::{Call, Subcommand},
    worktree::Worktree,
};
use crate::process::ProcessError;

/// Cap of a listing: some hundred thousand paths.
const LISTING_CAP: usize = 64 * 1024 * 1024;

/// How a listing is asked for.
pub(super) const FORM: [&str; 5] =
    ["--porcelain=v1", "-z", "--no-renames", "--untracked-files=all", "--ignore-submodules=all"];

/// Paths that differ.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// Two status letters and the path, in git's order.
    pub(super) entries: Vec<(String, Vec<u8>)>,
    /// Repositories inside the worktree that are not part of it, without trailing `/`. They are
    /// neither staged nor entered: git would run what they configure.
    pub(super) nested: Vec<Vec<u8>>,
}

impl Repository {
    /// A call on the files of a worktree.
    pub(super) fn tree_call(&self, tree: &Worktree, subcommand: Subcommand) -> Call<'_> {
        Call::new(self.starter(), subcommand)
            .git_dir(&super::run_git_dir(&self.control, tree.run))
            .work_tree(&tree.path, &self.wrap)
    }

    /// Compares a worktree with its branch's tip.
    pub(super) async fn status(&self, tree: &Worktree) -> Result<Status, GitError> {
        let listing = self.tree_call(tree, Subcommand::Status).args(FORM).cap(LISTING_CAP).output().await;
        if let Err(GitError::Process(ProcessError::TooMuchOutput(_))) = listing {
            return Err(GitError::Failed {
                command: "status",
                tail: format!(
                    "{} holds more changed files than can be listed; remove what does not belong there, or \
                     ignore it in .gitignore",
                    tree.path.display()
                ),
            });
        }
        Ok(read(&listing?))
    }

    /// Stages everything of the worktree.
    pub(super) async fn stage(&self, tree: &Worktree, status: &Status) -> Result<(), GitError> {
        let mut call = self.tree_call(tree, Subcommand::Add).arg("--all");
        if !status.nested.is_empty() {
            let mut paths = b":/\0".to_vec();
            for nested in &status.nested {
                tracing::warn!(
                    worktree = %tree.path.display(),
                    nested = %String::from_utf8_lossy(nested),
                    "a repository inside the worktree is left out of the commit"
                );
                paths.extend(b":(top,exclude,literal)");
                paths.extend(nested);
                paths.push(0);
            }
            call = call.args(["--pathspec-from-file=-", "--pathspec-file-nul"]).input(paths);
        }
        call.output().await?;
        Ok(())
    }

    /// Says what a commit would take: paths that differ from the branch's tip, with status letters
    /// (porcelain form, control characters escaped), at most `limit`. A repository inside the worktree
    /// is not among them.
    ///
    /// # Errors
    /// When git fails.
    pub async fn changes(&self, tree: &Worktree, limit: usize) -> Result<Vec<String>, GitError> {
        let status = self.status(tree).await?;
        let entries = status.entries.iter().map(|(letters, path)| format!("{letters} {}", shown(path)));
        Ok(entries.take(limit).collect())
    }
}

/// A path as text.
fn shown(path: &[u8]) -> String {
    let mut text = String::new();
    for character in String::from_utf8_lossy(path).chars() {
        if character.is_control() {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

/// Reads `XY path NUL …`.
pub(super) fn read(listing: &[u8]) -> Status {
    let mut status = Status::default();
    for entry in listing.split(|&byte| byte == 0) {
        let Some((letters, path)) = entry.split_at_checked(3) else { continue };
        match path.strip_suffix(b"/") {
            Some(nested) if letters == b"?? " => status.nested.push(nested.to_vec()),
            Some(_) | None => {
                let letters = String::from_utf8_lossy(&letters[..2]).into_owned();
                status.entries.push((letters, path.to_vec()));
            }
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::{read, shown};

    #[test]
    fn listings_are_read_by_nul() {
        let status = read(b" M a\0?? new\nline\0?? sub/\0D  -x\0");
        let entries: Vec<_> = status.entries.iter().map(|(l, p)| (l.as_str(), p.as_slice())).collect();
        assert_eq!(entries, [(" M", &b"a"[..]), ("??", b"new\nline"), ("D ", b"-x")]);
        assert_eq!(status.nested, [b"sub".to_vec()]);
        assert_eq!(shown(b"new\nline\x1b\xff"), "new\\nline\\u{1b}\u{fffd}");
        assert_eq!(read(b""), super::Status::default());
    }
}
