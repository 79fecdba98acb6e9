//! Who may see what: the scope that every read reachable from a door takes.

use crate::ids::ProjectId;

/// What a principal may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Everything (admin, local command line, our own jobs).
    All,
    /// One project and what belongs to it.
    Project(ProjectId),
}

impl Scope {
    /// Project the scope is limited to; `None` = no limit.
    pub const fn project(self) -> Option<ProjectId> {
        match self {
            Self::All => None,
            Self::Project(id) => Some(id),
        }
    }
}
