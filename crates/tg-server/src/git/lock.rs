//! Locks on files: one holder per control repository or run, across processes.
//! The file stays; the lock goes with its handle.

use std::{
    fs::{File, OpenOptions},
    path::Path,
    time::{Duration, Instant},
};

use rustix::fs::{FlockOperation, flock};

use super::GitError;

/// An exclusive lock, held until dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

/// Takes the lock, waiting at most `limit`.
pub(super) async fn take(path: &Path, limit: Duration) -> Result<Lock, GitError> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent)?;
    }
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    let start = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) if start.elapsed() < limit => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_millis(50));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(GitError::Io(std::io::Error::new(
                    std::io::ErrorKind::TimedOut,
                    format!(
                        "{} stayed locked for {} s; another git call of ours hangs there",
                        path.display(),
                        limit.as_secs()
                    ),
                )));
            }
            Err(error) => return Err(GitError::Io(error.into())),
        }
    }
}
