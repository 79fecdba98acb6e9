//! The key file: made once, mode 0600, never overwritten. Only its owner may read it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use tg_core::canonical::hex;

use super::SealError;
use crate::secret::Secret;

fn problem(path: &Path, problem: impl std::fmt::Display) -> SealError {
    SealError::File { path: path.display().to_string(), problem: problem.to_string() }
}

/// Its content; `None` when there is no file.
pub(super) fn read(path: &Path) -> Result<Option<Secret<String>>, SealError> {
    let facts = match fs::metadata(path) {
        Ok(facts) => facts,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(problem(path, format!("cannot be looked at: {error}"))),
    };
    if facts.permissions().mode() & 0o077 != 0 {
        return Err(problem(path, "can be read by others; run `chmod 600` on it"));
    }
    let text = fs::read_to_string(path).map_err(|error| problem(path, format!("cannot be read: {error}")))?;
    Ok(Some(Secret::new(text)))
}

/// Makes it with a new key and gives what lies there afterwards: of two processes that make it at
/// once, one wins and both use its key. It appears whole or not at all.
pub(super) fn create(path: &Path) -> Result<Secret<String>, SealError> {
    let mut key = [0_u8; 32];
    getrandom::fill(&mut key).map_err(|_| SealError::Random)?;
    let mut suffix = [0_u8; 8];
    getrandom::fill(&mut suffix).map_err(|_| SealError::Random)?;
    let draft = path.with_extension(format!("{}.new", hex(&suffix)));
    let made = write_new(&draft, &hex(&key)).and_then(|()| match fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked.and_then(|()| sync_folder(path)),
    });
    // The first error is the one worth telling; the left-over name is unique.
    fs::remove_file(&draft).ok();
    made.map_err(|error| problem(path, format!("cannot be made: {error}")))?;
    read(path)?.ok_or_else(|| problem(path, "vanished while it was made; try again"))
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()
}

/// A key that a power cut takes away would take every secret with it.
fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| fs::File::open(folder)?.sync_all())
}
