//! Probes what confinement the machine offers and turns a role's grant into a `Wrap`.
//! Refuses when nothing holds; never falls back silently.

use std::path::{Path, PathBuf};

use super::Role;
use crate::process::Wrap;

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
    /// Folder of the call, writable (last message file).
    pub call_dir: PathBuf,
    /// More paths to see read-only (engine's install root, control objects).
    pub read_only: Vec<PathBuf>,
    /// The host's network stays reachable (engines need their provider; git here does not).
    pub network: bool,
}

/// Tries the sandbox once.
pub async fn probe(search_path: &str) -> Sandbox {
    todo!()
}

impl Sandbox {
    /// The wrap for a grant, or why there is none.
    pub fn wrap(&self, grant: &Grant) -> Result<Wrap, String> {
        todo!()
    }

    /// The wrap for git on worktree files: control dir and worktree, no network. `Wrap::None` when
    /// the sandbox is unavailable (git then relies on the control repository alone).
    pub fn git_wrap(&self, control: &Path, worktree: &Path) -> Wrap {
        todo!()
    }
}
