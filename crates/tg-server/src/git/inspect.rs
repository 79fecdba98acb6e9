//! Looks at a path or address a person gave, without running anything the repository configures and
//! without writing to it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use tg_core::naming::{BranchName, LocalRemotes, RemoteUrl};

use super::{
    GitError, Hosts,
    agent_view::{self, View},
    builder::{Call, Starter, Subcommand},
};
use crate::process::{ProcessError, Wrap};

/// Wall limit of one call.
const LIMIT: Duration = Duration::from_mins(2);

/// What a path or URL given by a person is: the project's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// `Project.git_url`: origin of the checkout, or the path itself when it has none.
    pub git_url: String,
    /// The checkout, when a path was given.
    pub local_path: Option<PathBuf>,
    /// The checkout has an origin.
    pub has_remote: bool,
    /// Branch the checkout is on, or the remote's default branch.
    pub default_branch: Option<String>,
    /// Uncommitted changes in the checkout: allowed, never touched; worth saying. False also when
    /// that cannot be told without running what the repository configures.
    pub dirty: bool,
}

/// Looks at a path or URL without running anything the repository configures. `environment` is what
/// a call to a remote gets.
///
/// # Errors
/// `GitError::Missing` when there is no such path or no repository, `GitError::Remote` when a
/// remote cannot be asked.
pub async fn inspect(
    program: &Path,
    environment: &[(String, String)],
    given: &str,
    directory: &Path,
    hosts: Hosts,
) -> Result<Source, GitError> {
    let starter = Starter { program, environment, hosts, timeout: LIMIT };
    if given.is_empty() {
        return Err(GitError::Missing("no repository given; name a path or an address".to_owned()));
    }
    let path = directory.join(given);
    if fs::symlink_metadata(&path).is_err() && looks_like_address(given) {
        let url = RemoteUrl::parse(given, LocalRemotes::Allowed)
            .map_err(|error| GitError::Missing(format!("cannot use this repository: {error}")))?;
        if let Some(path) = url.local_path() {
            return at_path(starter, &path).await;
        }
        return at_address(starter, &url).await;
    }
    at_path(starter, &path).await
}

/// An address rather than a path that is not there.
fn looks_like_address(given: &str) -> bool {
    given.contains("://") || given.split_once(':').is_some_and(|(place, _)| !place.contains('/'))
}

async fn at_address(starter: Starter<'_>, url: &RemoteUrl) -> Result<Source, GitError> {
    let listed = Call::new(starter, Subcommand::LsRemote)
        .remote(url)
        .args(["--quiet", "--symref", "--end-of-options", url.as_str(), "HEAD"])
        .remote_output(url)
        .await?;
    let listed = String::from_utf8_lossy(&listed);
    let default_branch = listed
        .lines()
        .find_map(|line| line.strip_prefix("ref: refs/heads/")?.strip_suffix("\tHEAD"))
        .and_then(plain_branch);
    Ok(Source {
        git_url: url.as_str().to_owned(),
        local_path: None,
        has_remote: true,
        default_branch,
        dirty: false,
    })
}

async fn at_path(starter: Starter<'_>, path: &Path) -> Result<Source, GitError> {
    let path = path.canonicalize().map_err(|error| {
        GitError::Missing(if error.kind() == io::ErrorKind::NotFound {
            format!("{} does not exist; name the folder of a git repository or an address", path.display())
        } else {
            format!("cannot look at {}: {error}; check who may read it", path.display())
        })
    })?;
    let place = find(&path)?.ok_or_else(|| {
        GitError::Missing(format!(
            "{} is not a git repository; run `git init` there and make a first commit, or name another one",
            path.display()
        ))
    })?;
    let default_branch = fs::read_to_string(place.git_dir.join("HEAD"))
        .ok()
        .and_then(|text| text.trim_end().strip_prefix("ref: refs/heads/").and_then(plain_branch));
    let Some(root) = &place.root else {
        return Ok(Source {
            git_url: text_of(&place.common)?,
            local_path: None,
            has_remote: true,
            default_branch,
            dirty: false,
        });
    };
    let origin = origin(starter, &place, root).await?;
    let dirty = match is_dirty(starter, &place, root).await {
        Ok(dirty) => dirty,
        Err(error) => {
            tracing::warn!(%error, root = %root.display(), "cannot tell whether the checkout is dirty");
            false
        }
    };
    Ok(Source {
        has_remote: origin.is_some(),
        git_url: match origin {
            Some(url) => url,
            None => text_of(root)?,
        },
        local_path: Some(root.clone()),
        default_branch,
        dirty,
    })
}

/// A repository on this machine.
#[derive(Debug)]
struct Place {
    /// Top of the checkout; `None` for a bare repository.
    root: Option<PathBuf>,
    /// Git dir of the checkout.
    git_dir: PathBuf,
    /// Git dir that holds objects, branches and settings.
    common: PathBuf,
}

/// The repository around a path.
fn find(path: &Path) -> Result<Option<Place>, GitError> {
    for folder in path.ancestors() {
        let entry = folder.join(".git");
        if entry.is_dir() && is_git_dir(&entry) {
            return place(Some(folder.to_owned()), entry).map(Some);
        }
        if entry.is_file() {
            let text = read_small(&entry)?;
            let target = text.trim_end().strip_prefix("gitdir: ").map(|target| folder.join(target));
            return match target.filter(|target| is_git_dir(target)) {
                Some(target) => place(Some(folder.to_owned()), target).map(Some),
                None => Err(GitError::Missing(format!(
                    "{} does not lead to a git repository; repair the checkout or name another one",
                    entry.display()
                ))),
            };
        }
        if is_git_dir(folder) {
            let root =
                (folder.file_name().is_some_and(|name| name == ".git")).then(|| folder.parent()).flatten();
            return place(root.map(Path::to_owned), folder.to_owned()).map(Some);
        }
    }
    Ok(None)
}

fn place(root: Option<PathBuf>, git_dir: PathBuf) -> Result<Place, GitError> {
    let pointer = git_dir.join("commondir");
    let common = if pointer.is_file() {
        git_dir.join(read_small(&pointer)?.trim_end()).canonicalize()?
    } else {
        git_dir.clone()
    };
    Ok(Place { root, git_dir, common })
}

fn is_git_dir(path: &Path) -> bool {
    fs::symlink_metadata(path.join("HEAD")).is_ok()
        && (path.join("commondir").is_file() || (path.join("objects").is_dir() && path.join("refs").is_dir()))
}

/// A file that holds one path.
fn read_small(path: &Path) -> Result<String, GitError> {
    if fs::metadata(path)?.len() > 8192 {
        return Err(GitError::Missing(format!("{} is not what git writes there", path.display())));
    }
    Ok(fs::read_to_string(path)?)
}

/// `remote.origin.url`, read as text: no include is followed, nothing else in the file is used.
async fn origin(starter: Starter<'_>, place: &Place, root: &Path) -> Result<Option<String>, GitError> {
    let config = place.common.join("config");
    if !config.is_file() {
        return Ok(None);
    }
    let output = Call::new(starter, Subcommand::Config)
        .arg("--file")
        .arg(&config)
        .args(["--no-includes", "-z", "--get", "remote.origin.url"])
        .run()
        .await?;
    let value = match output.status {
        Some(0) => String::from_utf8_lossy(&output.stdout).trim_end_matches('\0').to_owned(),
        Some(1) => return Ok(None),
        _ => return Err(super::explain::failed("config", &output)),
    };
    let looks_relative = !value.starts_with('/') && !looks_like_address(&value) && !value.starts_with('-');
    let value = if looks_relative { text_of(&normal(&root.join(&value)))? } else { value };
    RemoteUrl::parse(&value, LocalRemotes::Allowed).map(|url| Some(url.as_str().to_owned())).map_err(
        |error| {
            GitError::Missing(format!(
                "the origin of {} cannot be used: {error}. Change it with `git remote set-url origin …`",
                root.display()
            ))
        },
    )
}

/// Takes `.` and `..` out of a path as far as it exists.
fn normal(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Compares the checkout with its `HEAD` through a git dir of our own and a copy of its index, so
/// that its settings and hooks are never read.
async fn is_dirty(starter: Starter<'_>, place: &Place, root: &Path) -> Result<bool, GitError> {
    let scratch = Scratch::new()?;
    let git_dir = scratch.path.join("git");
    let head = match resolve_head(place)? {
        Some(sha) => format!("{sha}\n"),
        None => "ref: refs/heads/unborn\n".to_owned(),
    };
    let index = place.git_dir.join("index");
    View { head, branch: None, objects: place.common.join("objects"), index: Some(index) }.write(&git_dir)?;
    let listing = Call::new(starter, Subcommand::Status)
        .git_dir(&git_dir)
        .work_tree(root, &Wrap::None)
        .args(["--porcelain=v1", "-z", "--no-renames", "--untracked-files=normal", "--ignore-submodules=all"])
        .output()
        .await;
    match listing {
        Ok(listing) => Ok(!listing.is_empty()),
        Err(GitError::Process(ProcessError::TooMuchOutput(_))) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Commit of `HEAD`, from plain and packed refs.
fn resolve_head(place: &Place) -> Result<Option<String>, GitError> {
    let head = read_small(&place.git_dir.join("HEAD"))?;
    let Some(name) = head.trim_end().strip_prefix("ref: ") else {
        return super::control::commit_id(head.trim_end()).map(Some);
    };
    let Some(short) = name.strip_prefix("refs/heads/").and_then(plain_branch) else { return Ok(None) };
    let plain = place.common.join("refs/heads").join(short);
    if plain.is_file() {
        return super::control::commit_id(read_small(&plain)?.trim_end()).map(Some);
    }
    let packed = place.common.join("packed-refs");
    if !packed.is_file() {
        return Ok(None);
    }
    let text = fs::read_to_string(packed)?;
    let found = text.lines().find_map(|line| line.strip_suffix(name)?.strip_suffix(' ').map(str::to_owned));
    found.map(|sha| super::control::commit_id(&sha)).transpose()
}

/// A branch name that can be used; anything else in a `HEAD` is no branch.
fn plain_branch(name: &str) -> Option<String> {
    BranchName::parse(name).ok().map(|name| name.as_str().to_owned())
}

fn text_of(path: &Path) -> Result<String, GitError> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        GitError::Missing(format!("the path {} is not valid UTF-8; rename or move it", path.display()))
    })
}

/// A folder for one look, readable by us only, removed afterwards.
struct Scratch {
    path: PathBuf,
}

impl Scratch {
    fn new() -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("tasksgodzilla-{}", uuid::Uuid::now_v7()));
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = agent_view::remove(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "a temporary folder stays behind");
        }
    }
}
