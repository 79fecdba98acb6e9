//! What the control repository already holds: names of protocols in a commit, messages of commits.
//! Reads objects only; nothing is fetched, nothing is written.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use super::{GitError, Repository, sample};
use crate::process::{self, Command, Wrap};

/// Names and messages read at most.
const OUTPUT_CAP: usize = 4 * 1024 * 1024;

impl Repository {
    /// Names of the folders below `.protocols/` in a commit of the control repository.
    pub async fn protocol_names(&self, commit: &str) -> Result<Vec<String>, GitError> {
        let listing = self.look("ls-tree", &["--name-only", "-z", commit, "--", ".protocols/"]).await?;
        let names = listing.split('\0').filter_map(|path| path.strip_prefix(".protocols/"));
        Ok(names.filter(|name| !name.is_empty()).map(str::to_owned).collect())
    }

    /// Whole message of a commit of the control repository.
    pub async fn message(&self, commit: &str) -> Result<String, GitError> {
        let object = self.look("cat-file", &["commit", commit]).await?;
        let (_, message) = object.split_once("\n\n").unwrap_or(("", &object));
        Ok(message.to_owned())
    }

    /// Runs one reading command; bytes that are no UTF-8 are replaced.
    async fn look(&self, command: &'static str, arguments: &[&str]) -> Result<String, GitError> {
        let mut all: Vec<OsString> = vec!["--git-dir".into(), self.control.clone().into(), command.into()];
        all.extend(arguments.iter().map(OsString::from));
        let output = process::run(Command {
            program: self.program.clone(),
            arguments: all,
            environment: sample::environment(),
            directory: PathBuf::from("/"),
            input: Vec::new(),
            wrap: Wrap::None,
            timeout: self.timeout.min(Duration::from_secs(60)),
            output_cap: OUTPUT_CAP,
        })
        .await?;
        if output.status == Some(0) {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let tail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(GitError::Failed { command, tail })
    }
}
