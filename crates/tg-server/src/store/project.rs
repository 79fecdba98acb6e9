//! Rows of `projects`.

use tg_core::{
    ids::ProjectId,
    project::{ModelDefaults, Project},
    scope::Scope,
};

use super::{
    StoreError, not_found,
    record::{Record, json_text},
};
use crate::db::{
    Tx,
    dialect::{Row, args},
};

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

mod sql {
    use crate::db::dialect::statements;

    macro_rules! select {
        ($rest:literal) => {
            concat!(
                "SELECT id, name, git_url, local_path, base_branch, default_models, created_at, updated_at ",
                "FROM projects ",
                $rest
            )
        };
    }

    statements! {
        INSERT = "INSERT INTO projects (name, git_url, local_path, base_branch, default_models, created_at, updated_at) \
                  VALUES ($1, $2, $3, $4, $5, $6, $6) RETURNING id";
        LOAD = select!("WHERE id = $1 AND (CAST($2 AS BIGINT) IS NULL OR id = $2)");
        LIST = select!("WHERE id > 0 ORDER BY id DESC LIMIT $1");
        FIND_PATH = select!("WHERE local_path = $1 ORDER BY id LIMIT 1");
        FIND_URL = select!("WHERE git_url = $1 AND local_path IS NULL ORDER BY id LIMIT 1");
    }
}
#[cfg(feature = "testing")]
pub(super) use sql::ALL;

const TABLE: &str = "projects";

fn read(row: Row) -> Result<Project, StoreError> {
    let row = Record::numbered(TABLE, "id", row);
    Ok(Project {
        id: ProjectId(row.int("id")?),
        name: row.text("name")?,
        git_url: row.text("git_url")?,
        local_path: row.maybe_text("local_path")?,
        base_branch: row.text("base_branch")?,
        default_models: row.json("default_models")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}

/// Inserts a project (event `project_created` is the caller's).
pub async fn insert(tx: &mut Tx, new: &NewProject, now: i64) -> Result<Project, StoreError> {
    let values = args![
        &new.name,
        &new.git_url,
        &new.local_path,
        &new.base_branch,
        json_text(&new.default_models),
        now
    ];
    let row = tx.first(sql::INSERT, values).await?.ok_or_else(|| not_found(TABLE, "new"))?;
    let id = ProjectId(Record::numbered(TABLE, "id", row).int("id")?);
    load(tx, &Scope::All, id).await
}

/// Loads one.
pub async fn load(tx: &mut Tx, scope: &Scope, id: ProjectId) -> Result<Project, StoreError> {
    let scope = scope.project().map(|project| project.0);
    let row = tx.first(sql::LOAD, args![id.0, scope]).await?;
    read(row.ok_or_else(|| not_found(TABLE, id))?)
}

/// Newest first.
pub async fn list(tx: &mut Tx, scope: &Scope, limit: i64) -> Result<Vec<Project>, StoreError> {
    let rows = match scope.project() {
        None => tx.all(sql::LIST, args![limit]).await?,
        Some(project) => tx.all(sql::LOAD, args![project.0, project.0]).await?,
    };
    rows.into_iter().map(read).collect()
}

/// The project of this repository: same `local_path`, or, without one, same `git_url` among those
/// that have no checkout of a person.
pub async fn find(
    tx: &mut Tx,
    git_url: &str,
    local_path: Option<&str>,
) -> Result<Option<Project>, StoreError> {
    let row = match local_path {
        Some(path) => tx.first(sql::FIND_PATH, args![path]).await?,
        None => tx.first(sql::FIND_URL, args![git_url]).await?,
    };
    row.map(read).transpose()
}
