//! Repositories for the git tests: a user's checkout, a bare remote and a control repository, each in
//! one temporary folder. Plain git is used for them, never for what is under test.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tg_core::ids::{Fence, JobId, ProjectId, RunId};
use tg_server::{
    git::{
        Hosts, NewCommit, Repository,
        worktree::{Holder, Worktree},
    },
    process::Wrap,
};

/// A checkout with an optional bare remote, and a place for our state.
pub struct World {
    folder: tempfile::TempDir,
    /// As handed to the code under test.
    pub repository: Repository,
}

impl World {
    /// A checkout with one commit on `main`, pushed to a bare remote.
    pub fn with_remote() -> Self {
        let world = Self::bare_start();
        git(world.path(), &["init", "-q", "--bare", "--initial-branch=main", "remote.git"]);
        git(&world.checkout(), &["remote", "add", "origin", &text(&world.remote())]);
        git(&world.checkout(), &["push", "-q", "origin", "main"]);
        world
    }

    /// A checkout with one commit on `main` and no remote.
    pub fn without_remote() -> Self {
        let mut world = Self::bare_start();
        world.repository.git_url = text(&world.checkout());
        world
    }

    fn bare_start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let checkout = root.join("checkout");
        git(&root, &["init", "-q", "--initial-branch=main", "checkout"]);
        write(&checkout.join("README.md"), "hello\n");
        write(&checkout.join("src/lib.txt"), "one\n");
        write(&checkout.join(".gitignore"), "build/\n");
        commit_all(&checkout, "start");
        let repository = Repository {
            program: PathBuf::from("git"),
            environment: environment(),
            hosts: Hosts::Public,
            control: root.join("control/1.git"),
            git_url: text(&root.join("remote.git")),
            local_path: Some(checkout),
            wrap: Wrap::None,
            identity: ("Ada Test".to_owned(), "ada@example.org".to_owned()),
            timeout: Duration::from_mins(1),
            project: ProjectId(1),
        };
        Self { folder, repository }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn checkout(&self) -> PathBuf {
        self.repository.local_path.clone().unwrap()
    }

    pub fn remote(&self) -> PathBuf {
        self.repository.control.parent().unwrap().parent().unwrap().join("remote.git")
    }

    pub fn tree_path(&self) -> PathBuf {
        self.remote().with_file_name("worktrees").join("0001-task")
    }

    /// Fetches and makes the worktree of run 1, as the first attempt of a job.
    pub async fn worktree(&self) -> Worktree {
        let base = self.repository.fetch_base("main").await.unwrap();
        let (tree, leftover) = self
            .repository
            .ensure_worktree(self.tree_path(), RunId(1), "0001-task", &base, &holder("job-1", 1))
            .await
            .unwrap();
        assert_eq!(leftover, None);
        tree
    }

    /// Commits what lies in the worktree.
    pub async fn commit(&self, tree: &Worktree, subject: &str) -> Option<String> {
        self.repository.commit(tree, &new_commit(subject)).await.unwrap()
    }

    /// A path for a hostile program to write to.
    pub fn sentinel(&self, name: &str) -> PathBuf {
        let folder = self.remote().with_file_name("sentinels");
        fs::create_dir_all(&folder).unwrap();
        folder.join(name)
    }

    /// Names of the hostile programs that ran.
    pub fn fired(&self) -> Vec<String> {
        let folder = self.remote().with_file_name("sentinels");
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

pub fn new_commit(subject: &str) -> NewCommit {
    NewCommit { subject: subject.to_owned(), trailers: vec![("TG-Run".to_owned(), "1".to_owned())] }
}

pub fn holder(job: &str, fence: i64) -> Holder {
    Holder { job: JobId(job.to_owned()), fence: Fence(fence) }
}

/// What a call to a remote gets in these tests.
pub fn environment() -> Vec<(String, String)> {
    vec![("PATH".to_owned(), search_path())]
}

#[expect(clippy::disallowed_methods, reason = "tests find git where the shell does")]
fn search_path() -> String {
    std::env::var("PATH").unwrap_or_else(|_| "/usr/bin:/bin".to_owned())
}

/// Runs plain git as a user would and hands back what it printed.
#[track_caller]
pub fn git(directory: &Path, arguments: &[&str]) -> String {
    let (success, output) = try_git(directory, arguments);
    assert!(success, "git {arguments:?} in {}: {output}", directory.display());
    output
}

/// As `git`; says whether it succeeded.
#[expect(clippy::disallowed_methods, reason = "fixtures are made with plain git")]
pub fn try_git(directory: &Path, arguments: &[&str]) -> (bool, String) {
    let output = std::process::Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .env("PATH", search_path())
        .env("HOME", directory)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_AUTHOR_NAME", "User")
        .env("GIT_AUTHOR_EMAIL", "user@example.org")
        .env("GIT_COMMITTER_NAME", "User")
        .env("GIT_COMMITTER_EMAIL", "user@example.org")
        .output()
        .unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), text)
}

pub fn commit_all(directory: &Path, subject: &str) {
    git(directory, &["add", "-A"]);
    git(directory, &["commit", "-q", "-m", subject]);
}

#[track_caller]
pub fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// Every file below a folder with its kind, mode, times and content.
pub fn snapshot(folder: &Path) -> BTreeMap<PathBuf, String> {
    use std::os::unix::fs::MetadataExt;
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let data = fs::symlink_metadata(&path).unwrap();
            let content = if data.is_dir() {
                folders.push(path.clone());
                Vec::new()
            } else if data.is_symlink() {
                fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
            } else {
                fs::read(&path).unwrap()
            };
            let line = format!("{:o} {}.{} {content:?}", data.mode(), data.mtime(), data.mtime_nsec());
            found.insert(path, line);
        }
    }
    found
}
