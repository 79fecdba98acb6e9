//! Rows of `projects`.

use tg_core::{
    ids::ProjectId,
    project::{ModelDefaults, Project},
    scope::Scope,
};

use super::StoreError;
use crate::db::Tx;

/// A project before it has an id.
#[derive(Debug, Clone)]
pub struct NewProject {
    /// Shown name.
    pub name: String,
    /// Where the repository comes from.
    pub git_url: String,
    /// The user's checkout, if any.
    pub local_path: Option<String>,
    /// Branch that runs start from.
    pub base_branch: String,
    /// Model preferences.
    pub default_models: ModelDefaults,
}

/// Inserts a project (event `project_created` is the caller's).
pub async fn insert(tx: &mut Tx, new: &NewProject, now: i64) -> Result<Project, StoreError> {
    todo!()
}

/// Loads one.
pub async fn load(tx: &mut Tx, scope: &Scope, id: ProjectId) -> Result<Project, StoreError> {
    todo!()
}

/// Newest first.
pub async fn list(tx: &mut Tx, scope: &Scope, limit: i64) -> Result<Vec<Project>, StoreError> {
    todo!()
}

/// The project of this repository: same `local_path`, or, without one, same `git_url`.
pub async fn find(
    tx: &mut Tx,
    git_url: &str,
    local_path: Option<&str>,
) -> Result<Option<Project>, StoreError> {
    todo!()
}
