//! Rows of `run_artifacts`: files a call produced, with hash and size.

use tg_core::{
    ids::{ArtifactId, CallId},
    scope::Scope,
};

use super::{StoreError, not_found, record::Record, touched};
use crate::{
    db::{
        Tx,
        dialect::{Row, args},
    },
    queue::{self, Lease},
};

/// A produced file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArtifact {
    /// Name, unique in its call.
    pub name: String,
    /// Kind: `protocol_output`, `aux_output`, `qa_report`, `patch`.
    pub kind: String,
    /// Path below the worktree (or below the call's folder for patches).
    pub path: String,
    /// Hex SHA-256 of the content.
    pub sha256: String,
    /// Size.
    pub bytes: i64,
}

/// A stored one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Identity.
    pub id: ArtifactId,
    /// Call.
    pub run_id: CallId,
    /// What.
    pub file: NewArtifact,
    /// Milliseconds since the epoch, UTC.
    pub created_at: i64,
}

mod sql {
    use crate::db::dialect::statements;

    statements! {
        SET = "INSERT INTO run_artifacts (run_id, name, kind, path, sha256, bytes, created_at) \
               SELECT c.id, CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), \
                      CAST($6 AS BIGINT), CAST($7 AS BIGINT) \
               FROM codex_runs c WHERE c.id = $1 AND c.job_id = $8 \
               ON CONFLICT (run_id, name) DO UPDATE SET kind = excluded.kind, path = excluded.path, \
               sha256 = excluded.sha256, bytes = excluded.bytes, created_at = excluded.created_at";
        LIST = "SELECT a.id, a.run_id, a.name, a.kind, a.path, a.sha256, a.bytes, a.created_at \
                FROM run_artifacts a JOIN codex_runs c ON c.id = a.run_id \
                WHERE a.run_id = $1 AND (CAST($2 AS BIGINT) IS NULL OR c.project_id = $2) ORDER BY a.name";
    }
}
#[cfg(feature = "testing")]
pub(super) use sql::ALL;

const TABLE: &str = "run_artifacts";

/// Records (or replaces, by name) a file of a call of this job.
pub async fn set(
    tx: &mut Tx,
    lease: &Lease,
    call: &CallId,
    file: &NewArtifact,
    now: i64,
) -> Result<(), StoreError> {
    queue::check(tx, lease).await?;
    let values =
        args![&call.0, &file.name, &file.kind, &file.path, &file.sha256, file.bytes, now, &lease.job_id.0];
    touched(tx.execute(sql::SET, values).await?, || not_found("codex_runs", call))
}

/// Files of a call by name.
pub async fn list(tx: &mut Tx, scope: &Scope, call: &CallId) -> Result<Vec<Artifact>, StoreError> {
    let scope = scope.project().map(|project| project.0);
    let rows = tx.all(sql::LIST, args![&call.0, scope]).await?;
    rows.into_iter().map(read).collect()
}

fn read(row: Row) -> Result<Artifact, StoreError> {
    let row = Record::numbered(TABLE, "id", row);
    Ok(Artifact {
        id: ArtifactId(row.int("id")?),
        run_id: CallId(row.text("run_id")?),
        file: NewArtifact {
            name: row.text("name")?,
            kind: row.text("kind")?,
            path: row.text("path")?,
            sha256: row.text("sha256")?,
            bytes: row.int("bytes")?,
        },
        created_at: row.int("created_at")?,
    })
}
