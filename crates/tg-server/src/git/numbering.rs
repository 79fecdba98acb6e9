//! Which protocols a commit already holds: names only, so that a new run takes the next number.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use super::{GitError, Repository, sample};
use crate::process::{self, Command, Wrap};

/// Names read at most; numbers end at 9999.
const OUTPUT_CAP: usize = 4 * 1024 * 1024;

impl Repository {
    /// Names of the folders below `.protocols/` in a commit of the control repository.
    pub async fn protocol_names(&self, commit: &str) -> Result<Vec<String>, GitError> {
        let arguments: [OsString; 8] = [
            "--git-dir".into(),
            self.control.clone().into(),
            "ls-tree".into(),
            "--name-only".into(),
            "-z".into(),
            commit.into(),
            "--".into(),
            ".protocols/".into(),
        ];
        let output = process::run(Command {
            program: self.program.clone(),
            arguments: arguments.into(),
            environment: sample::environment(),
            directory: PathBuf::from("/"),
            input: Vec::new(),
            wrap: Wrap::None,
            timeout: self.timeout.min(Duration::from_secs(60)),
            output_cap: OUTPUT_CAP,
        })
        .await?;
        if output.status != Some(0) {
            let tail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(GitError::Failed { command: "ls-tree", tail });
        }
        let names = output.stdout.split(|byte| *byte == 0).filter_map(|path| {
            let path = std::str::from_utf8(path).ok()?;
            path.strip_prefix(".protocols/").filter(|name| !name.is_empty()).map(str::to_owned)
        });
        Ok(names.collect())
    }
}
