//! Hash chain over the events of a project: link, verify, name the first bad link.
//! Knows nothing of where events are stored.

use serde_json::{Value, json};

use crate::canonical;

#[cfg(test)]
mod tests;

/// A stored event as the chain sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Link<'a> {
    /// Position in its project's chain, from 1, gapless.
    pub project_seq: i64,
    /// Project, or `None` for the chain of events without a project.
    pub project_id: Option<i64>,
    /// Run.
    pub protocol_run_id: Option<i64>,
    /// Step.
    pub step_run_id: Option<i64>,
    /// Wire kind.
    pub event_type: &'a str,
    /// Sentence.
    pub message: &'a str,
    /// Metadata.
    pub metadata: &'a Value,
    /// Person or principal that caused it.
    pub actor: Option<&'a str>,
    /// Milliseconds since the epoch, UTC.
    pub created_at: i64,
}

/// Hash before the first event.
pub const GENESIS: &str = "";

/// Hex SHA-256 over the previous hash and the canonical row.
pub fn link(previous: &str, row: &Link<'_>) -> String {
    let row = json!({
        "project_seq": row.project_seq,
        "project_id": row.project_id,
        "protocol_run_id": row.protocol_run_id,
        "step_run_id": row.step_run_id,
        "event_type": row.event_type,
        "message": row.message,
        "metadata": row.metadata,
        "actor": row.actor,
        "created_at": row.created_at,
    });
    canonical::sha256_hex(format!("{previous}\n{}", canonical::json(&row)).as_bytes())
}

/// Newest event of a chain as recorded apart from the events themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its position; 0 = no events yet.
    pub project_seq: i64,
    /// Its hash; [`GENESIS`] = no events yet.
    pub hash: String,
}

/// The first place where a chain does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("event {project_seq} of the chain: {why}")]
pub struct BadLink {
    /// Position that is wrong or missing.
    pub project_seq: i64,
    /// What is wrong with it.
    pub why: Broken,
}

/// What is wrong with a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// The row does not give its recorded hash.
    #[error("its content or the hash before it was altered")]
    Altered,
    /// The position is skipped.
    #[error("it is missing")]
    Missing,
    /// The position comes a second time or too late.
    #[error("it stands in the wrong place")]
    Reordered,
    /// Events after it are gone: the recorded head is further on.
    #[error("it is missing: the chain ends before its recorded head")]
    Truncated,
    /// The chain goes on past its recorded head, or ends with another hash.
    #[error("it does not agree with the recorded head")]
    NotTheHead,
}

/// Checks a chain in ascending order of position; gives how many links were checked.
///
/// With `head`, the chain must end exactly there: without a head recorded elsewhere nobody can tell
/// a truncated chain from a shorter one.
pub fn verify<'a>(
    rows: impl IntoIterator<Item = (Link<'a>, &'a str)>,
    head: Option<&Head>,
) -> Result<u64, BadLink> {
    let mut last = Head { project_seq: 0, hash: GENESIS.to_owned() };
    let mut checked = 0;
    for (row, recorded) in rows {
        let expected = last.project_seq + 1;
        if row.project_seq != expected {
            let why = if row.project_seq > expected { Broken::Missing } else { Broken::Reordered };
            return Err(BadLink { project_seq: expected.min(row.project_seq), why });
        }
        let hash = link(&last.hash, &row);
        if hash != recorded {
            return Err(BadLink { project_seq: expected, why: Broken::Altered });
        }
        last = Head { project_seq: expected, hash };
        checked += 1;
    }
    match head {
        Some(head) if head.project_seq > last.project_seq => {
            Err(BadLink { project_seq: last.project_seq + 1, why: Broken::Truncated })
        }
        Some(head) if *head != last => {
            Err(BadLink { project_seq: last.project_seq, why: Broken::NotTheHead })
        }
        Some(_) | None => Ok(checked),
    }
}
