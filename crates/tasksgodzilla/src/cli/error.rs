//! How a command fails: kind (which is its exit code), one line of cause, one line of remedy.

use tg_core::lifecycle::Refused;
use tg_server::{config::ConfigError, db::DbError, flow::FlowError, git::GitError, store::StoreError};

/// What kind of failure; each has one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// It ran and failed, or a gate said no.
    Failed,
    /// The command line asks for something that cannot be.
    Usage,
    /// A setting is wrong.
    Config,
    /// git, an engine or a sandbox is not there.
    Missing,
    /// Somebody pressed Ctrl-C.
    Interrupted,
    /// Our fault or the machine's.
    Internal,
}

impl ErrorKind {
    /// Exit code.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed | Self::Internal => 1,
            Self::Usage | Self::Config => 2,
            Self::Missing => 3,
            Self::Interrupted => 130,
        }
    }
}

/// A failed command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CliError {
    /// Kind.
    pub kind: ErrorKind,
    /// Cause, one line.
    pub error: String,
    /// What to do, one line.
    pub hint: Option<String>,
}

impl CliError {
    /// A failure of this kind.
    pub fn new(kind: ErrorKind, error: impl Into<String>) -> Self {
        Self { kind, error: error.into(), hint: None }
    }

    /// It ran and failed.
    pub fn failed(error: impl Into<String>) -> Self {
        Self::new(ErrorKind::Failed, error)
    }

    /// The command line is wrong.
    pub fn usage(error: impl Into<String>) -> Self {
        Self::new(ErrorKind::Usage, error)
    }

    /// Something needed is not installed.
    pub fn missing(error: impl Into<String>) -> Self {
        Self::new(ErrorKind::Missing, error)
    }

    /// Not the person's fault.
    pub fn internal(error: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, error)
    }

    /// A failure told as `cause; remedy` in one sentence.
    pub fn told(kind: ErrorKind, sentence: &str) -> Self {
        match sentence.rsplit_once("; ") {
            Some((cause, remedy)) => Self::new(kind, cause).hint(remedy),
            None => Self::new(kind, sentence),
        }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<ConfigError> for CliError {
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorKind::Config, error.to_string())
            .hint("`tasksgodzilla config show` lists every setting; docs/config.md explains them")
    }
}

impl From<DbError> for CliError {
    fn from(error: DbError) -> Self {
        let text = error.to_string();
        if text.contains("locked") || text.contains("busy") {
            return Self::failed("the database is locked by another process").hint(
                "end the program that holds the SQLite file open (`fuser` or `lsof` on it names it), then try again",
            );
        }
        match error {
            DbError::Url(_) => Self::new(ErrorKind::Config, format!("TASKSGODZILLA_DB_URL: {text}")),
            DbError::Newer { .. }
            | DbError::Migrate(_)
            | DbError::Chain(_)
            | DbError::Undone
            | DbError::Together(_)
            | DbError::Sqlx(_) => Self::internal(text)
                .hint("check that the database file or server is there, writable and has disk space"),
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { .. } => {
                Self::failed(error.to_string()).hint("the `list` commands show what exists")
            }
            StoreError::Db(error) => error.into(),
            StoreError::Conflict(_)
            | StoreError::Archived(_)
            | StoreError::RunArchived(_)
            | StoreError::FencedOut(_) => Self::failed(error.to_string()),
            StoreError::Corrupt { .. } => Self::internal(error.to_string()).hint(
                "the row was changed by hand or by a newer version; `tasksgodzilla verify` looks for more",
            ),
        }
    }
}

impl From<Refused> for CliError {
    fn from(refused: Refused) -> Self {
        let hint = match &refused {
            Refused::IllegalTransition { .. } => {
                "`tasksgodzilla protocols show ID` shows where the run stands"
            }
            Refused::StepAlreadyActive { .. } | Refused::QaAlreadyQueued { .. } => {
                "wait for it, or cancel the run with `tasksgodzilla protocols cancel ID`"
            }
            Refused::NoStepReady => "`tasksgodzilla steps list --protocol ID` shows the steps",
            Refused::UnknownStep { .. } => "`tasksgodzilla steps list --protocol ID` names the steps",
        };
        Self::failed(refused.to_string()).hint(hint)
    }
}

impl From<FlowError> for CliError {
    fn from(error: FlowError) -> Self {
        match error {
            FlowError::Refused(refused) => refused.into(),
            FlowError::Store(error) => error.into(),
        }
    }
}

impl From<GitError> for CliError {
    fn from(error: GitError) -> Self {
        let text = error.to_string();
        match error {
            GitError::Unusable(_) => Self::missing(text).hint("install a current git and put it on PATH"),
            GitError::Missing(_) => Self::told(ErrorKind::Failed, &text),
            GitError::Remote(_) => {
                Self::failed(text).hint("check the address, the network and your access, then try again")
            }
            GitError::Fenced(_) | GitError::Failed { .. } | GitError::Process(_) | GitError::Io(_) => {
                Self::failed(text).hint("`tasksgodzilla doctor` looks at git, the sandbox and the disk")
            }
        }
    }
}
