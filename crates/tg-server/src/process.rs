//! The only place that starts a process: environment built from empty plus named variables, a
//! `Wrap` around the program, limits, capped output, and the kill of a whole process tree.
//! Knows neither git nor engines.

use std::{ffi::OsString, path::PathBuf, time::Duration};

/// How to confine a process; made by `engine::sandbox`, used by whoever starts one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrap {
    /// Not confined.
    None,
    /// Prefix of the command line (`bwrap … --`).
    Prefix(Vec<OsString>),
}

/// A short command whose output is read whole (git, version probes).
#[derive(Debug, Clone)]
pub struct Command {
    /// Absolute path, or a name looked up on `search_path`.
    pub program: PathBuf,
    /// Arguments, never through a shell.
    pub arguments: Vec<OsString>,
    /// The complete environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Working directory.
    pub directory: PathBuf,
    /// Standard input; always closed afterwards.
    pub input: Vec<u8>,
    /// Confinement.
    pub wrap: Wrap,
    /// Wall limit.
    pub timeout: Duration,
    /// Cap of standard output and of standard error, each; more ends the process with an error.
    pub output_cap: usize,
}

/// What a short command left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status; `None` = ended by a signal.
    pub status: Option<i32>,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// No such program.
    #[error("{0} is not installed or not executable")]
    NotFound(PathBuf),
    /// It took too long and was killed.
    #[error("{program} did not end within {seconds} s and was stopped")]
    Timeout {
        /// Program.
        program: PathBuf,
        /// Limit.
        seconds: u64,
    },
    /// It printed more than allowed and was killed.
    #[error("{0} printed more than allowed and was stopped")]
    TooMuchOutput(PathBuf),
    /// The system refused.
    #[error("{program} could not be run: {error}")]
    Io {
        /// Program.
        program: PathBuf,
        /// System error.
        error: std::io::Error,
    },
}

/// Runs a short command to its end.
pub async fn run(command: Command) -> Result<Output, ProcessError> {
    todo!()
}
