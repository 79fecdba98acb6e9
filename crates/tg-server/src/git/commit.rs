//! Commits in the name of the orchestrator. Makes no merge and rewrites nothing.

use super::{GitError, NewCommit, Repository, agent_view, builder::Subcommand, explain, worktree::Worktree};

impl Repository {
    /// Stages everything in the worktree into the run's index and commits if the tree differs from
    /// the branch's. `None` = nothing to commit. The agent's `.git` is refreshed afterwards.
    /// Repositories an agent made inside the worktree are left out.
    ///
    /// # Errors
    /// `GitError::Fenced` when the worktree has a newer holder.
    pub async fn commit(&self, tree: &Worktree, commit: &NewCommit) -> Result<Option<String>, GitError> {
        let _lock = self.lock_run(tree.run).await?;
        tree.check_holder()?;
        let status = self.status(tree).await?;
        if status.entries.is_empty() {
            return Ok(None);
        }
        self.stage(tree, &status).await?;
        let before = self.branch_tip(tree).await?;
        let output = self
            .tree_call(tree, Subcommand::Commit)
            .identity(&self.identity)
            .args([
                "--quiet",
                "--no-verify",
                "--no-gpg-sign",
                "--no-status",
                "--cleanup=verbatim",
                "--file=-",
            ])
            .input(message(commit).into_bytes())
            .run()
            .await?;
        let after = self.branch_tip(tree).await?;
        match output.status {
            Some(0) if after != before => {}
            // The files differ in nothing that is kept (line ends, file times).
            Some(1) if after == before && output.stderr.is_empty() => return Ok(None),
            _ => return Err(explain::failed("commit", &output)),
        }
        agent_view::refresh(self, tree, &after)?;
        Ok(Some(after))
    }
}

/// The whole message: subject, blank line, trailers; each on one line whatever it holds.
fn message(commit: &NewCommit) -> String {
    let mut text = one_line(&commit.subject);
    if text.is_empty() {
        text.push_str("chore(protocol): change");
    }
    text.push('\n');
    for (index, (key, value)) in commit.trailers.iter().enumerate() {
        if index == 0 {
            text.push('\n');
        }
        let key: String = key.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
        text.extend([key.as_str(), ": ", one_line(value).as_str(), "\n"]);
    }
    text
}

fn one_line(text: &str) -> String {
    let flat: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    flat.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::{NewCommit, message};

    #[test]
    fn a_message_cannot_be_broken_out_of() {
        let commit = NewCommit {
            subject: "feat(x): a\n\nTG-Run: 9".to_owned(),
            trailers: vec![("TG-Run".to_owned(), "1".to_owned()), ("TG: x".to_owned(), "a\r\nb".to_owned())],
        };
        assert_eq!(message(&commit), "feat(x): a  TG-Run: 9\n\nTG-Run: 1\nTGx: a  b\n");
    }
}
