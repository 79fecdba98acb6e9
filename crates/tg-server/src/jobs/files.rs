//! The files of a run's worktree, reached through a directory handle. Knows no git; writes nothing.

use std::path::{Path, PathBuf};

use tg_core::{job::ErrorCategory, layout, protocol::ProtocolRun};

use super::JobError;
use crate::paths::Root;

/// Where the files of a run lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Worktree, absolute.
    pub workspace: PathBuf,
    /// Protocol folder below it.
    pub folder: PathBuf,
}

impl Files {
    /// Files of a run in this worktree.
    pub fn of(workspace: PathBuf, run: &ProtocolRun) -> Self {
        Self { workspace, folder: layout::protocol_root(&run.protocol_name) }
    }

    /// Opens the worktree; everything below is reached through the handle.
    pub fn root(&self) -> Result<Root, JobError> {
        Root::open(&self.workspace).map_err(|error| unreadable(&self.workspace, &error))
    }

    /// Reads a file below the worktree as text, at most `cap` bytes; `None` when it is not there.
    pub fn read_text(&self, relative: &Path, cap: u64) -> Result<Option<String>, JobError> {
        let root = self.root()?;
        if !root.is_file(relative).map_err(|error| unreadable(relative, &error))? {
            return Ok(None);
        }
        let bytes = root.read(relative, cap).map_err(|error| unreadable(relative, &error))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

/// `error_type` of a file that is larger than the caller takes.
pub const TOO_LARGE: &str = "file_too_large";

/// Error for a file of a worktree that cannot be used.
pub fn unreadable(path: &Path, error: &std::io::Error) -> JobError {
    if error.kind() == std::io::ErrorKind::FileTooLarge {
        let message = format!("{} is too large to be used", path.display());
        return JobError::fail(ErrorCategory::Validation, TOO_LARGE, message);
    }
    let message = format!("cannot use {}: {error}; check disk space and permissions", path.display());
    JobError::retry(ErrorCategory::Runtime, "io", message)
}

/// Error for a file of a worktree that cannot be written.
pub fn unwritable(path: &Path, error: &std::io::Error) -> JobError {
    let message = format!("cannot write {}: {error}; check disk space and permissions", path.display());
    JobError::retry(ErrorCategory::Runtime, "io", message)
}
