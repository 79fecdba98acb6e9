//! Rows of `review_comments`: what people say about a run's changes, and which call was given it.
//! Whether a path or line exists is not known here.

use tg_core::{
    ids::{CallId, CommentId, JobId, RunId},
    job::Priority,
    review::{CommentState, ReviewComment, Side},
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

/// Most comments of a run that are open or sent.
pub const UNSETTLED_CAP: i64 = 500;

/// A comment before it has an id.
#[derive(Debug, Clone)]
pub struct NewComment {
    /// Run.
    pub run: RunId,
    /// File below the worktree.
    pub path: String,
    /// Side of the diff.
    pub side: Side,
    /// Line, from 1.
    pub line: i64,
    /// Commit that was looked at.
    pub sha: String,
    /// What is said.
    pub body: String,
    /// Who says it.
    pub author: Option<String>,
}

mod sql {
    use crate::db::dialect::statements;

    macro_rules! select {
        ($rest:literal) => {
            concat!(
                "SELECT c.id, c.protocol_run_id, c.path, c.side, c.line, c.sha, c.body, c.state, c.author, ",
                "c.created_at, c.updated_at FROM review_comments c ",
                $rest
            )
        };
    }

    statements! {
        INSERT = "INSERT INTO review_comments (protocol_run_id, path, side, line, sha, body, state, author, \
                  created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, 'open', $7, $8, $8) RETURNING id";
        LOAD = select!(
            "JOIN protocol_runs p ON p.id = c.protocol_run_id \
             WHERE c.id = $1 AND (CAST($2 AS BIGINT) IS NULL OR p.project_id = $2)"
        );
        LIST = select!(
            "JOIN protocol_runs p ON p.id = c.protocol_run_id \
             WHERE c.protocol_run_id = $1 AND c.id < $2 AND (CAST($3 AS BIGINT) IS NULL OR p.project_id = $3) \
             ORDER BY c.id DESC LIMIT $4"
        );
        COUNT = "SELECT COUNT(*) AS count FROM review_comments \
                 WHERE protocol_run_id = $1 AND state IN ('open', 'sent')";
        UNSETTLED = select!(
            "WHERE c.protocol_run_id = $1 AND c.state IN ('open', 'sent') ORDER BY c.id LIMIT $2"
        );
        // A call that did not succeed has told nobody anything: what was in it travels again.
        TO_SEND = select!(
            "LEFT JOIN codex_runs r ON r.id = c.sent_call LEFT JOIN jobs j ON j.id = $2 \
             WHERE c.protocol_run_id = $1 AND c.state IN ('open', 'sent') AND (c.sent_job = $2 OR \
             ((c.state = 'open' OR r.status <> 'succeeded') AND (CAST($3 AS BIGINT) = 1 OR j.priority >= $4))) \
             ORDER BY c.id LIMIT $5"
        );
        SENT = "UPDATE review_comments SET state = 'sent', sent_job = $1, sent_call = $2, updated_at = $3 \
                WHERE id = $4 AND state IN ('open', 'sent') AND body = $5";
        OUTDATED = "UPDATE review_comments SET state = 'outdated', updated_at = $1 \
                    WHERE id = $2 AND state IN ('open', 'sent')";
        CHANGE = "UPDATE review_comments SET state = $1, body = $2, updated_at = $3 \
                  WHERE id = $4 AND state = $5 AND body = $6";
        REMOVE = "DELETE FROM review_comments WHERE id = $1";
    }
}
#[cfg(feature = "testing")]
pub(super) use sql::ALL;

const TABLE: &str = "review_comments";

fn read(row: Row) -> Result<ReviewComment, StoreError> {
    let row = Record::numbered(TABLE, "id", row);
    Ok(ReviewComment {
        id: CommentId(row.int("id")?),
        protocol_run_id: RunId(row.int("protocol_run_id")?),
        path: row.text("path")?,
        side: row.word("side", Side::parse)?,
        line: row.int("line")?,
        sha: row.text("sha")?,
        body: row.text("body")?,
        state: row.word("state", CommentState::parse)?,
        author: row.maybe_text("author")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}

/// Inserts an open comment. `Conflict` when the run has as many as it may have.
pub async fn insert(tx: &mut Tx, new: &NewComment, now: i64) -> Result<ReviewComment, StoreError> {
    let row = tx.first(sql::COUNT, args![new.run.0]).await?.ok_or_else(|| not_found(TABLE, "count"))?;
    if Record::numbered(TABLE, "count", row).int("count")? >= UNSETTLED_CAP {
        return Err(StoreError::Conflict(format!(
            "run {} has {UNSETTLED_CAP} comments that are not settled; resolve or delete some first",
            new.run
        )));
    }
    let side = new.side.as_str();
    let values = args![new.run.0, &new.path, side, new.line, &new.sha, &new.body, &new.author, now];
    let row = tx.first(sql::INSERT, values).await?.ok_or_else(|| not_found(TABLE, "new"))?;
    let id = CommentId(Record::numbered(TABLE, "id", row).int("id")?);
    load(tx, &Scope::All, id).await
}

/// Loads one.
pub async fn load(tx: &mut Tx, scope: &Scope, id: CommentId) -> Result<ReviewComment, StoreError> {
    let scope = scope.project().map(|project| project.0);
    let row = tx.first(sql::LOAD, args![id.0, scope]).await?;
    read(row.ok_or_else(|| not_found(TABLE, id))?)
}

/// Comments of a run, newest first, older than `before`.
pub async fn list(
    tx: &mut Tx,
    scope: &Scope,
    run: RunId,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<ReviewComment>, StoreError> {
    let scope = scope.project().map(|project| project.0);
    let rows = tx.all(sql::LIST, args![run.0, before.unwrap_or(i64::MAX), scope, limit]).await?;
    rows.into_iter().map(read).collect()
}

/// Comments of a run that are open or sent, oldest first.
pub async fn unsettled(tx: &mut Tx, run: RunId) -> Result<Vec<ReviewComment>, StoreError> {
    let rows = tx.all(sql::UNSETTLED, args![run.0, UNSETTLED_CAP]).await?;
    rows.into_iter().map(read).collect()
}

/// What an attempt of a job is to be given, oldest first: what this job was given before and, when a
/// person asked for it or `is_wanted` says so, everything that is open or was in a call that failed.
pub async fn to_send(
    tx: &mut Tx,
    job: Option<&JobId>,
    run: RunId,
    is_wanted: bool,
) -> Result<Vec<ReviewComment>, StoreError> {
    let job = job.map_or("", |job| job.0.as_str());
    let values = args![run.0, job, is_wanted, Priority::User.rank(), UNSETTLED_CAP];
    tx.all(sql::TO_SEND, values).await?.into_iter().map(read).collect()
}

/// Records that comments are in the prompt of a call; belongs into the transaction that records the
/// call's start. A comment that a person settled or rewrote since it was read stays as they left it.
pub async fn set_sent(
    tx: &mut Tx,
    lease: &Lease,
    call: &CallId,
    comments: &[ReviewComment],
    now: i64,
) -> Result<(), StoreError> {
    queue::check(tx, lease).await?;
    for comment in comments {
        let values = args![&lease.job_id.0, &call.0, now, comment.id.0, &comment.body];
        // No row is a legal outcome, see above; more than one cannot be.
        tx.execute(sql::SENT, values).await?;
    }
    Ok(())
}

/// Records that the files of these comments changed. What a person settled meanwhile stays settled.
pub async fn set_outdated(
    tx: &mut Tx,
    lease: &Lease,
    comments: &[CommentId],
    now: i64,
) -> Result<(), StoreError> {
    queue::check(tx, lease).await?;
    for comment in comments {
        // No row is a legal outcome, see above; more than one cannot be.
        tx.execute(sql::OUTDATED, args![now, comment.0]).await?;
    }
    Ok(())
}

/// Gives a comment another state and text, unless somebody did meanwhile.
pub async fn set(
    tx: &mut Tx,
    comment: &ReviewComment,
    state: CommentState,
    body: &str,
    now: i64,
) -> Result<(), StoreError> {
    let values = args![state.as_str(), body, now, comment.id.0, comment.state.as_str(), &comment.body];
    touched(tx.execute(sql::CHANGE, values).await?, || {
        StoreError::Conflict(format!("comment {} changed meanwhile; look at it again", comment.id))
    })
}

/// Removes a comment.
pub async fn remove(tx: &mut Tx, id: CommentId) -> Result<(), StoreError> {
    touched(tx.execute(sql::REMOVE, args![id.0]).await?, || not_found(TABLE, id))
}
