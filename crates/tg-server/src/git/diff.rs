//! What lies between two commits, for people to read: list of files, unified diff. Reads objects of the
//! control repository only: no file of a worktree, no lock, no driver and no attribute of a tree.

use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};

use tg_core::{review::FilePath, wire::FileStatus};

use super::{
    GitError, Repository,
    builder::{Call, Subcommand},
    control::commit_id,
};

/// Cap of a list of files: some hundred thousand paths.
const LISTING_CAP: usize = 16 * 1024 * 1024;

/// Most earlier paths that are looked up beside the one that was asked for.
const EARLIER_PATHS: usize = 200;

/// Commits to compare: what is in `to` and not in `from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Commit before the work.
    pub from: String,
    /// Commit with the work.
    pub to: String,
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// Path, as it is now; of a deleted file, as it was.
    pub path: Vec<u8>,
    /// Path before a rename.
    pub old_path: Option<Vec<u8>>,
    /// What happened to it.
    pub status: FileStatus,
    /// Lines that are new.
    pub additions: u64,
    /// Lines that are gone.
    pub deletions: u64,
    /// Its content is not text.
    pub is_binary: bool,
}

/// As much of something as is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beginning<T> {
    /// The part that is there.
    pub kept: T,
    /// Something is missing at its end.
    pub is_cut: bool,
}

impl Repository {
    /// Files that differ, those below `path` when one is given; renames are found.
    ///
    /// # Errors
    /// When git fails.
    pub async fn changed_files(
        &self,
        span: &Span,
        path: Option<&FilePath>,
    ) -> Result<Beginning<Vec<FileChange>>, GitError> {
        let whole = self.list(span, &[]).await?;
        let Some(path) = path else { return Ok(whole) };
        if whole.is_cut {
            // Where a file comes from cannot be told any more, but what is asked for can.
            return self.list(span, &[path.as_str().as_bytes()]).await;
        }
        let kept = whole.kept.into_iter().filter(|file| path.covers(&file.path)).collect();
        Ok(Beginning { kept, is_cut: false })
    }

    /// Unified diff, of `path` when one is given, at most `cap` bytes, cut at the end of a line.
    ///
    /// # Errors
    /// When git fails.
    pub async fn patch(
        &self,
        span: &Span,
        path: Option<&FilePath>,
        context: u8,
        cap: usize,
    ) -> Result<Beginning<Vec<u8>>, GitError> {
        let mut paths: Vec<Vec<u8>> = path.iter().map(|path| path.as_str().as_bytes().to_vec()).collect();
        if path.is_some() {
            // A file that was renamed is shown as such only if its earlier path is looked at too.
            let files = self.changed_files(span, path).await?.kept;
            let earlier = files.into_iter().filter_map(|file| file.old_path);
            paths.extend(earlier.take(EARLIER_PATHS));
        }
        let paths: Vec<&[u8]> = paths.iter().map(Vec::as_slice).collect();
        let lines = format!("--unified={context}");
        let call = self.difference(span, &["--patch", &lines], &paths)?.cap(cap);
        let (mut kept, is_cut) = call.beginning().await?;
        if is_cut {
            let end = kept.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            kept.truncate(end);
        }
        Ok(Beginning { kept, is_cut })
    }

    async fn list(&self, span: &Span, paths: &[&[u8]]) -> Result<Beginning<Vec<FileChange>>, GitError> {
        let call = self.difference(span, &["--raw", "--numstat", "-z"], paths)?.cap(LISTING_CAP);
        let (listing, is_cut) = call.beginning().await?;
        let kept = read(&listing).or_else(|| is_cut.then(Vec::new)).ok_or_else(|| GitError::Failed {
            command: "diff",
            tail: "an unknown form of list".to_owned(),
        })?;
        Ok(Beginning { kept, is_cut })
    }

    /// From the last commit that both have in common, so that what a step found there when it began is
    /// not shown as undone by it.
    fn difference(&self, span: &Span, form: &[&str], paths: &[&[u8]]) -> Result<Call<'_>, GitError> {
        let range = format!("{}...{}", commit_id(&span.from)?, commit_id(&span.to)?);
        let literal = |path: &&[u8]| OsString::from_vec([b":(top,literal)".as_slice(), *path].concat());
        Ok(self
            .call(Subcommand::Diff)
            .for_reading()
            .args(["--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=none"])
            .args(["--submodule=short", "--find-renames", "-l400"])
            .args(form)
            .args(["--end-of-options", range.as_str(), "--"])
            .args(paths.iter().map(literal)))
    }
}

/// Reads `:modes shas status NUL path NUL [path NUL] …`, then `added TAB deleted TAB path NUL …` in the
/// same order. `None` when it is anything else.
fn read(listing: &[u8]) -> Option<Vec<FileChange>> {
    let mut fields = listing.split(|&byte| byte == 0).peekable();
    let mut files = Vec::new();
    while let Some(head) = fields.next_if(|field| field.starts_with(b":")) {
        let letter = *head.rsplit(|&byte| byte == b' ').next()?.first()?;
        let first = fields.next()?.to_vec();
        let (status, old_path) = match letter {
            b'A' | b'C' => (FileStatus::Added, None),
            b'D' => (FileStatus::Deleted, None),
            b'T' => (FileStatus::TypeChanged, None),
            b'R' => (FileStatus::Renamed, Some(first.clone())),
            b'M' => (FileStatus::Modified, None),
            _ => return None,
        };
        let path = if matches!(letter, b'R' | b'C') { fields.next()?.to_vec() } else { first };
        files.push(FileChange { path, old_path, status, additions: 0, deletions: 0, is_binary: false });
    }
    for file in &mut files {
        let line = fields.next()?;
        let mut parts = line.splitn(3, |&byte| byte == b'\t');
        let (added, deleted, path) = (parts.next()?, parts.next()?, parts.next()?);
        if path.is_empty() {
            // Old and new path follow.
            fields.next()?;
            if fields.next()? != file.path {
                return None;
            }
        } else if path != file.path {
            return None;
        }
        file.is_binary = added == b"-";
        if !file.is_binary {
            file.additions = number(added)?;
            file.deletions = number(deleted)?;
        }
    }
    let rest = fields.next()?;
    (rest.is_empty() && fields.next().is_none()).then_some(files)
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use tg_core::wire::FileStatus;

    use super::read;

    #[test]
    fn a_list_is_read_by_nul() {
        let listing = b":100644 100644 a1 b2 M\0a \xff\nb\0:100644 100644 a1 b2 R090\0old\0new\0\
            :000000 100644 0 b D\0:x\0:100644 120000 a b T\0l\x001\t2\ta \xff\nb\0\
            3\t0\t\0old\0new\0-\t-\t:x\x000\t1\tl\0";
        let files = read(listing).unwrap();
        let seen: Vec<_> = files
            .iter()
            .map(|file| (file.path.as_slice(), file.status, file.additions, file.deletions, file.is_binary))
            .collect();
        assert_eq!(
            seen,
            [
                (&b"a \xff\nb"[..], FileStatus::Modified, 1, 2, false),
                (b"new", FileStatus::Renamed, 3, 0, false),
                (b":x", FileStatus::Deleted, 0, 0, true),
                (b"l", FileStatus::TypeChanged, 0, 1, false),
            ]
        );
        assert_eq!(files[1].old_path.as_deref(), Some(&b"old"[..]));
        assert_eq!(read(b""), Some(Vec::new()));
    }

    #[test]
    fn any_other_form_is_none() {
        for other in [
            &b":100644 100644 a b M\0a\0"[..],
            b":100644 100644 a b M\0a\x001\t2\tb\0",
            b":100644 100644 a b X\0a\x001\t2\ta\0",
            b":100644 100644 a b R100\0a\0b\x001\t2\ta\0",
            b"1\t2\ta\0",
            b":100644 100644 a b M\0a\x001\t2\ta\0tail",
            b"fatal: what",
        ] {
            assert_eq!(read(other), None, "{}", String::from_utf8_lossy(other));
        }
    }
}
