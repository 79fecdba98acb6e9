//! How much waits and who works, as cheap counts over the part of an index that is live. Changes nothing.

use crate::{
    db::{Tx, dialect::args},
    store::{StoreError, record::Record},
};

/// The queue at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Depth {
    /// Jobs that are due.
    pub queued: i64,
    /// Jobs that are due later.
    pub scheduled: i64,
    /// Seconds that the oldest due job has waited.
    pub oldest_seconds: i64,
    /// Jobs at work whose lease holds.
    pub started: i64,
    /// Workers (`host:pid`) that hold a live lease.
    pub workers: Vec<String>,
}

mod sql {
    use crate::db::dialect::statements;

    statements! {
        DEPTH = "SELECT COUNT(*) AS queued, SUM(CASE WHEN run_at > CAST($1 AS BIGINT) THEN 1 ELSE 0 END) AS scheduled, \
                 MIN(run_at) AS oldest FROM jobs WHERE queue = 'default' AND state = 'queued'";
        OWNERS = "SELECT lease_owner FROM jobs WHERE lease_until > $1";
    }
}
#[cfg(feature = "testing")]
pub(crate) use sql::ALL;

const TABLE: &str = "jobs";

/// Counts what is live now. It reads the queue, not the history.
pub async fn depth(tx: &mut Tx) -> Result<Depth, StoreError> {
    let now = super::now(tx).await?;
    let mut depth = Depth::default();
    if let Some(row) = tx.first(sql::DEPTH, args![now]).await? {
        let row = Record::named(TABLE, "queued", row);
        depth.scheduled = row.maybe_int("scheduled")?.unwrap_or_default();
        depth.queued = row.int("queued")? - depth.scheduled;
        let oldest = row.maybe_int("oldest")?;
        depth.oldest_seconds = oldest.map_or(0, |run_at| (now - run_at).max(0) / 1000);
    }
    for row in tx.all(sql::OWNERS, args![now]).await? {
        let owner = Record::named(TABLE, "lease_owner", row).text("lease_owner")?;
        let worker = super::worker_of(&owner);
        depth.started += 1;
        if !depth.workers.iter().any(|known| known == worker) {
            depth.workers.push(worker.to_owned());
        }
    }
    Ok(depth)
}
