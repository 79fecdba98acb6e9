//! Agent CLIs: one pure adapter per file builds a command and reads its output; the supervisor owns
//! the process. No adapter does I/O.

pub mod codex;
pub mod dummy;
pub mod sandbox;
pub mod supervise;

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde_json::Value;
use tg_core::{ids::CallId, protocol::Usage};

use crate::secret::Secret;

/// What the engine is asked to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Looks at the repository; read-only.
    Discover,
    /// Plans or decomposes; read-only.
    Plan,
    /// Changes the worktree.
    Execute,
    /// Judges; read-only.
    Qa,
}

impl Role {
    /// The worktree may be written.
    pub const fn writes(self) -> bool {
        matches!(self, Self::Execute)
    }

    /// Word used in logs and dummy scripts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Discover => "discover",
            Self::Plan => "plan",
            Self::Execute => "execute",
            Self::Qa => "qa",
        }
    }
}

/// A session to go on with.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    /// Engine's id of it.
    pub id: String,
    /// Usage it had before; subtracted from cumulative totals.
    pub prior: Usage,
}

/// One call of one engine.
#[derive(Debug, Clone)]
pub struct Request {
    /// Call.
    pub call: CallId,
    /// Role.
    pub role: Role,
    /// Step name, for the dummy engine and logs; empty for planning.
    pub step: String,
    /// Attempt of the job, from 1.
    pub attempt: i64,
    /// Working directory (the worktree).
    pub directory: PathBuf,
    /// Prompt, delivered on standard input.
    pub prompt: String,
    /// Model; `None` = engine's default.
    pub model: Option<String>,
    /// JSON schema the answer must satisfy.
    pub schema: Option<Value>,
    /// Session to go on with.
    pub resume: Option<Session>,
    /// HOME of the engine: per project, never below the temp dir.
    pub home: PathBuf,
    /// Folder of a login that a person shares with the engine by setting; writable for it, because
    /// a CLI renews its login there.
    pub login: Option<PathBuf>,
    /// Folder of this call; the engine itself sees only the `exchange` folder in it.
    pub call_dir: PathBuf,
    /// The outer sandbox is off, so the engine's own must hold.
    pub unconfined: bool,
    /// Variables of the engine (keys, base URLs).
    pub environment: Vec<(String, Secret<String>)>,
    /// Extra arguments from the configuration.
    pub arguments: Vec<String>,
}

impl Request {
    /// Where schema and last message are exchanged with the engine. The call's log lies beside it,
    /// out of the engine's reach.
    pub fn exchange(&self) -> PathBuf {
        exchange(&self.call_dir)
    }

    /// File for the agent's last message.
    pub fn last_message(&self) -> PathBuf {
        self.exchange().join(LAST_MESSAGE)
    }

    /// File for the schema of the answer.
    pub fn schema_file(&self) -> PathBuf {
        self.exchange().join("schema.json")
    }
}

/// Name of the file an engine may leave its last message in.
const LAST_MESSAGE: &str = "last-message.txt";

/// The part of a call's folder that the engine may write.
fn exchange(call_dir: &Path) -> PathBuf {
    call_dir.join("exchange")
}

/// What an engine is called and can do.
#[derive(Debug, Clone, Copy)]
pub struct Card {
    /// Id in specs and settings.
    pub id: &'static str,
    /// Shown name.
    pub name: &'static str,
    /// `cli` or `builtin`.
    pub kind: &'static str,
    /// Program looked up on PATH; empty = our own binary.
    pub program: &'static str,
    /// Model when nobody names one.
    pub default_model: Option<&'static str>,
    /// How to install and log in, in a line.
    pub remedy: &'static str,
}

/// A command line, complete.
#[derive(Debug, Clone)]
pub struct CommandLine {
    /// Program.
    pub program: PathBuf,
    /// Arguments.
    pub arguments: Vec<OsString>,
    /// Environment beside PATH, HOME, TMPDIR, LANG, TERM, `NO_COLOR` and the run marker.
    pub environment: Vec<(String, Secret<String>)>,
    /// Files to write first (absolute path, content).
    pub files: Vec<(PathBuf, Vec<u8>)>,
}

/// Which pipe a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipe {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// What the supervisor may show or count while an engine works.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// Session id.
    Session(String),
    /// Text or reasoning, a line of it.
    Text(String),
    /// A tool began.
    ToolStart(String),
    /// A tool ended.
    ToolEnd {
        /// Exit status, when it has one.
        exit: Option<i32>,
    },
    /// A file changed.
    FileChange(String),
    /// The CLI tries again by itself.
    Retry(String),
    /// Something to note.
    Warning(String),
    /// Anything else.
    Raw,
}

/// How the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this status.
    Status(i32),
    /// By this signal, not ours.
    Signal(i32),
    /// We stopped it.
    Stopped,
}

/// Why an engine call failed (engines.md §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailKind {
    /// Binary missing or not executable.
    NotInstalled,
    /// The CLI refused our flags or settings.
    BadInvocation,
    /// Not logged in, key missing or refused.
    Auth,
    /// Plan or credit used up.
    Quota,
    /// Too many requests, after the CLI's own retries.
    RateLimited,
    /// Provider failed or overloaded.
    Provider,
    /// Stream cut, refused, DNS.
    Network,
    /// Prompt does not fit.
    ContextTooLong,
    /// The model refused.
    ModelRefused,
    /// Structured answer missing or invalid.
    SchemaMismatch,
    /// A change was expected and none was made.
    NoChange,
    /// Exit 0 without a terminal message.
    BadOutput,
    /// Session id unknown.
    SessionLost,
    /// Sandbox could not start, or none is available.
    Sandbox,
    /// Wall limit.
    TimeoutWall,
    /// Silence limit.
    TimeoutIdle,
    /// Asked to stop.
    Cancelled,
    /// Died by itself.
    Crashed,
}

/// A failed call: kind and a redacted sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineFailure {
    /// Kind.
    pub kind: FailKind,
    /// Cause, as the engine said it.
    pub message: String,
}

impl EngineFailure {
    /// A failure with its sentence.
    pub fn new(kind: FailKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// Seconds the provider asked us to wait, when its message names them.
    pub fn retry_after(&self) -> Option<u64> {
        let words: Vec<&str> = self.message.split_whitespace().collect();
        let at = words.windows(2).position(|pair| {
            matches!(pair[1].to_ascii_lowercase().as_str(), "in" | "after" | "after:")
                && matches!(pair[0].to_ascii_lowercase().as_str(), "again" | "retry" | "wait")
        })?;
        let number = words.get(at + 2)?.trim_matches(|sign: char| !sign.is_ascii_digit() && sign != '.');
        let seconds: f64 = number.trim_end_matches('.').parse().ok()?;
        let minutes = words.get(at + 3).is_some_and(|unit| unit.starts_with("min"));
        let seconds = (seconds * if minutes { 60.0 } else { 1.0 }).ceil();
        // Longer waits are not worth holding a job for.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be small and positive"
        )]
        (0.0..=3600.0).contains(&seconds).then_some(seconds as u64)
    }
}

/// What a reader made of the whole output.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Done, or why not.
    pub outcome: Result<(), EngineFailure>,
    /// Last message of the agent.
    pub final_text: Option<String>,
    /// Session id.
    pub session: Option<String>,
    /// Usage of this call alone; `None` = not reported.
    pub usage: Option<Usage>,
    /// Notes.
    pub warnings: Vec<String>,
}

/// Reads an engine's output line by line; never fails on input.
pub trait Reader: Send {
    /// One line (capped by the supervisor; invalid UTF-8 was replaced).
    fn line(&mut self, pipe: Pipe, line: &str) -> Vec<Progress>;
    /// The process ended.
    fn finish(self: Box<Self>, exit: Exit) -> Reading;
}

/// An agent CLI. Pure: no I/O.
pub trait Engine: Sync {
    /// What it is.
    fn card(&self) -> &'static Card;
    /// The command line for a request; `program` is the resolved binary.
    fn command(&self, program: &Path, request: &Request) -> CommandLine;
    /// A reader for the output of that command.
    fn reader(&self, request: &Request) -> Box<dyn Reader>;
}

/// Every engine we know.
pub static ENGINES: &[&dyn Engine] = &[&codex::Codex, &dummy::Dummy];

/// Engine by id.
pub fn find(id: &str) -> Option<&'static dyn Engine> {
    ENGINES.iter().copied().find(|engine| engine.card().id == id)
}
