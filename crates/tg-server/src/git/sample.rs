//! A scratch repository with a bare remote, for the demo. Touches only the two paths it is given.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::GitError;
use crate::process::{self, Command, Wrap};

/// Branch of the sample repository.
pub const BRANCH: &str = "main";

const FILES: &[(&str, &str)] = &[
    ("README.md", "# Sample\n\nA program that says nothing yet.\n"),
    ("hello.sh", "#!/bin/sh\n# Says nothing yet.\n"),
];

/// Makes a repository with one commit at `checkout`, and its bare remote at `remote`. Neither may exist.
pub async fn make(program: &Path, checkout: &Path, remote: &Path) -> Result<(), GitError> {
    fs::create_dir(checkout)?;
    for (name, content) in FILES {
        fs::write(checkout.join(name), content)?;
    }
    let remote_text = remote.as_os_str();
    git(program, checkout, "init", &["--quiet".into(), "--initial-branch".into(), BRANCH.into()]).await?;
    git(program, checkout, "add", &["--all".into()]).await?;
    git(
        program,
        checkout,
        "commit",
        &["--quiet".into(), "--message".into(), "chore: begin the sample".into()],
    )
    .await?;
    git(
        program,
        checkout,
        "clone",
        &["--quiet".into(), "--bare".into(), "--".into(), ".".into(), remote_text.into()],
    )
    .await?;
    git(program, checkout, "remote", &["add".into(), "--".into(), "origin".into(), remote_text.into()])
        .await?;
    git(program, checkout, "fetch", &["--quiet".into(), "origin".into()]).await?;
    Ok(())
}

/// One line per commit of `branch` that `base` does not have, newest first.
pub async fn log(program: &Path, remote: &Path, branch: &str, base: &str) -> Result<Vec<String>, GitError> {
    let range = format!("{base}..refs/heads/{branch}");
    let output =
        git(program, remote, "log", &["--oneline".into(), "--no-color".into(), range.into(), "--".into()])
            .await?;
    Ok(output.lines().map(str::to_owned).collect())
}

async fn git(
    program: &Path,
    directory: &Path,
    command: &'static str,
    arguments: &[OsString],
) -> Result<String, GitError> {
    let fixed = ["-c", "core.hooksPath=/dev/null", "-c", "commit.gpgSign=false", command];
    let output = process::run(Command {
        program: program.to_owned(),
        arguments: fixed.iter().map(OsString::from).chain(arguments.iter().cloned()).collect(),
        environment: environment(),
        directory: PathBuf::from(directory),
        input: Vec::new(),
        wrap: Wrap::None,
        timeout: Duration::from_mins(1),
        output_cap: 1024 * 1024,
    })
    .await?;
    if output.status == Some(0) {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let tail = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(GitError::Failed { command, tail })
}

/// No configuration of the machine or the person, no questions, an identity of its own.
fn environment() -> Vec<(OsString, OsString)> {
    [
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
        ("HOME", "/nonexistent"),
        ("LC_ALL", "C.UTF-8"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("GIT_AUTHOR_NAME", "Sample"),
        ("GIT_AUTHOR_EMAIL", "sample@localhost"),
        ("GIT_COMMITTER_NAME", "Sample"),
        ("GIT_COMMITTER_EMAIL", "sample@localhost"),
    ]
    .iter()
    .map(|(name, value)| (OsString::from(name), OsString::from(value)))
    .collect()
}
