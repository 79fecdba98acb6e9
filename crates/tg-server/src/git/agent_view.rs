//! The `.git` an agent sees: plain files written by us, so that `git log`, `status` and `diff` work
//! for it. It is never read by us, and nothing in it is trusted.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{GitError, Repository, control::EXCLUDE, index_path, worktree::Worktree};

/// Settings of the view: none but what git needs to accept it.
const CONFIG: &str = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n";

/// Puts a fresh view in place of whatever lies there. Both are only ever moved in the folder around
/// the worktree, which agents cannot write, so no link of theirs is followed.
pub(super) fn refresh(repository: &Repository, tree: &Worktree, tip: &str) -> Result<(), GitError> {
    let fresh = tree.beside("view");
    let old = tree.beside("old");
    remove(&fresh)?;
    remove(&old)?;
    let view = View {
        head: format!("ref: refs/heads/{}\n", tree.branch),
        branch: Some((tree.branch.clone(), tip.to_owned())),
        objects: repository.control.join("objects"),
        index: Some(index_path(&repository.control, tree.run)),
    };
    view.write(&fresh)?;
    let place = tree.path.join(".git");
    match fs::rename(&place, &old) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && is_folder(&place)? => {
            // A folder that its owner may not write cannot be moved.
            allow_all(&place)?;
            fs::rename(&place, &old)?;
        }
        Err(error) => return Err(error.into()),
    }
    fs::rename(&fresh, &place)?;
    remove(&old)?;
    Ok(())
}

/// A git dir made of plain files.
pub(super) struct View {
    /// Content of `HEAD`.
    pub(super) head: String,
    /// One branch and its commit.
    pub(super) branch: Option<(String, String)>,
    /// Where the objects lie.
    pub(super) objects: PathBuf,
    /// Index to copy, if there is one.
    pub(super) index: Option<PathBuf>,
}

impl View {
    /// Writes it into a folder that does not exist yet.
    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir(folder)?;
        for name in ["info", "objects/info", "objects/pack", "refs/heads", "refs/tags"] {
            fs::create_dir_all(folder.join(name))?;
        }
        fs::write(folder.join("HEAD"), &self.head)?;
        fs::write(folder.join("config"), CONFIG)?;
        fs::write(folder.join("info/exclude"), EXCLUDE)?;
        let mut alternates = self.objects.clone().into_os_string().into_encoded_bytes();
        alternates.push(b'\n');
        fs::write(folder.join("objects/info/alternates"), alternates)?;
        if let Some((branch, sha)) = &self.branch {
            let path = folder.join("refs/heads").join(branch);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, format!("{sha}\n"))?;
        }
        if let Some(index) = self.index.as_ref().filter(|index| index.is_file()) {
            fs::copy(index, folder.join("index"))?;
        }
        Ok(())
    }
}

/// Removes a file, a link or a folder, following no link. What cannot be removed because its modes
/// forbid it is made removable first.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(data) => data.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !kind.is_dir() {
        return fs::remove_file(path);
    }
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            open_up(path)?;
            fs::remove_dir_all(path)
        }
        other => other,
    }
}

fn is_folder(path: &Path) -> io::Result<bool> {
    Ok(fs::symlink_metadata(path)?.is_dir())
}

fn allow_all(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))
}

/// Gives the owner all rights on the folders below `path`. Nobody else writes there any more: it
/// lies outside the worktree.
fn open_up(path: &Path) -> io::Result<()> {
    allow_all(path)?;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            open_up(&entry.path())?;
        }
    }
    Ok(())
}
