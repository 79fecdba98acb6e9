//! Writes the timeline in the transaction of what it tells: events are noted on the transaction, and
//! appended and chained just before it commits. So the lock that keeps their order is held for no more
//! than that, and a change that is taken back never took it. Decides nothing about what is told, and
//! reads no event.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::LazyLock,
};

use serde_json::Value;
use tg_core::chain::{GENESIS, Head, Link, link};

use super::{
    DbError, Tx,
    dialect::{Arg, Serial, args},
};

/// An event as it will be stored.
#[derive(Debug)]
pub struct Line {
    /// Project; `None` = the chain of events without one.
    pub project_id: Option<i64>,
    /// Run.
    pub protocol_run_id: Option<i64>,
    /// Step.
    pub step_run_id: Option<i64>,
    /// Wire kind.
    pub event_type: &'static str,
    /// Area of work.
    pub category: &'static str,
    /// Sentence.
    pub message: String,
    /// Facts, as the text that is stored.
    pub metadata: String,
    /// Who.
    pub actor: Option<String>,
    /// Milliseconds since the epoch, UTC.
    pub created_at: i64,
}

/// What a transaction has to tell so far, oldest first.
#[derive(Debug, Default)]
pub struct Timeline(Vec<Line>);

mod sql {
    use crate::db::dialect::statements;

    macro_rules! insert {
        () => {
            "INSERT INTO events (chain, project_seq, project_id, protocol_run_id, step_run_id, event_type, message, \
             metadata, actor, created_at, hash, kind) VALUES "
        };
    }
    /// What comes before the rows.
    pub const INSERT_MANY: &str = insert!();

    statements! {
        NEW_CHAIN = "INSERT INTO event_chains (chain, last_project_seq, last_hash) VALUES ($1, 0, $2) \
                     ON CONFLICT (chain) DO NOTHING";
        HEAD = "SELECT last_project_seq, last_hash FROM event_chains WHERE chain = $1";
        MOVE_HEAD = "UPDATE event_chains SET last_project_seq = $1, last_hash = $2 \
                     WHERE chain = $3 AND last_project_seq = $4";
        INSERT = concat!(insert!(), "($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)");
    }
}
#[cfg(feature = "testing")]
pub use sql::ALL;

/// Events that are stored by one statement when there are so many.
const MANY: usize = 8;
/// Columns of an event.
const COLUMNS: usize = 12;

/// Stores [`MANY`] events in their order.
static INSERT_MANY: LazyLock<String> = LazyLock::new(|| {
    let row = |row: usize| {
        let values: Vec<String> =
            (1..=COLUMNS).map(|column| format!("${}", row * COLUMNS + column)).collect();
        format!("({})", values.join(", "))
    };
    let rows: Vec<String> = (0..MANY).map(row).collect();
    format!("{}{}", sql::INSERT_MANY, rows.join(", "))
});

/// A chain that grows: where it stood, and where it stands.
struct Grown {
    from: i64,
    head: Head,
}

impl Tx {
    /// Notes an event, to be appended when the transaction commits.
    pub(crate) fn tell(&mut self, line: Line) {
        self.notes.timeline.0.push(line);
    }

    /// Appends what was noted; the last statements of a transaction.
    pub(super) async fn write_timeline(&mut self) -> Result<(), DbError> {
        let lines = std::mem::take(&mut self.notes.timeline.0);
        if lines.is_empty() {
            return Ok(());
        }
        // From here to the commit nobody else appends, so a head that was read stays the newest.
        self.serialize(Serial::Events).await?;
        let mut chains = BTreeMap::new();
        let mut rows = Vec::with_capacity(lines.len());
        for line in lines {
            let chain = line.project_id.unwrap_or(0);
            let grown = match chains.entry(chain) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let head = self.head(chain).await?;
                    place.insert(Grown { from: head.project_seq, head })
                }
            };
            rows.push(grown.row(chain, line));
        }
        self.insert(rows).await?;
        for (chain, Grown { from, head }) in chains {
            let values = args![head.project_seq, head.hash, chain, from];
            if self.execute(sql::MOVE_HEAD, values).await? != 1 {
                return Err(DbError::Chain(chain));
            }
        }
        Ok(())
    }

    /// Where a chain ends; begun if it is new.
    async fn head(&mut self, chain: i64) -> Result<Head, DbError> {
        if let Some(head) = self.known_head(chain).await? {
            return Ok(head);
        }
        self.execute(sql::NEW_CHAIN, args![chain, GENESIS]).await?;
        self.known_head(chain).await?.ok_or(DbError::Chain(chain))
    }

    /// Newest event of a chain as recorded apart from the events, if it has any.
    pub(crate) async fn known_head(&mut self, chain: i64) -> Result<Option<Head>, DbError> {
        let Some(row) = self.first(sql::HEAD, args![chain]).await? else { return Ok(None) };
        let (Some(project_seq), Some(hash)) = (row.int("last_project_seq")?, row.text("last_hash")?) else {
            return Err(DbError::Chain(chain));
        };
        Ok(Some(Head { project_seq, hash }))
    }

    /// Stores events in their order.
    async fn insert(&mut self, mut rows: Vec<Vec<Arg>>) -> Result<(), DbError> {
        while rows.len() >= MANY {
            let many = rows.drain(..MANY).flatten().collect();
            self.execute(INSERT_MANY.as_str(), many).await?;
        }
        for row in rows {
            self.execute(sql::INSERT, row).await?;
        }
        Ok(())
    }
}

impl Grown {
    /// The row of one more event, which is the head from now on.
    fn row(&mut self, chain: i64, line: Line) -> Vec<Arg> {
        // The hash covers what a later reader gets back, so it is taken from the text.
        let metadata: Value = serde_json::from_str(&line.metadata).expect("it was written as JSON just now");
        let project_seq = self.head.project_seq + 1;
        let hash = link(
            &self.head.hash,
            &Link {
                project_seq,
                project_id: line.project_id,
                protocol_run_id: line.protocol_run_id,
                step_run_id: line.step_run_id,
                event_type: line.event_type,
                message: &line.message,
                metadata: &metadata,
                actor: line.actor.as_deref(),
                created_at: line.created_at,
            },
        );
        self.head = Head { project_seq, hash: hash.clone() };
        args![
            chain,
            project_seq,
            line.project_id,
            line.protocol_run_id,
            line.step_run_id,
            line.event_type,
            line.message,
            line.metadata,
            line.actor,
            line.created_at,
            hash,
            line.category,
        ]
    }
}

impl Timeline {
    /// Puts another transaction's events behind these.
    pub(super) fn add(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }
}
