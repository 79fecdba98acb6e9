//! Rows of `project_secrets`: names, and texts that only the key ring opens. No plain text passes here.

use tg_core::{ids::ProjectId, scope::Scope};

use super::{StoreError, not_found, record::Record, touched};
use crate::{
    db::{
        Tx,
        dialect::{Row, args},
    },
    seal::Sealed,
};

/// A stored secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSecret {
    /// Owner.
    pub project: ProjectId,
    /// Name.
    pub key: String,
    /// Sealed text.
    pub sealed: Sealed,
}

mod sql {
    use crate::db::dialect::statements;

    statements! {
        SET = "INSERT INTO project_secrets (project_id, secret_key, key_id, sealed, created_at, updated_at) \
               VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (project_id, secret_key) \
               DO UPDATE SET key_id = $3, sealed = $4, updated_at = $5";
        REMOVE = "DELETE FROM project_secrets WHERE project_id = $1 AND secret_key = $2";
        LIST = "SELECT project_id, secret_key, key_id, sealed FROM project_secrets \
                WHERE project_id = $1 AND (CAST($2 AS BIGINT) IS NULL OR project_id = $2) ORDER BY secret_key";
        NEXT_KEY = "SELECT key_id FROM project_secrets WHERE key_id > $1 ORDER BY key_id LIMIT 1";
        SLICE = "SELECT project_id, secret_key, key_id, sealed FROM project_secrets \
                 WHERE key_id = $1 AND (project_id, secret_key) > ($2, $3) ORDER BY project_id, secret_key LIMIT $4";
        RESEAL = "UPDATE project_secrets SET key_id = $1, sealed = $2 \
                  WHERE project_id = $3 AND secret_key = $4 AND sealed = $5";
    }
}
#[cfg(feature = "testing")]
pub(super) use sql::ALL;

const TABLE: &str = "project_secrets";

fn read(row: Row) -> Result<StoredSecret, StoreError> {
    let row = Record::named(TABLE, "secret_key", row);
    Ok(StoredSecret {
        project: ProjectId(row.int("project_id")?),
        key: row.text("secret_key")?,
        sealed: Sealed { key_id: row.text("key_id")?, text: row.text("sealed")? },
    })
}

/// Stores a secret, or replaces it (event `project_secret_set` is the caller's).
pub async fn set(
    tx: &mut Tx,
    project: ProjectId,
    key: &str,
    sealed: &Sealed,
    now: i64,
) -> Result<(), StoreError> {
    let values = args![project.0, key, &sealed.key_id, &sealed.text, now];
    touched(tx.execute(sql::SET, values).await?, || not_found(TABLE, key))
}

/// Removes a secret; one that is not there is not found.
pub async fn remove(tx: &mut Tx, project: ProjectId, key: &str) -> Result<(), StoreError> {
    touched(tx.execute(sql::REMOVE, args![project.0, key]).await?, || not_found(TABLE, key))
}

/// The sealed secrets of a project, by name.
pub async fn list(tx: &mut Tx, scope: &Scope, project: ProjectId) -> Result<Vec<StoredSecret>, StoreError> {
    let scope = scope.project().map(|project| project.0);
    tx.all(sql::LIST, args![project.0, scope]).await?.into_iter().map(read).collect()
}

/// The first key id after this one that something is sealed with.
pub async fn next_key(tx: &mut Tx, after: &str) -> Result<Option<String>, StoreError> {
    let row = tx.first(sql::NEXT_KEY, args![after]).await?;
    row.map(|row| Record::named(TABLE, "key_id", row).text("key_id")).transpose()
}

/// Secrets of any project that are sealed with a key, after a place, in the order of project and name.
pub async fn sealed_with(
    tx: &mut Tx,
    key_id: &str,
    after: (ProjectId, &str),
    limit: i64,
) -> Result<Vec<StoredSecret>, StoreError> {
    let values = args![key_id, after.0.0, after.1, limit];
    tx.all(sql::SLICE, values).await?.into_iter().map(read).collect()
}

/// Puts the same secret, sealed anew, in the place of `old`; `false` when it changed meanwhile.
pub async fn reseal(tx: &mut Tx, old: &StoredSecret, new: &Sealed) -> Result<bool, StoreError> {
    let values = args![&new.key_id, &new.text, old.project.0, &old.key, &old.sealed.text];
    Ok(tx.execute(sql::RESEAL, values).await? == 1)
}
