//! Where prompts are looked for and outputs are written: candidates, kept inside their roots.
//!
//! The arithmetic knows no links. Whoever opens a path must check again what it resolves to.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use super::StepSpec;
use crate::layout;

/// The two roots of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    /// Worktree, absolute.
    pub workspace: PathBuf,
    /// Protocol folder, absolute, inside the worktree.
    pub protocol_root: PathBuf,
}

/// What the caller found at a path after following links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A regular file inside the worktree.
    File,
    /// Nothing; its folder, as far as it exists, lies inside the worktree.
    Missing,
    /// It, or a folder on the way, leads out of the worktree, or it is no regular file.
    Outside,
}

/// Why a path is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing given.
    #[error("the path of its {role} is empty; name a file")]
    Empty {
        /// What the path is for.
        role: String,
    },
    /// Leaves the worktree.
    #[error("its {role} {path:?} lies outside the worktree; use a path inside it")]
    Outside {
        /// What the path is for.
        role: String,
        /// The path, shortened.
        path: String,
    },
    /// Inside a `.git`.
    #[error("its {role} {path:?} lies inside .git; use another path")]
    GitDir {
        /// What the path is for.
        role: String,
        /// The path, shortened.
        path: String,
    },
}

/// Where the answer of a step goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outputs {
    /// The protocol output, absolute.
    pub protocol: PathBuf,
    /// Further outputs by name, absolute.
    pub aux: BTreeMap<String, PathBuf>,
}

impl Places {
    /// Roots of a run whose protocol folder is the usual one.
    pub fn of(workspace: impl Into<PathBuf>, protocol_name: &str) -> Self {
        let workspace = workspace.into();
        Self { protocol_root: workspace.join(layout::protocol_root(protocol_name)), workspace }
    }

    /// Where a prompt may lie, in the order of search: below the protocol folder, then below the
    /// worktree; an absolute path only inside them.
    pub fn prompt_candidates(&self, prompt_ref: &str) -> Result<Vec<PathBuf>, PathError> {
        self.candidates("prompt", prompt_ref)
    }

    /// As [`Self::prompt_candidates`], for the QA prompt: the stated one, else the repository's.
    pub fn qa_prompt_candidates(&self, stated: Option<&str>) -> Result<Vec<PathBuf>, PathError> {
        let mut all = match stated {
            Some(path) => self.candidates("QA prompt", path)?,
            None => Vec::new(),
        };
        let repository = self.workspace.join(layout::prompt_file("quality-validator"));
        if !all.contains(&repository) {
            all.push(repository);
        }
        Ok(all)
    }

    fn candidates(&self, role: &str, path: &str) -> Result<Vec<PathBuf>, PathError> {
        let mut all: Vec<PathBuf> = Vec::new();
        let mut refused: Option<PathError> = None;
        for root in [&self.protocol_root, &self.workspace] {
            match self.inside(role, root, path) {
                Ok(candidate) if all.contains(&candidate) => {}
                Ok(candidate) => all.push(candidate),
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        match refused {
            Some(error) if all.is_empty() => Err(error),
            Some(_) | None => Ok(all),
        }
    }

    /// Where the answer of a step goes, defaults included; `step_name` is the run's name of it.
    pub fn outputs(&self, step: &StepSpec, step_name: &str) -> Result<Outputs, PathError> {
        let default = layout::step_output(layout::step_stem(step_name)).to_string_lossy().into_owned();
        let stated = step.outputs.as_ref();
        let protocol = stated.and_then(|outputs| outputs.protocol.as_deref()).unwrap_or(&default);
        let aux = stated.into_iter().flat_map(|outputs| &outputs.aux);
        Ok(Outputs {
            protocol: self.inside("output", &self.protocol_root, protocol)?,
            aux: aux
                .map(|(name, path)| Ok((name.clone(), self.inside("aux output", &self.protocol_root, path)?)))
                .collect::<Result<_, PathError>>()?,
        })
    }

    /// `path` below `root`, `.` and `..` worked out; refused when that leaves the worktree.
    fn inside(&self, role: &str, root: &Path, path: &str) -> Result<PathBuf, PathError> {
        let shown = || path.chars().take(120).collect::<String>();
        if path.trim().is_empty() {
            return Err(PathError::Empty { role: role.to_owned() });
        }
        let outside = || PathError::Outside { role: role.to_owned(), path: shown() };
        if path.contains('\0') {
            return Err(outside());
        }
        let clean = worked_out(&root.join(path)).ok_or_else(outside)?;
        let below = clean.strip_prefix(&self.workspace).map_err(|_not_below| outside())?;
        if below.as_os_str().is_empty() {
            return Err(outside());
        }
        if below.components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git")) {
            return Err(PathError::GitDir { role: role.to_owned(), path: shown() });
        }
        Ok(clean)
    }
}

/// The path without `.` and `..`; `None` when it climbs above its start.
fn worked_out(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => clean.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !matches!(clean.components().next_back(), Some(Component::Normal(_))) {
                    return None;
                }
                clean.pop();
            }
        }
    }
    Some(clean)
}
