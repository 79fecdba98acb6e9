//! Files of a call: its log, written piece by piece and read piece by piece. Everything is opened beneath
//! the runs directory; nothing here knows who may read it. Calls block, so they run off the loop.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use tg_core::{ids::CallId, layout::Home};

use crate::{api::error::ApiError, paths::Root};

/// Runs file work where it keeps nobody waiting.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ApiError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            tracing::error!(%error, "a file of a call cannot be used");
            Err(ApiError::Internal)
        }
        Err(error) => {
            tracing::error!(%error, "work on a file of a call broke off");
            Err(ApiError::Internal)
        }
    }
}

/// Path of a log beneath the runs directory.
fn beneath(home: &Home, id: &CallId) -> io::Result<PathBuf> {
    let path = home.call_log(id);
    path.strip_prefix(&home.runs).map(Path::to_owned).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidInput, "the log does not lie in the runs directory")
    })
}

/// Makes an empty log.
pub fn create(home: &Home, id: &CallId) -> io::Result<()> {
    std::fs::create_dir_all(&home.runs)?;
    Root::open(&home.runs)?.write(&beneath(home, id)?, b"")
}

/// Appends, unless the log would get more than `most` bytes. Returns its new length. A log that was
/// pruned is begun again.
pub fn append(home: &Home, id: &CallId, text: &[u8], most: u64) -> io::Result<Option<u64>> {
    let (root, path) = (Root::open(&home.runs)?, beneath(home, id)?);
    if !root.is_file(&path)? {
        root.write(&path, b"")?;
    }
    let length = root.reader(&path)?.metadata()?.len();
    let next = length.saturating_add(u64::try_from(text.len()).unwrap_or(u64::MAX));
    if next > most {
        return Ok(None);
    }
    root.append(&path, text)?;
    Ok(Some(next))
}

/// Opens a log; `None` when there is none.
pub fn open(home: &Home, id: &CallId) -> io::Result<Option<File>> {
    let root = match Root::open(&home.runs) {
        Ok(root) => root,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match root.reader(&beneath(home, id)?) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Text; bytes that are none are replaced.
    pub text: String,
    /// Where the next piece begins.
    pub next: u64,
    /// There was no more when it was read.
    pub eof: bool,
}

/// Reads at most `most` bytes from `offset`. A character that has not arrived whole is left for the next
/// piece; only at the end of a log that is complete nothing will follow, so there it is shown as it is.
pub fn piece(file: &mut File, offset: u64, most: u64, is_complete: bool) -> io::Result<Piece> {
    // Nothing lies past the end; a system may refuse to go so far.
    if offset > file.metadata()?.len() {
        return Ok(Piece { text: String::new(), next: offset, eof: true });
    }
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    // One byte more tells whether this is the end.
    let read = file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let eof = read <= most;
    bytes.truncate(most);
    if !(eof && is_complete) {
        bytes.truncate(whole(&bytes));
    }
    let next = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    Ok(Piece { text: String::from_utf8_lossy(&bytes).into_owned(), next, eof })
}

/// Length without the beginning of a character at the end.
fn whole(bytes: &[u8]) -> usize {
    // A character has at most four bytes, so its beginning is one of the last three.
    for back in 1..=bytes.len().min(3) {
        let at = bytes.len() - back;
        let is_continuation = bytes[at] & 0b1100_0000 == 0b1000_0000;
        if is_continuation {
            continue;
        }
        let is_begun = std::str::from_utf8(&bytes[at..]).is_err_and(|error| error.error_len().is_none());
        return if is_begun { at } else { bytes.len() };
    }
    bytes.len()
}

#[cfg(test)]
mod tests;
