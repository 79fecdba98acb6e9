//! Opens, writes and lists files beneath a directory handle; never canonicalise-then-open.
//! The only way to touch a path that an agent, a repository or a model had a hand in.

use std::{io, path::Path};

/// A directory handle; everything opened through it stays beneath it, links included (`openat2`
/// with beneath, no-magic-links, no-symlinks).
#[derive(Debug)]
pub struct Root {}

impl Root {
    /// Opens an existing directory.
    pub fn open(directory: &Path) -> io::Result<Self> {
        todo!()
    }

    /// Reads a file, at most `cap` bytes (more is an error of kind `FileTooLarge`).
    pub fn read(&self, relative: &Path, cap: u64) -> io::Result<Vec<u8>> {
        todo!()
    }

    /// Writes a file whole: temporary name, fsync, rename. Makes missing parents.
    pub fn write(&self, relative: &Path, content: &[u8]) -> io::Result<()> {
        todo!()
    }

    /// Appends to an existing file; `Ok(false)` when it does not exist.
    pub fn append(&self, relative: &Path, content: &[u8]) -> io::Result<bool> {
        todo!()
    }

    /// Is there a regular file?
    pub fn is_file(&self, relative: &Path) -> io::Result<bool> {
        todo!()
    }

    /// Names in a directory below the root, sorted; a missing directory is empty.
    pub fn list(&self, relative: &Path) -> io::Result<Vec<String>> {
        todo!()
    }
}
