//! Who may see what: the principal of a request, and the scope that every read reachable from a door
//! takes. Decides nothing: how a principal is found is the door's matter.

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

/// Who sent a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Name recorded as the actor of events: `admin`, `token:<name>`, `project:<id>`.
    pub name: String,
    /// What it may see.
    pub scope: Scope,
}

impl Principal {
    /// Sees everything, so it may call every route.
    pub const fn is_admin(&self) -> bool {
        matches!(self.scope, Scope::All)
    }
}
