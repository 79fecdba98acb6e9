//! Probes what confinement the machine offers and turns a role's grant into a `Wrap`.
//! Refuses when nothing holds; never falls back silently.
//!
//! No variable is set on the wrap's command line: that one is visible to everybody. The wrap hands
//! its own environment on, which the supervisor built from empty.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Role, exchange};
use crate::process::{self, Command, Wrap};

/// What was found at start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sandbox {
    /// bubblewrap works.
    Bwrap(PathBuf),
    /// Nothing works; the sentence says why and what to do.
    Unavailable(String),
}

/// What a confined process may see and write.
#[derive(Debug, Clone)]
pub struct Grant {
    /// Worktree.
    pub worktree: PathBuf,
    /// Role decides whether the worktree is writable.
    pub role: Role,
    /// Engine's home, writable.
    pub home: PathBuf,
    /// Login folder shared by setting, writable.
    pub login: Option<PathBuf>,
    /// Folder of the call; only its `exchange` folder is shown, writable (last message file).
    pub call_dir: PathBuf,
    /// More paths to see read-only (engine's install root, control objects).
    pub read_only: Vec<PathBuf>,
    /// The host's network stays reachable (engines need their provider; git here does not).
    pub network: bool,
}

const REMEDY: &str = "install bubblewrap (package `bubblewrap`) and allow unprivileged user namespaces, \
    or accept engines without confinement with TASKSGODZILLA_SANDBOX=off";

/// What a program may know of the machine's configuration. Nothing here holds a secret.
const ETC: &[&str] = &[
    "alternatives",
    "ca-certificates",
    "crypto-policies",
    "group",
    "gai.conf",
    "host.conf",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "locale.alias",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "pki",
    "protocols",
    "resolv.conf",
    "services",
    "ssl",
    "terminfo",
    "mime.types",
];
/// Beside `/usr`; links on most machines, folders on some.
const SYSTEM: &[&str] = &["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"];

/// Tries the sandbox once: really, with the namespaces that engines get.
pub async fn probe(search_path: &str) -> Sandbox {
    let Some(bwrap) = process::find_program(Path::new("bwrap"), search_path) else {
        return Sandbox::Unavailable(format!("bwrap was not found on PATH; {REMEDY}"));
    };
    let mut prefix = base(&bwrap, false);
    prefix.word("--");
    let command = Command {
        program: PathBuf::from("/usr/bin/true"),
        arguments: Vec::new(),
        environment: vec![("PATH".into(), search_path.into())],
        directory: PathBuf::from("/"),
        input: Vec::new(),
        wrap: Wrap::Prefix(prefix.0),
        timeout: Duration::from_secs(10),
        output_cap: 64 * 1024,
    };
    match process::run(command).await {
        Ok(output) if output.status == Some(0) => Sandbox::Bwrap(bwrap),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Sandbox::Unavailable(format!("bwrap does not work here ({}); {REMEDY}", said.trim()))
        }
        Err(error) => Sandbox::Unavailable(format!("bwrap does not work here ({error}); {REMEDY}")),
    }
}

impl Sandbox {
    /// The wrap for a grant, or why there is none. Makes the call's `exchange` folder, which the
    /// wrap must find.
    ///
    /// # Errors
    /// The sentence says why no confinement can be had.
    pub fn wrap(&self, grant: &Grant) -> Result<Wrap, String> {
        let bwrap = match self {
            Self::Bwrap(bwrap) => bwrap,
            Self::Unavailable(why) => return Err(why.clone()),
        };
        let exchange = exchange(&grant.call_dir);
        for folder in [&exchange, &grant.home] {
            std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        for path in
            [&grant.worktree, &grant.home, &exchange].into_iter().chain(&grant.read_only).chain(&grant.login)
        {
            bindable(path)?;
        }
        let mut line = base(bwrap, grant.network);
        // Writable places last: a later mount hides an earlier one.
        for path in &grant.read_only {
            line.bind("--ro-bind", path);
        }
        line.bind(if grant.role.writes() { "--bind" } else { "--ro-bind" }, &grant.worktree);
        let git = grant.worktree.join(".git");
        // Only what the agent could turn into a hook or another repository's address; a link is
        // left as it is, because binding would follow it.
        if git.symlink_metadata().is_ok_and(|data| data.is_dir() || data.is_file()) {
            line.bind("--ro-bind", &git);
        }
        line.bind("--bind", &grant.home);
        if let Some(login) = &grant.login {
            line.bind("--bind", login);
        }
        line.bind("--bind", &exchange);
        line.word("--chdir");
        line.word(&grant.worktree);
        line.word("--");
        Ok(Wrap::Prefix(line.0))
    }

    /// The wrap for git on worktree files: control dir and worktree, no network. `Wrap::None` when
    /// the sandbox is unavailable (git then relies on the control repository alone).
    pub fn git_wrap(&self, control: &Path, worktree: &Path) -> Wrap {
        let Self::Bwrap(bwrap) = self else { return Wrap::None };
        let mut line = base(bwrap, false);
        for path in [control, worktree] {
            // Either may still have to be made: then there is nothing to protect it from yet.
            line.bind("--bind-try", path);
        }
        line.word("--");
        Wrap::Prefix(line.0)
    }
}

/// A path that can be bound: absolute and not so high up that it shows everything.
fn bindable(path: &Path) -> Result<(), String> {
    // A folder this high up is the machine's and not an engine's; a file may lie anywhere.
    if !path.is_absolute() || (path.components().count() < 3 && !path.is_file()) {
        return Err(format!("{} is too wide to be shown to an engine", path.display()));
    }
    if !path.exists() {
        return Err(format!("{} does not exist", path.display()));
    }
    Ok(())
}

struct Line(Vec<OsString>);

impl Line {
    fn word(&mut self, word: impl Into<OsString>) {
        self.0.push(word.into());
    }

    fn words<const N: usize>(&mut self, words: [&str; N]) {
        self.0.extend(words.iter().map(OsString::from));
    }

    fn bind(&mut self, how: &str, path: &Path) {
        self.word(how);
        self.word(path);
        self.word(path);
    }
}

/// Who a process inside is when we are root. Not 0: an agent's own sandbox may not map that again.
const USER_INSIDE: &str = "1000";

/// Namespaces and a minimal read-only system; a new session keeps it from our terminal.
fn base(bwrap: &Path, network: bool) -> Line {
    let mut line = Line(vec![bwrap.into()]);
    let is_root = rustix::process::geteuid().is_root();
    line.words(["--cap-drop", "ALL"]);
    if is_root {
        // Root keeps its capabilities inside unless it has a user namespace of its own, and with
        // them it could undo every mount below.
        line.words(["--unshare-user", "--uid", USER_INSIDE, "--gid", USER_INSIDE]);
    }
    line.words(["--die-with-parent", "--new-session", "--unshare-pid", "--unshare-ipc", "--unshare-uts"]);
    line.words(["--unshare-cgroup-try"]);
    if !network {
        line.words(["--unshare-net"]);
    }
    line.words(["--proc", "/proc", "--dev", "/dev", "--ro-bind", "/usr", "/usr"]);
    if is_root {
        // The kernel's settings ask who we are outside, not what we may do.
        line.words(["--ro-bind", "/proc/sys", "/proc/sys"]);
    }
    for path in SYSTEM.iter().map(Path::new) {
        match path.read_link() {
            Ok(target) => {
                line.word("--symlink");
                line.word(target);
                line.word(path);
            }
            Err(_no_link) => line.bind("--ro-bind-try", path),
        }
    }
    for name in ETC {
        line.bind("--ro-bind-try", &Path::new("/etc").join(name));
    }
    line.words(["--tmpfs", "/tmp", "--dir", "/var/tmp", "--dir", "/run"]);
    line
}
