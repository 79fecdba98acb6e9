//! One git call: fixed hardening, closed environment, typed subcommand, argument vector.
//! Starts nothing that a repository configures; knows nothing about what a call means.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tg_core::naming::{RemoteUrl, Transport};

use super::{
    GitError, Repository,
    address::{self, Hosts},
    explain,
};
use crate::process::{self, Command, Kept, Output, Wrap};

/// git processes started by this process so far.
static PROCESSES: AtomicU64 = AtomicU64::new(0);

/// Cap of what one call may print.
pub(super) const OUTPUT_CAP: usize = 16 * 1024 * 1024;

/// How many git processes this process has started (for the bench).
pub fn processes() -> u64 {
    PROCESSES.load(Ordering::Relaxed)
}

/// Settings no call may go without. What is configured here wins over every file.
const HARDENING: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "core.logAllRefUpdates=false",
    "core.quotePath=false",
    // Without a terminal nothing may wait for an answer.
    "core.sshCommand=ssh -oBatchMode=yes -oConnectTimeout=30",
    "ssh.variant=ssh",
    "diff.ignoreSubmodules=all",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "fetch.fsckObjects=false",
    "protocol.version=2",
    "gc.auto=0",
    "maintenance.auto=false",
    "commit.gpgSign=false",
    "push.gpgSign=false",
    "credential.interactive=false",
    "safe.bareRepository=explicit",
    "advice.addEmbeddedRepo=false",
    "i18n.commitEncoding=utf-8",
];

/// Our side of a remote on this machine: git starts it there, so it gets the same settings. A
/// repository that plays the remote runs no hook and no command of its own in our name.
const SERVE: &str = "git -c core.hooksPath=/dev/null -c core.fsmonitor=false \
                     -c core.alternateRefsCommand=true -c receive.autogc=false -c gc.auto=0 \
                     -c maintenance.auto=false";

/// A program that is nowhere: a call that needs no helper finds none, so that whatever a
/// repository makes git start fails instead of running.
const NOWHERE: &str = "/dev/null";

/// The tree without files, which every repository knows: where attributes are looked for when none may
/// count.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// From this size on a file counts as binary when commits are shown.
const LARGE_FILE: &str = "core.bigFileThreshold=16m";

/// The subcommands we use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subcommand {
    Add,
    CatFile,
    Commit,
    CommitTree,
    Config,
    Diff,
    Fetch,
    ForEachRef,
    Init,
    Log,
    LsFiles,
    LsRemote,
    LsTree,
    Push,
    ReadTree,
    RevList,
    Status,
    UpdateIndex,
    UpdateRef,
    Version,
    WriteTree,
}

impl Subcommand {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::CatFile => "cat-file",
            Self::Commit => "commit",
            Self::CommitTree => "commit-tree",
            Self::Config => "config",
            Self::Diff => "diff",
            Self::Fetch => "fetch",
            Self::ForEachRef => "for-each-ref",
            Self::Init => "init",
            Self::Log => "log",
            Self::LsFiles => "ls-files",
            Self::LsRemote => "ls-remote",
            Self::LsTree => "ls-tree",
            Self::Push => "push",
            Self::ReadTree => "read-tree",
            Self::RevList => "rev-list",
            Self::Status => "status",
            Self::UpdateIndex => "update-index",
            Self::UpdateRef => "update-ref",
            Self::Version => "version",
            Self::WriteTree => "write-tree",
        }
    }
}

/// How git is started.
#[derive(Debug, Clone, Copy)]
pub(super) struct Starter<'a> {
    pub(super) program: &'a Path,
    pub(super) environment: &'a [(String, String)],
    pub(super) hosts: Hosts,
    pub(super) timeout: Duration,
}

impl Repository {
    pub(super) fn starter(&self) -> Starter<'_> {
        Starter {
            program: &self.program,
            environment: &self.environment,
            hosts: self.hosts,
            timeout: self.timeout,
        }
    }

    /// A call on objects and refs only.
    pub(super) fn call(&self, subcommand: Subcommand) -> Call<'_> {
        Call::new(self.starter(), subcommand).git_dir(&self.control)
    }
}

/// A git call being put together.
#[derive(Debug)]
pub(super) struct Call<'a> {
    starter: Starter<'a>,
    subcommand: Subcommand,
    git_dir: Option<PathBuf>,
    work_tree: Option<PathBuf>,
    wrap: Wrap,
    remote: Option<&'a RemoteUrl>,
    pinned: Vec<String>,
    identity: Option<&'a (String, String)>,
    arguments: Vec<OsString>,
    input: Vec<u8>,
    cap: usize,
    for_reading: bool,
}

impl<'a> Call<'a> {
    pub(super) fn new(starter: Starter<'a>, subcommand: Subcommand) -> Self {
        Self {
            starter,
            subcommand,
            git_dir: None,
            work_tree: None,
            wrap: Wrap::None,
            remote: None,
            pinned: Vec::new(),
            identity: None,
            arguments: Vec::new(),
            input: Vec::new(),
            cap: OUTPUT_CAP,
            for_reading: false,
        }
    }

    /// The git dir; without one the call looks at no repository.
    pub(super) fn git_dir(mut self, path: &Path) -> Self {
        self.git_dir = Some(path.to_owned());
        self
    }

    /// Files of this tree, with the index that lies in the git dir, confined.
    pub(super) fn work_tree(mut self, path: &Path, wrap: &Wrap) -> Self {
        self.work_tree = Some(path.to_owned());
        self.wrap = wrap.clone();
        self
    }

    /// Talks to this remote and to no other transport. The address itself is an argument.
    pub(super) fn remote(mut self, url: &'a RemoteUrl) -> Self {
        self.remote = Some(url);
        self
    }

    pub(super) fn identity(mut self, identity: &'a (String, String)) -> Self {
        self.identity = Some(identity);
        self
    }

    pub(super) fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    pub(super) fn args<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    pub(super) fn input(mut self, input: Vec<u8>) -> Self {
        self.input = input;
        self
    }

    /// Shows commits as they are: no attribute of a tree hides a text or makes one of a binary file, and
    /// a file too large to be read by people is not compared line by line.
    pub(super) fn for_reading(mut self) -> Self {
        self.for_reading = true;
        self
    }

    pub(super) fn cap(mut self, cap: usize) -> Self {
        self.cap = cap;
        self
    }

    /// Runs it; a status other than 0 is for the caller to read.
    pub(super) async fn run(self) -> Result<Output, GitError> {
        Ok(process::run(self.command().await?).await?)
    }

    /// Runs it and hands back its standard output, of which no more than the cap is kept, and whether
    /// something is missing; any other status than 0 is an error.
    pub(super) async fn beginning(self) -> Result<(Vec<u8>, bool), GitError> {
        let word = self.subcommand.word();
        match process::run_keeping(self.command().await?).await? {
            Kept::Head { stdout, .. } => Ok((stdout, true)),
            Kept::Whole(output) if output.status == Some(0) => Ok((output.stdout, false)),
            Kept::Whole(output) => Err(explain::failed(word, &output)),
        }
    }

    /// The process, counted as started; a remote is looked at before it is.
    async fn command(mut self) -> Result<Command, GitError> {
        if let Some(url) = self.remote {
            self.pinned = address::vet(url, self.starter.hosts, self.starter.environment).await?;
        }
        let search_path = self.search_path();
        let program = process::find_program(self.starter.program, &search_path).ok_or_else(|| {
            GitError::Unusable(format!(
                "{} was not found on the search path; install git {}.{} or newer",
                self.starter.program.display(),
                super::MINIMUM_VERSION.0,
                super::MINIMUM_VERSION.1
            ))
        })?;
        let command = Command {
            environment: self.closed_environment(&program, &search_path),
            arguments: self.command_line(),
            directory: self
                .work_tree
                .clone()
                .or_else(|| self.git_dir.clone().filter(|path| path.is_dir()))
                .unwrap_or_else(|| PathBuf::from("/")),
            program,
            input: self.input,
            wrap: self.wrap,
            timeout: self.starter.timeout,
            output_cap: self.cap,
        };
        PROCESSES.fetch_add(1, Ordering::Relaxed);
        Ok(command)
    }

    /// Runs it and hands back its standard output; any other status than 0 is an error.
    pub(super) async fn output(self) -> Result<Vec<u8>, GitError> {
        let command = self.subcommand.word();
        let output = self.run().await?;
        if output.status == Some(0) {
            return Ok(output.stdout);
        }
        Err(explain::failed(command, &output))
    }

    /// As `output`, for a call that talks to a remote: its failure is the remote's.
    pub(super) async fn remote_output(self, url: &RemoteUrl) -> Result<Vec<u8>, GitError> {
        let output = self.run().await?;
        if output.status == Some(0) {
            return Ok(output.stdout);
        }
        Err(explain::remote(url, &output))
    }

    fn search_path(&self) -> String {
        self.starter
            .environment
            .iter()
            .find(|(name, _)| name == "PATH")
            .map_or("/usr/local/bin:/usr/bin:/bin", |(_, value)| value)
            .to_owned()
    }

    fn command_line(&self) -> Vec<OsString> {
        let mut line: Vec<OsString> = vec!["--no-pager".into()];
        for setting in HARDENING {
            line.extend(["-c".into(), OsString::from(setting)]);
        }
        if self.for_reading {
            line.extend(["-c".into(), LARGE_FILE.into()]);
        }
        for setting in &self.pinned {
            line.extend(["-c".into(), OsString::from(setting)]);
        }
        if let Some(path) = &self.git_dir {
            line.push(option("--git-dir=", path));
        }
        if let Some(path) = &self.work_tree {
            line.push(option("--work-tree=", path));
        }
        line.push(self.subcommand.word().into());
        let served_here = self.remote.is_some_and(|url| matches!(url.transport(), Transport::File));
        if served_here {
            match self.subcommand {
                Subcommand::Push => line.push(format!("--receive-pack={SERVE} receive-pack").into()),
                Subcommand::Fetch | Subcommand::LsRemote => {
                    line.push(format!("--upload-pack={SERVE} upload-pack").into());
                }
                Subcommand::Add
                | Subcommand::CatFile
                | Subcommand::Commit
                | Subcommand::CommitTree
                | Subcommand::Config
                | Subcommand::Diff
                | Subcommand::ForEachRef
                | Subcommand::Init
                | Subcommand::Log
                | Subcommand::LsFiles
                | Subcommand::LsTree
                | Subcommand::ReadTree
                | Subcommand::RevList
                | Subcommand::Status
                | Subcommand::UpdateIndex
                | Subcommand::UpdateRef
                | Subcommand::Version
                | Subcommand::WriteTree => {}
            }
        }
        line.extend(self.arguments.iter().cloned());
        line
    }

    /// The complete environment of the call.
    fn closed_environment(&self, program: &Path, search_path: &str) -> Vec<(OsString, OsString)> {
        let mut environment: Vec<(OsString, OsString)> = Vec::new();
        let mut set = |name: &str, value: OsString| environment.push((name.into(), value));
        set("LC_ALL", "C".into());
        set("GIT_CONFIG_NOSYSTEM", "1".into());
        set("GIT_CONFIG_SYSTEM", NOWHERE.into());
        set("GIT_CONFIG_GLOBAL", NOWHERE.into());
        set("GIT_ATTR_NOSYSTEM", "1".into());
        set("GIT_TERMINAL_PROMPT", "0".into());
        set("GIT_OPTIONAL_LOCKS", "0".into());
        set("GIT_NO_REPLACE_OBJECTS", "1".into());
        set("GIT_NO_LAZY_FETCH", "1".into());
        set("GIT_CEILING_DIRECTORIES", "/".into());
        match self.remote {
            None => {
                set("GIT_ALLOW_PROTOCOL", "none".into());
                set("PATH", NOWHERE.into());
                set("GIT_EXEC_PATH", NOWHERE.into());
            }
            Some(url) => {
                set("GIT_ALLOW_PROTOCOL", url.transport().as_str().into());
                for (name, value) in self.starter.environment.iter().filter(|(name, _)| name != "PATH") {
                    set(name, value.into());
                }
                // The git that serves a remote on this machine is the same program.
                let mut path = OsString::new();
                if let Some(folder) = program.parent() {
                    path.push(folder);
                    path.push(":");
                }
                path.push(search_path);
                set("PATH", path);
            }
        }
        if let (Some(_), Some(git_dir)) = (&self.work_tree, &self.git_dir) {
            set("GIT_INDEX_FILE", git_dir.join("index").into());
        }
        if self.for_reading {
            set("GIT_ATTR_SOURCE", EMPTY_TREE.into());
        }
        if let Some((name, mail)) = self.identity {
            for who in ["AUTHOR", "COMMITTER"] {
                set(&format!("GIT_{who}_NAME"), name.into());
                set(&format!("GIT_{who}_EMAIL"), mail.into());
            }
        }
        environment
    }
}

fn option(prefix: &str, path: &Path) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(path);
    text
}

#[cfg(test)]
mod tests;
