//! Rows of `run_artifacts`: files a call produced, with hash and size.

use tg_core::{
    ids::{ArtifactId, CallId, RunId, StepId},
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
    /// Run of the call, whose worktree holds it.
    pub protocol_run_id: Option<RunId>,
    /// What.
    pub file: NewArtifact,
    /// Milliseconds since the epoch, UTC.
    pub created_at: i64,
}

/// Whose files to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Of {
    /// Of a call.
    Call(CallId),
    /// Of a run.
    Run(RunId),
    /// Of a step; of one run, when it is named.
    Step(StepId, Option<RunId>),
}

impl Artifact {
    /// It lies in the folder of its call, not in the worktree.
    pub fn is_in_call_folder(&self) -> bool {
        self.file.kind == PATCH
    }
}

/// Kind of what a dead attempt left, which is kept in the folder of the call that follows it.
pub const PATCH: &str = "patch";

mod sql {
    use crate::db::dialect::statements;

    macro_rules! files {
        ($($rest:literal),+ $(,)?) => {
            concat!(
                "SELECT id, run_id, name, kind, path, sha256, bytes, created_at, protocol_run_id FROM run_artifacts WHERE ",
                $($rest),+
            )
        };
    }

    /// `$1` project, `$2` before, `$3` limit, `$4` whose.
    macro_rules! newest {
        ($($own:literal),+ $(,)?) => {
            files!(
                $($own),+,
                " AND (CAST($1 AS BIGINT) IS NULL OR project_id = $1) AND id < $2 ORDER BY id DESC LIMIT $3"
            )
        };
    }

    statements! {
        SET = "INSERT INTO run_artifacts (run_id, name, kind, path, sha256, bytes, created_at, project_id, \
               protocol_run_id, step_run_id) \
               SELECT c.id, CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), \
                      CAST($6 AS BIGINT), CAST($7 AS BIGINT), c.project_id, c.protocol_run_id, c.step_run_id \
               FROM codex_runs c WHERE c.id = $1 AND c.job_id = $8 \
               ON CONFLICT (run_id, name) DO UPDATE SET kind = excluded.kind, path = excluded.path, \
               sha256 = excluded.sha256, bytes = excluded.bytes, created_at = excluded.created_at";
        LIST = files!("run_id = $1 AND (CAST($2 AS BIGINT) IS NULL OR project_id = $2) ORDER BY name");
        LOAD = files!("id = $1 AND run_id = $2 AND (CAST($3 AS BIGINT) IS NULL OR project_id = $3)");
        OF_CALL = newest!("run_id = $4");
        OF_CALL_KIND = newest!("run_id = $4 AND kind = $5");
        OF_RUN = newest!("protocol_run_id = $4");
        OF_RUN_KIND = newest!("protocol_run_id = $4 AND kind = $5");
        OF_STEP = newest!("step_run_id = $4 AND (CAST($5 AS BIGINT) IS NULL OR protocol_run_id = $5)");
        OF_STEP_KIND =
            newest!("step_run_id = $4 AND (CAST($5 AS BIGINT) IS NULL OR protocol_run_id = $5) AND kind = $6");
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

/// Newest first, of those before an id.
pub async fn page(
    tx: &mut Tx,
    scope: &Scope,
    of: &Of,
    kind: Option<&str>,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Artifact>, StoreError> {
    let scope = scope.project().map(|project| project.0);
    let mut values = args![scope, before.unwrap_or(i64::MAX), limit];
    let (any, of_kind) = match of {
        Of::Call(call) => {
            values.extend(args![&call.0]);
            (sql::OF_CALL, sql::OF_CALL_KIND)
        }
        Of::Run(run) => {
            values.extend(args![run.0]);
            (sql::OF_RUN, sql::OF_RUN_KIND)
        }
        Of::Step(step, run) => {
            values.extend(args![step.0, run.map(|run| run.0)]);
            (sql::OF_STEP, sql::OF_STEP_KIND)
        }
    };
    values.extend(kind.map(Into::into));
    let text = if kind.is_some() { of_kind } else { any };
    tx.all(text, values).await?.into_iter().map(read).collect()
}

/// Loads one of a call.
pub async fn load(tx: &mut Tx, scope: &Scope, call: &CallId, id: ArtifactId) -> Result<Artifact, StoreError> {
    let scope = scope.project().map(|project| project.0);
    let row = tx.first(sql::LOAD, args![id.0, &call.0, scope]).await?;
    read(row.ok_or_else(|| not_found(TABLE, id))?)
}

fn read(row: Row) -> Result<Artifact, StoreError> {
    let row = Record::numbered(TABLE, "id", row);
    Ok(Artifact {
        id: ArtifactId(row.int("id")?),
        run_id: CallId(row.text("run_id")?),
        protocol_run_id: row.maybe_int("protocol_run_id")?.map(RunId),
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
