//! What the control repository already holds: names of protocols in a commit, messages of commits.
//! Reads objects only; nothing is fetched, nothing is written.

use super::{GitError, Repository, builder::Subcommand, control::commit_id};

impl Repository {
    /// Names of the folders below `.protocols/` in a commit of the control repository.
    ///
    /// # Errors
    /// When there is no such commit.
    pub async fn protocol_names(&self, commit: &str) -> Result<Vec<String>, GitError> {
        let commit = commit_id(commit)?;
        let listing = self
            .call(Subcommand::LsTree)
            .args(["--name-only", "-z", "--end-of-options", commit.as_str(), "--", ".protocols/"])
            .output()
            .await?;
        let listing = String::from_utf8_lossy(&listing);
        let names = listing.split('\0').filter_map(|path| path.strip_prefix(".protocols/"));
        Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// Whole message of a commit of the control repository; bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// When there is no such commit.
    pub async fn message(&self, commit: &str) -> Result<String, GitError> {
        let commit = commit_id(commit)?;
        let object = self.call(Subcommand::CatFile).args(["commit", commit.as_str()]).output().await?;
        let object = String::from_utf8_lossy(&object);
        let (_, message) = object.split_once("\n\n").unwrap_or(("", &object));
        Ok(message.to_owned())
    }
}
