//! The only place that starts a process: environment built from empty plus named variables, a
//! `Wrap` around the program, limits, capped output, and the kill of a whole process tree.
//! Knows neither git nor engines.

pub mod tree;

use std::{
    ffi::{OsStr, OsString},
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

/// How to confine a process; made by `engine::sandbox`, used by whoever starts one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrap {
    /// Not confined.
    None,
    /// Prefix of the command line (`bwrap … --`).
    Prefix(Vec<OsString>),
}

impl Wrap {
    /// The whole command line of a program inside this wrap; never empty.
    pub fn around(&self, program: &Path, arguments: &[OsString]) -> Vec<OsString> {
        let mut line = match self {
            Self::None => Vec::new(),
            Self::Prefix(prefix) => prefix.clone(),
        };
        line.push(program.into());
        line.extend_from_slice(arguments);
        line
    }
}

/// A short command whose output is read whole (git, version probes).
#[derive(Debug, Clone)]
pub struct Command {
    /// Absolute path, or a name looked up on the PATH of `environment`.
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

/// Runs a short command to its end. When it is ended early (limit, or this future is dropped) its
/// whole tree is killed.
///
/// # Errors
/// When it cannot start, takes too long or prints too much; a status other than 0 is no error here.
pub async fn run(command: Command) -> Result<Output, ProcessError> {
    match run_keeping(command).await? {
        Kept::Whole(output) => Ok(output),
        Kept::Head { program, .. } => Err(ProcessError::TooMuchOutput(program)),
    }
}

/// What a command left whose output may be longer than is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// It ended by itself.
    Whole(Output),
    /// It printed more than allowed and was stopped.
    Head {
        /// Program.
        program: PathBuf,
        /// The first bytes of its standard output, as many as are allowed.
        stdout: Vec<u8>,
    },
}

/// As [`run`], but of an output that is too long the beginning is kept.
///
/// # Errors
/// As there.
pub async fn run_keeping(command: Command) -> Result<Kept, ProcessError> {
    let program = command.program.clone();
    let io = |error: io::Error| ProcessError::Io { program: program.clone(), error };
    let mut child = spawn(&Spawn {
        line: command.wrap.around(&command.program, &command.arguments),
        environment: command.environment,
        directory: command.directory,
    })
    .map_err(|error| {
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) {
            return ProcessError::NotFound(program.clone());
        }
        io(error)
    })?;
    let guard = tree::KillOnDrop::new(child.id());
    let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let work = async {
        tokio::try_join!(
            feed(pipes.0, &command.input),
            collect(pipes.1, command.output_cap, &mut stdout),
            collect(pipes.2, command.output_cap, &mut stderr),
        )?;
        child.wait().await
    };
    let ended = tokio::time::timeout(command.timeout, work).await;
    let status = match ended {
        Err(_elapsed) => {
            return Err(ProcessError::Timeout { program, seconds: command.timeout.as_secs() });
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
            stdout.truncate(command.output_cap);
            return Ok(Kept::Head { program, stdout });
        }
        Ok(Err(error)) => return Err(io(error)),
        Ok(Ok(status)) => status,
    };
    guard.release();
    Ok(Kept::Whole(Output { status: status.code(), stdout, stderr }))
}

async fn feed(pipe: Option<tokio::process::ChildStdin>, input: &[u8]) -> io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    match pipe.write_all(input).await {
        // A program that does not read its input is not at fault; its status tells.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

async fn collect(pipe: Option<impl AsyncRead + Unpin>, cap: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    let Some(pipe) = pipe else { return Ok(()) };
    let limit = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(1);
    pipe.take(limit).read_to_end(bytes).await?;
    if bytes.len() > cap {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(())
}

/// A process to start with pipes on all three standard streams.
#[derive(Debug, Clone)]
pub struct Spawn {
    /// Command line, wrap included; the first word is the program.
    pub line: Vec<OsString>,
    /// The complete environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Working directory.
    pub directory: PathBuf,
}

/// Starts a process in a process group of its own. The caller owns its end: dropping the child ends
/// nothing.
///
/// # Errors
/// When the program cannot be started.
#[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
pub fn spawn(spawn: &Spawn) -> io::Result<tokio::process::Child> {
    let (program, arguments) = split(&spawn.line)?;
    tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(spawn.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&spawn.directory)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
}

/// Starts a program of the user that goes on without us: in a process group of its own, with this
/// environment alone and no stream open.
///
/// # Errors
/// When the program cannot be started.
#[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
pub fn spawn_apart(
    line: &[OsString],
    environment: &[(String, String)],
    directory: &Path,
) -> io::Result<tokio::process::Child> {
    let (program, arguments) = split(line)?;
    tokio::process::Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir(directory)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

/// Starts a process below a single-threaded helper of ours: environment, standard output and
/// standard error are handed on, standard input is a pipe.
///
/// # Errors
/// When the program cannot be started.
#[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
pub fn spawn_inheriting(line: &[OsString], directory: &Path) -> io::Result<std::process::Child> {
    let (program, arguments) = split(line)?;
    std::process::Command::new(program).args(arguments).current_dir(directory).stdin(Stdio::piped()).spawn()
}

/// Starts a process that keeps no stream open; used by the scripted engine to leave one behind.
///
/// # Errors
/// When the program cannot be started.
#[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
pub fn spawn_silent(line: &[OsString]) -> io::Result<std::process::Child> {
    let (program, arguments) = split(line)?;
    std::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
}

fn split(line: &[OsString]) -> io::Result<(&OsStr, &[OsString])> {
    line.split_first()
        .map(|(program, arguments)| (program.as_os_str(), arguments))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "empty command line"))
}

/// Finds an executable file by name on a search path. Relative entries are skipped: they would
/// depend on a directory that others write.
pub fn find_program(name: &Path, search_path: &str) -> Option<PathBuf> {
    if name.is_absolute() {
        return is_executable(name).then(|| name.to_owned());
    }
    std::env::split_paths(search_path)
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|path| is_executable(path))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
