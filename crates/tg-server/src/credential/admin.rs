//! The admin token: from the settings, or from a file in the state directory that is made at the first
//! start. Its check touches no database. Never follows a link and never reads a file that others can.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use super::{Digest, Kind, is_plausible, make};
use crate::secret::Secret;

/// Why the file of the admin token is of no use.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Others may read it.
    #[error("{0} can be read by others; run `chmod 600` on it, or `tasksgodzilla token rotate`")]
    Open(PathBuf),
    /// It holds no token.
    #[error("{0} holds no token; make a new one with `tasksgodzilla token rotate`")]
    Empty(PathBuf),
    /// Somebody else made one in the same moment.
    #[error("{0} is there already; use it, or replace it with `tasksgodzilla token rotate`")]
    Exists(PathBuf),
    /// The system has no randomness to give.
    #[error(transparent)]
    Randomness(#[from] super::NoRandomness),
    /// The system refused.
    #[error("{path}: {error}")]
    Io {
        /// File.
        path: PathBuf,
        /// System error.
        error: io::Error,
    },
}

/// Longest file that is read.
const LONGEST_FILE: u64 = 4096;

/// Reads the token in the file; `None` when there is no file.
///
/// # Errors
/// When it is a link, can be read by others, or holds nothing.
pub fn read_file(path: &Path) -> Result<Option<Secret<String>>, FileError> {
    let io = |error| FileError::Io { path: path.to_owned(), error };
    let no_follow = i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(no_follow).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    if file.metadata().map_err(io)?.mode() & 0o077 != 0 {
        return Err(FileError::Open(path.to_owned()));
    }
    let mut text = String::new();
    file.take(LONGEST_FILE).read_to_string(&mut text).map_err(io)?;
    let text = text.trim();
    if !is_plausible(text) {
        return Err(FileError::Empty(path.to_owned()));
    }
    Ok(Some(Secret::new(text.to_owned())))
}

/// Makes the file with a new token; never replaces one.
///
/// # Errors
/// When there is a file already, or the disk refuses.
pub fn make_file(path: &Path) -> Result<Secret<String>, FileError> {
    let io = |error| FileError::Io { path: path.to_owned(), error };
    let (temporary, token) = written(path)?;
    // A link never replaces: of two that make one at once, one loses. And nobody sees half a token.
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary).map_err(io)?;
    match linked {
        Ok(()) => Ok(token),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(FileError::Exists(path.to_owned())),
        Err(error) => Err(io(error)),
    }
}

/// Puts a new token into the file; the old one is dead at once, in a running server too.
///
/// # Errors
/// When the disk refuses.
pub fn replace_file(path: &Path) -> Result<Secret<String>, FileError> {
    let (temporary, token) = written(path)?;
    fs::rename(&temporary, path).map_err(|error| FileError::Io { path: path.to_owned(), error })?;
    Ok(token)
}

/// A new token in a file beside the real one.
fn written(path: &Path) -> Result<(PathBuf, Secret<String>), FileError> {
    let fresh = make(Kind::Token)?;
    let temporary = path.with_extension(format!("{}-{}", std::process::id(), fresh.stored.prefix));
    let write = || {
        let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        writeln!(file, "{}", fresh.text.expose())?;
        file.sync_all()
    };
    write().map_err(|error| FileError::Io { path: temporary.clone(), error })?;
    Ok((temporary, fresh.text))
}

/// The admin token in force.
#[derive(Debug)]
pub enum AdminToken {
    /// Given by the settings: fixed as long as the process lives.
    Setting(Digest),
    /// In a file: read again when the file was replaced, so a replaced token is dead at once.
    File {
        /// The file.
        path: PathBuf,
        /// What was read of it.
        seen: RwLock<Option<Seen>>,
    },
}

/// A state of the file and the token it held then.
#[derive(Debug, Clone)]
pub struct Seen {
    state: (u64, i64, i64),
    digest: Digest,
}

impl AdminToken {
    /// From the settings, else from the file (which need not be there yet).
    pub fn new(setting: Option<&Secret<String>>, file: &Path) -> Self {
        match setting {
            Some(token) => Self::Setting(Digest::of(token.expose())),
            None => Self::File { path: file.to_owned(), seen: RwLock::default() },
        }
    }

    /// Its digest; `None` when there is none that could be used, so nobody is the admin.
    pub fn digest(&self) -> Option<Digest> {
        let (path, seen) = match self {
            Self::Setting(digest) => return Some(digest.clone()),
            Self::File { path, seen } => (path, seen),
        };
        let data = fs::symlink_metadata(path).ok()?;
        let state = (data.ino(), data.ctime(), data.ctime_nsec());
        let known = seen.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known.filter(|known| known.state == state) {
            return Some(known.digest);
        }
        let digest = match read_file(path) {
            Ok(token) => Digest::of(token?.expose()),
            Err(error) => {
                tracing::error!(%error, "the admin token cannot be used");
                return None;
            }
        };
        let now = Seen { state, digest: digest.clone() };
        *seen.write().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Some(digest)
    }
}
