//! Who holds a worktree: a file beside it names the job and fence that took it last, and the
//! highest fence of every job that ever did. A paused worker that wakes up finds it and stops.

use std::{collections::BTreeMap, fs, io};

use serde::{Deserialize, Serialize};
use tg_core::ids::{Fence, JobId, RunId};

use super::{super::GitError, Worktree};

/// The right by which a worktree is used: one attempt of one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Job.
    pub job: JobId,
    /// Its fencing token; tokens of different jobs cannot be compared.
    pub fence: Fence,
}

/// Content of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    run: RunId,
    holder: Holder,
    /// Highest fence seen of each job.
    fences: BTreeMap<String, i64>,
}

impl Worktree {
    /// Records the holder unless the same job was here with a newer fence.
    pub(super) fn take_hold(&self) -> Result<(), GitError> {
        let holder = &self.holder;
        let mut fences = BTreeMap::new();
        if let Some(record) = read(self)? {
            if record.run != self.run {
                return Err(GitError::Missing(format!(
                    "the worktree {} belongs to run {}, not to run {}",
                    self.path.display(),
                    record.run,
                    self.run
                )));
            }
            fences = record.fences;
        }
        let highest = fences.entry(holder.job.0.clone()).or_insert(holder.fence.0);
        if *highest > holder.fence.0 {
            return Err(fenced(self));
        }
        *highest = holder.fence.0;
        let record = Record { run: self.run, holder: holder.clone(), fences };
        let text = serde_json::to_string(&record).map_err(io::Error::from)?;
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent)?;
        }
        let draft = self.beside("holder.new");
        fs::write(&draft, text)?;
        fs::rename(draft, self.beside("holder"))?;
        Ok(())
    }

    /// Refuses when another attempt took the worktree meanwhile.
    pub(in super::super) fn check_holder(&self) -> Result<(), GitError> {
        match read(self)? {
            Some(record) if record.run == self.run && record.holder == self.holder => Ok(()),
            Some(_) | None => Err(fenced(self)),
        }
    }
}

fn read(tree: &Worktree) -> Result<Option<Record>, GitError> {
    let path = tree.beside("holder");
    match fs::read_to_string(&path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| {
            GitError::Io(io::Error::new(
                io::ErrorKind::InvalidData,
                format!(
                    "{} cannot be read: {error}; remove it if no worker uses the worktree",
                    path.display()
                ),
            ))
        }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn fenced(tree: &Worktree) -> GitError {
    GitError::Fenced(format!(
        "a newer attempt holds the worktree {}; this one ({} with fence {}) writes nothing",
        tree.path.display(),
        tree.holder.job,
        tree.holder.fence
    ))
}
