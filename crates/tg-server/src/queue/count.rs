//! How many jobs there are, without looking through those that ended: live ones are counted by index, and
//! ended ones are added up in `job_counts` some time after their end. Until then they are counted as rows.
//! A job that ends waits for no counter.

use std::collections::BTreeMap;

use tg_core::{job::JobStatus, scope::Scope};

use super::{now, sql};
use crate::{
    db::{Tx, dialect::Row, dialect::args},
    store::{StoreError, record::Record},
};

/// Jobs by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Due.
    pub queued: i64,
    /// Waiting for their time.
    pub scheduled: i64,
    /// At work.
    pub started: i64,
    /// Done, and not yet pruned.
    pub finished: i64,
    /// Given up, and not yet pruned.
    pub failed: i64,
    /// Stopped, and not yet pruned.
    pub cancelled: i64,
}

/// Ended jobs left to be counted as rows before they are added up.
const FEW: i64 = 500;

/// Counts what is in scope.
pub async fn counts(tx: &mut Tx, scope: &Scope) -> Result<Counts, StoreError> {
    let now = now(tx).await?;
    let row = match scope.project() {
        None => tx.first(sql::COUNTS, args![now]).await?,
        Some(project) => tx.first(sql::COUNTS_PROJECT, args![now, project.0]).await?,
    };
    let row = row.ok_or(sqlx::Error::RowNotFound)?;
    let row = Record::named("jobs", "id", row);
    Ok(Counts {
        queued: row.int("queued")?,
        scheduled: row.int("scheduled")?,
        started: row.int("started")?,
        finished: row.int("finished")?,
        failed: row.int("failed")?,
        cancelled: row.int("cancelled")?,
    })
}

/// Whether so many jobs ended that they are worth adding up.
pub async fn is_due(tx: &mut Tx) -> Result<bool, StoreError> {
    Ok(tx.first(sql::MANY_UNCOUNTED, args![FEW]).await?.is_some())
}

/// Adds up at most `limit` ended jobs. Returns how many.
pub async fn count_in(tx: &mut Tx, limit: i64) -> Result<usize, StoreError> {
    let rows = tx.all(sql::COUNT_IN, args![limit]).await?;
    let counted = rows.len();
    add(tx, rows, 1).await?;
    Ok(counted)
}

/// Deletes ended jobs that ended before `before` (ms), at most `limit`. Returns how many.
pub async fn prune(tx: &mut Tx, before: i64, limit: i64) -> Result<u64, StoreError> {
    let rows = tx.all(sql::PRUNE, args![before, limit]).await?;
    let pruned = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    let mut counted = Vec::new();
    for row in rows {
        if row.int("counted")? == Some(1) {
            counted.push(row);
        }
    }
    add(tx, counted, -1).await?;
    Ok(pruned)
}

/// Adds rows to the counts, always in the same order, so that no two wait for each other in a circle.
async fn add(tx: &mut Tx, rows: Vec<Row>, sign: i64) -> Result<(), StoreError> {
    let mut sums: BTreeMap<(JobStatus, i64), i64> = BTreeMap::new();
    for row in rows {
        let row = Record::named("jobs", "id", row);
        let key = (row.word("state", JobStatus::parse)?, row.maybe_int("project_id")?.unwrap_or_default());
        *sums.entry(key).or_default() += sign;
    }
    for ((state, project), ended) in sums {
        tx.execute(sql::ADD_COUNT, args![state.as_str(), project, ended]).await?;
    }
    Ok(())
}
