//! What a server leaves in its state directory while it serves: its lock and its address.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use crate::cli::CliError;

/// Takes the lock of the state directory; it is held as long as the file stays open.
pub fn lock(path: &Path) -> Result<File, CliError> {
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let mut file =
        open.map_err(|error| CliError::failed(format!("cannot open {}: {error}", path.display())))?;
    match file.try_lock() {
        Ok(()) => {
            let written = file
                .set_len(0)
                .and_then(|()| file.rewind())
                .and_then(|()| write!(file, "{}", std::process::id()));
            written.map_err(|error| CliError::failed(format!("cannot write {}: {error}", path.display())))?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let holder = match file.read_to_string(&mut holder) {
                Ok(_) if !holder.is_empty() => format!(" (process {holder})"),
                Ok(_) | Err(_) => String::new(),
            };
            Err(CliError::failed(format!("another `serve`{holder} uses this state directory already"))
                .hint("use that one, or name another state directory with --home"))
        }
        Err(TryLockError::Error(error)) => {
            Err(CliError::failed(format!("cannot lock {}: {error}", path.display())))
        }
    }
}

/// The address of this server, written where clients look for it; removed at the end.
pub struct UrlFile {
    path: PathBuf,
    /// The address.
    pub url: String,
}

impl UrlFile {
    /// Writes it, for this user alone.
    pub fn write(path: &Path, url: &str) -> Result<Self, CliError> {
        let open = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        open.and_then(|mut file| writeln!(file, "{url}"))
            .map_err(|error| CliError::failed(format!("cannot write {}: {error}", path.display())))?;
        Ok(Self { path: path.to_owned(), url: url.to_owned() })
    }
}

impl Drop for UrlFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the address file stays behind");
        }
    }
}
