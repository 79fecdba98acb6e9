//! Rows of `projects`.

use tg_core::{
    ids::ProjectId,
    project::{ForgeKind, ModelDefaults, Project},
    scope::Scope,
};

use super::{
    StoreError, not_found,
    record::{Record, json_text},
    touched,
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
    /// Where its PR/MR and checks live.
    pub ci_provider: Option<ForgeKind>,
    /// Model preferences.
    pub default_models: ModelDefaults,
}

/// Which projects to list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only older than this one.
    pub before: Option<i64>,
    /// Archived ones, too.
    pub archived: bool,
}

mod sql {
    use crate::db::dialect::statements;

    macro_rules! select {
        ($rest:expr) => {
            concat!(
                "SELECT id, name, git_url, local_path, base_branch, ci_provider, default_models, archived_at, ",
                "(SELECT string_agg(secret_key, ' ') FROM project_secrets WHERE project_id = projects.id) ",
                "AS secrets_set, created_at, updated_at FROM projects ",
                $rest
            )
        };
    }
    macro_rules! one {
        ($rest:literal) => {
            select!(concat!("WHERE id = $1 AND (CAST($2 AS BIGINT) IS NULL OR id = $2)", $rest))
        };
    }

    statements! {
        INSERT = "INSERT INTO projects (name, git_url, local_path, base_branch, ci_provider, default_models, created_at, \
                  updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $7) RETURNING id";
        LOAD = one!("");
        LOCK_POSTGRES = one!(" FOR NO KEY UPDATE");
        LIST = select!("WHERE archived_at IS NULL AND id < $1 ORDER BY id DESC LIMIT $2");
        LIST_ALL = select!("WHERE id < $1 ORDER BY id DESC LIMIT $2");
        FIND_PATH = select!("WHERE local_path = $1 AND archived_at IS NULL ORDER BY id LIMIT 1");
        FIND_URL = select!("WHERE git_url = $1 AND local_path IS NULL AND archived_at IS NULL ORDER BY id LIMIT 1");
        UPDATE = "UPDATE projects SET name = $1, base_branch = $2, local_path = $3, ci_provider = $4, \
                  default_models = $5, updated_at = $6 WHERE id = $7 AND archived_at IS NULL";
        ARCHIVE = "UPDATE projects SET archived_at = $1, updated_at = $1 WHERE id = $2 AND archived_at IS NULL";
        UNFINISHED = "SELECT id FROM protocol_runs WHERE project_id = $1 AND finished_at IS NULL \
                      AND archived_at IS NULL LIMIT 1";
        STATE = "SELECT id, archived_at FROM projects WHERE id = $1";
        STATE_POSTGRES = "SELECT id, archived_at FROM projects WHERE id = $1 FOR SHARE";
    }
}
#[cfg(feature = "testing")]
pub(super) use sql::ALL;

const TABLE: &str = "projects";

fn read(row: Row) -> Result<Project, StoreError> {
    let row = Record::numbered(TABLE, "id", row);
    let secrets = row.maybe_text("secrets_set")?.unwrap_or_default();
    let mut secrets_set: Vec<String> = secrets.split_whitespace().map(str::to_owned).collect();
    secrets_set.sort_unstable();
    Ok(Project {
        id: ProjectId(row.int("id")?),
        name: row.text("name")?,
        git_url: row.text("git_url")?,
        local_path: row.maybe_text("local_path")?,
        base_branch: row.text("base_branch")?,
        ci_provider: row.maybe_word("ci_provider", ForgeKind::parse)?,
        default_models: row.json("default_models")?,
        secrets_set,
        archived_at: row.maybe_int("archived_at")?,
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
        new.ci_provider.map(ForgeKind::as_str),
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

/// Loads one to change it: nobody else does until the transaction ends. It comes
/// before any event, because the order of locks is project, timeline.
pub async fn lock(tx: &mut Tx, scope: &Scope, id: ProjectId) -> Result<Project, StoreError> {
    let limit = scope.project().map(|project| project.0);
    let row = tx.first(tx.locking(sql::LOAD, sql::LOCK_POSTGRES), args![id.0, limit]).await?;
    read(row.ok_or_else(|| not_found(TABLE, id))?)
}

/// Newest first.
pub async fn list(
    tx: &mut Tx,
    scope: &Scope,
    filter: Filter,
    limit: i64,
) -> Result<Vec<Project>, StoreError> {
    let before = filter.before.unwrap_or(i64::MAX);
    let Some(own) = scope.project() else {
        let text = if filter.archived { sql::LIST_ALL } else { sql::LIST };
        return tx.all(text, args![before, limit]).await?.into_iter().map(read).collect();
    };
    let rows = tx.all(sql::LOAD, args![own.0, own.0]).await?;
    let own: Vec<Project> = rows.into_iter().map(read).collect::<Result<_, _>>()?;
    let is_asked =
        |project: &Project| project.id.0 < before && (filter.archived || project.archived_at.is_none());
    Ok(own.into_iter().filter(is_asked).collect())
}

/// The project of this repository that is not archived: same `local_path`, or, without one, same
/// `git_url` among those that have no checkout of a person.
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

/// Writes what may change of a project that was locked in this transaction.
pub async fn set(tx: &mut Tx, project: &Project, now: i64) -> Result<Project, StoreError> {
    let values = args![
        &project.name,
        &project.base_branch,
        &project.local_path,
        project.ci_provider.map(ForgeKind::as_str),
        json_text(&project.default_models),
        now,
        project.id.0
    ];
    touched(tx.execute(sql::UPDATE, values).await?, || StoreError::Archived(project.id))?;
    load(tx, &Scope::All, project.id).await
}

/// Archives a project that was locked in this transaction: from here on no run of it is created.
pub async fn archive(tx: &mut Tx, id: ProjectId, now: i64) -> Result<(), StoreError> {
    touched(tx.execute(sql::ARCHIVE, args![now, id.0]).await?, || StoreError::Archived(id))
}

/// Is a run of it not at its end?
pub async fn has_unfinished_run(tx: &mut Tx, id: ProjectId) -> Result<bool, StoreError> {
    Ok(tx.first(sql::UNFINISHED, args![id.0]).await?.is_some())
}

/// Refuses work for an archived project. To be asked first in the transaction that creates the work:
/// the project cannot be archived before that ends, and the order of locks is project, timeline.
pub async fn refuse_archived(tx: &mut Tx, id: ProjectId) -> Result<(), StoreError> {
    let row = tx.first(tx.locking(sql::STATE, sql::STATE_POSTGRES), args![id.0]).await?;
    let row = Record::numbered(TABLE, "id", row.ok_or_else(|| not_found(TABLE, id))?);
    match row.maybe_int("archived_at")? {
        Some(_) => Err(StoreError::Archived(id)),
        None => Ok(()),
    }
}
