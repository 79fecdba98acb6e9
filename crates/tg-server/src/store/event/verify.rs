//! Walks the chains in slices and compares them with their recorded heads. Changes nothing.

use tg_core::{
    chain::{GENESIS, Head, Link, link},
    event::EventKind,
    ids::ProjectId,
};

use super::{StoredEvent, read};
use crate::{
    db::{Tx, dialect::args},
    store::{StoreError, record::Record},
};

mod sql {
    use crate::db::dialect::statements;

    statements! {
        NEXT_WITH_EVENTS = "SELECT chain FROM events WHERE chain > $1 ORDER BY chain LIMIT 1";
        NEXT_WITH_HEAD = "SELECT chain FROM event_chains WHERE chain > $1 ORDER BY chain LIMIT 1";
        BEYOND = "SELECT seq FROM events WHERE chain = $1 AND project_seq > $2 ORDER BY project_seq LIMIT 1";
        SLICE = "SELECT seq, project_seq, project_id, protocol_run_id, step_run_id, event_type, kind, message, metadata, \
                 actor, created_at, hash, CAST(NULL AS TEXT) AS protocol_name, CAST(NULL AS TEXT) AS project_name \
                 FROM events WHERE chain = $1 AND project_seq > $2 AND project_seq <= $3 \
                 ORDER BY project_seq LIMIT $4";
    }
}
#[cfg(feature = "testing")]
pub(in crate::store) use sql::ALL;

/// Events of a chain that are held in memory at once.
const SLICE: i64 = 250;

/// What a walk over the chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Events checked.
    pub checked: u64,
    /// First bad event and why. The number is its `seq`; for an event that is gone, the `seq` of the
    /// last one before it (0 = none).
    pub first_bad: Option<(i64, String)>,
}

/// A walk that can be carried on in another transaction after each slice: the head of a chain is read
/// once, and what is appended later is left to the next walk.
#[derive(Debug)]
pub struct Walk {
    only: Option<ProjectId>,
    /// Chain that was begun last; -1 = none yet.
    begun: i64,
    chain: Option<Chain>,
    found: Verified,
}

#[derive(Debug)]
struct Chain {
    id: i64,
    recorded: Head,
    /// Last position to look at.
    until: i64,
    last: Head,
    last_seq: i64,
}

impl Walk {
    /// Over the chain of one project, or over all.
    pub const fn new(only: Option<ProjectId>) -> Self {
        Self { only, begun: -1, chain: None, found: Verified { checked: 0, first_bad: None } }
    }

    /// Checks one slice; says whether there is more to look at.
    pub async fn step(&mut self, tx: &mut Tx) -> Result<bool, StoreError> {
        let mut chain = match self.chain.take() {
            Some(chain) => chain,
            None => match self.next(tx).await? {
                Some(chain) => chain,
                None => return Ok(false),
            },
        };
        let rows = tx.all(sql::SLICE, args![chain.id, chain.last.project_seq, chain.until, SLICE]).await?;
        let is_full = i64::try_from(rows.len()).is_ok_and(|count| count == SLICE);
        for row in rows {
            let event = match read(row) {
                Ok(event) => event,
                // A row that does not parse was altered as well.
                Err(StoreError::Corrupt { id, column, .. }) => {
                    let seq = id.parse().unwrap_or(chain.last_seq);
                    return Ok(self.bad(seq, format!("its {column} cannot be read")));
                }
                Err(error) => return Err(error),
            };
            if let Some(why) = broken(&chain.last, chain.id, &event) {
                return Ok(self.bad(event.seq, why));
            }
            chain.last_seq = event.seq;
            chain.last = Head { project_seq: event.project_seq, hash: event.hash };
            self.found.checked += 1;
        }
        if is_full {
            self.chain = Some(chain);
        } else if let Some(why) = chain.disagreement() {
            return Ok(self.bad(chain.last_seq, why));
        }
        Ok(true)
    }

    /// What was found so far.
    pub fn found(self) -> Verified {
        self.found
    }

    fn bad(&mut self, seq: i64, why: String) -> bool {
        self.found.first_bad = Some((seq, why));
        false
    }

    async fn next(&mut self, tx: &mut Tx) -> Result<Option<Chain>, StoreError> {
        let id = match self.only {
            Some(project) if self.begun < project.0 => Some(project.0),
            Some(_) => None,
            None => {
                let mut next = None;
                for text in [sql::NEXT_WITH_EVENTS, sql::NEXT_WITH_HEAD] {
                    let Some(row) = tx.first(text, args![self.begun]).await? else { continue };
                    let id = Record::numbered("events", "chain", row).int("chain")?;
                    next = Some(next.map_or(id, |other: i64| other.min(id)));
                }
                next
            }
        };
        let Some(id) = id else { return Ok(None) };
        self.begun = id;
        let start = Head { project_seq: 0, hash: GENESIS.to_owned() };
        let recorded = tx.known_head(id).await?.unwrap_or_else(|| start.clone());
        // Events past the head are looked at as well, and never agree with it.
        let is_beyond = tx.first(sql::BEYOND, args![id, recorded.project_seq]).await?.is_some();
        let until = if is_beyond { i64::MAX } else { recorded.project_seq };
        Ok(Some(Chain { id, recorded, until, last: start, last_seq: 0 }))
    }
}

impl Chain {
    /// Why a chain that was walked to its end is not the recorded one.
    fn disagreement(&self) -> Option<String> {
        let (recorded, last) = (&self.recorded, &self.last);
        if recorded == last {
            return None;
        }
        Some(if recorded.project_seq > last.project_seq {
            format!(
                "the chain ends at {} but its recorded head is {}",
                last.project_seq, recorded.project_seq
            )
        } else {
            format!("it does not agree with the recorded head {}", recorded.project_seq)
        })
    }
}

/// Walks the chain of one project (or all chains) within one transaction.
pub async fn verify(tx: &mut Tx, project: Option<ProjectId>) -> Result<Verified, StoreError> {
    let mut walk = Walk::new(project);
    while walk.step(tx).await? {}
    Ok(walk.found())
}

fn broken(last: &Head, chain: i64, event: &StoredEvent) -> Option<String> {
    let expected = last.project_seq + 1;
    if event.project_seq != expected {
        return Some(format!("event {expected} of chain {chain} is missing before it"));
    }
    let row = Link {
        project_seq: event.project_seq,
        project_id: event.project_id.map(|id| id.0),
        protocol_run_id: event.protocol_run_id.map(|id| id.0),
        step_run_id: event.step_run_id.map(|id| id.0),
        event_type: &event.event_type,
        message: &event.message,
        metadata: &event.metadata,
        actor: event.actor.as_deref(),
        created_at: event.created_at,
    };
    if link(&last.hash, &row) != event.hash {
        return Some("its content or the hash before it was altered".to_owned());
    }
    // Filters go by the kind, and the hash does not cover it.
    EventKind::parse(&event.event_type)
        .filter(|kind| kind.category().as_str() != event.category)
        .map(|kind| format!("its kind is not {}, as its type has it", kind.category()))
}
