//! Opens, writes and lists files beneath a directory handle; never canonicalise-then-open.
//! The only way to touch a path that an agent, a repository or a model had a hand in.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::{Component, Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};

/// Nothing outside the handle, no links of any kind on the way.
const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_SYMLINKS);

/// A directory handle; everything opened through it stays beneath it, links included (`openat2`
/// with beneath, no-magic-links, no-symlinks).
#[derive(Debug)]
pub struct Root {
    directory: OwnedFd,
}

impl Root {
    /// Opens an existing directory. The path itself is trusted and may lead through links.
    ///
    /// # Errors
    /// When it is not there or no directory.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { directory: rustix::fs::open(directory, flags, Mode::empty())? })
    }

    /// Reads a file, at most `cap` bytes (more is an error of kind `FileTooLarge`).
    ///
    /// # Errors
    /// When it is missing, no regular file, too large, or not beneath the root.
    pub fn read(&self, relative: &Path, cap: u64) -> io::Result<Vec<u8>> {
        // NONBLOCK: a pipe put in the place of a file must not make us wait for its other end.
        let file = self.open_file(relative, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
        let mut bytes = Vec::new();
        file.take(cap.saturating_add(1)).read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > cap {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("{} has more than {cap} bytes", relative.display()),
            ));
        }
        Ok(bytes)
    }

    /// Opens a file to be read piece by piece.
    ///
    /// # Errors
    /// When it is missing, no regular file, or not beneath the root.
    pub fn reader(&self, relative: &Path) -> io::Result<File> {
        self.open_file(relative, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())
    }

    /// Writes a file whole: temporary name, fsync, rename. Makes missing parents.
    ///
    /// # Errors
    /// When a part of the path is a link, leads outside, or the disk refuses.
    pub fn write(&self, relative: &Path, content: &[u8]) -> io::Result<()> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let (parent, name) = split(relative)?;
        let folder = self.make_folder(&parent)?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let temporary = format!(".tg-{}-{number}.tmp", std::process::id());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let written = rustix::fs::openat2(&folder, &temporary, flags, mode, BENEATH)
            .map_err(io::Error::from)
            .and_then(|file| {
                let mut file = File::from(file);
                file.write_all(content)?;
                file.sync_all()?;
                // Renaming replaces a link that stands there and never follows it.
                Ok(rustix::fs::renameat(&folder, &temporary, &folder, &name)?)
            });
        if written.is_err() {
            // The first error is the one worth telling; the left-over name is hidden and unique.
            rustix::fs::unlinkat(&folder, &temporary, AtFlags::empty()).ok();
        }
        written
    }

    /// Appends to an existing file; `Ok(false)` when it does not exist.
    ///
    /// # Errors
    /// When it is no regular file, a link, or the disk refuses.
    pub fn append(&self, relative: &Path, content: &[u8]) -> io::Result<bool> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NONBLOCK;
        match self.open_file(relative, flags, Mode::empty()) {
            Ok(mut file) => {
                file.write_all(content)?;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a file, or a link itself; `Ok(false)` when nothing was there.
    ///
    /// # Errors
    /// When it is a directory, leads outside, or the disk refuses.
    pub fn remove(&self, relative: &Path) -> io::Result<bool> {
        let (parent, name) = split(relative)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let parent = if parent.as_os_str().is_empty() { PathBuf::from(".") } else { parent };
        let removed = rustix::fs::openat2(&self.directory, parent, flags, Mode::empty(), BENEATH)
            .and_then(|folder| rustix::fs::unlinkat(&folder, &name, AtFlags::empty()));
        match removed {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Is there a regular file? A link is none.
    ///
    /// # Errors
    /// When the path leads outside or cannot be looked at.
    pub fn is_file(&self, relative: &Path) -> io::Result<bool> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat2(&self.directory, plain(relative)?, flags, Mode::empty(), BENEATH) {
            Ok(handle) => {
                let data = rustix::fs::fstat(&handle)?;
                Ok(FileType::from_raw_mode(data.st_mode) == FileType::RegularFile)
            }
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Names in a directory below the root, sorted; a missing directory is empty. Names that are
    /// not UTF-8 are left out: no file of ours has one.
    ///
    /// # Errors
    /// When it is no directory, a link, or cannot be read.
    pub fn list(&self, relative: &Path) -> io::Result<Vec<String>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = if relative.as_os_str().is_empty() { PathBuf::from(".") } else { plain(relative)? };
        let handle = match rustix::fs::openat2(&self.directory, path, flags, Mode::empty(), BENEATH) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::NOENT) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut names = Vec::new();
        for entry in Dir::new(handle)? {
            if let Ok(name) = entry?.file_name().to_str() {
                names.push(name.to_owned());
            }
        }
        names.retain(|name| name != "." && name != "..");
        names.sort();
        Ok(names)
    }

    fn open_file(&self, relative: &Path, flags: OFlags, mode: Mode) -> io::Result<File> {
        let handle = rustix::fs::openat2(
            &self.directory,
            plain(relative)?,
            flags | OFlags::CLOEXEC | OFlags::NOCTTY,
            mode,
            BENEATH,
        )?;
        let data = rustix::fs::fstat(&handle)?;
        if FileType::from_raw_mode(data.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{} is not a regular file", relative.display()),
            ));
        }
        Ok(File::from(handle))
    }

    /// Opens a folder below the root, making what is missing of it.
    fn make_folder(&self, relative: &Path) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let mut folder = rustix::fs::openat2(&self.directory, ".", flags, Mode::empty(), BENEATH)?;
        for part in relative.components() {
            match rustix::fs::mkdirat(&folder, part.as_os_str(), Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            folder = rustix::fs::openat2(&folder, part.as_os_str(), flags, Mode::empty(), BENEATH)?;
        }
        Ok(folder)
    }
}

/// The path without `.` parts; refused when it is empty, absolute or goes up. The kernel refuses
/// the latter two as well, but a name that only looks harmless should fail with a plain sentence.
fn plain(relative: &Path) -> io::Result<PathBuf> {
    let refuse = |why: &str| {
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("the path {} {why}", relative.display())))
    };
    let mut path = PathBuf::new();
    for part in relative.components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir => return refuse("goes up"),
            Component::RootDir | Component::Prefix(_) => return refuse("is absolute"),
        }
    }
    if path.as_os_str().is_empty() {
        return refuse("is empty");
    }
    Ok(path)
}

fn split(relative: &Path) -> io::Result<(PathBuf, PathBuf)> {
    let path = plain(relative)?;
    let name = path.file_name().map(PathBuf::from).unwrap_or_default();
    Ok((path.parent().map(Path::to_owned).unwrap_or_default(), name))
}
