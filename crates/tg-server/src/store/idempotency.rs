//! Rows of `idempotency_keys`: answers kept for a day, by principal, method, path and key. Written in
//! the transaction of what was asked, so an answer is there exactly when its effect is.

use super::{StoreError, not_found, record::Record, touched};
use crate::db::{Tx, dialect::args};

/// What a key belongs to.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// Who sent it.
    pub principal: &'a str,
    /// Method.
    pub method: &'a str,
    /// Path.
    pub path: &'a str,
    /// The key.
    pub key: &'a str,
    /// Hex SHA-256 of the body.
    pub body_sha256: &'a str,
}

/// An answer that was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Hex SHA-256 of the body it answered.
    pub body_sha256: String,
    /// HTTP status.
    pub status: u16,
    /// Address of a new object.
    pub location: Option<String>,
    /// JSON text.
    pub body: Option<String>,
}

/// How long an answer is kept, in milliseconds.
const KEPT: i64 = 24 * 60 * 60 * 1000;

mod sql {
    use crate::db::dialect::statements;

    statements! {
        CLAIM = "INSERT INTO idempotency_keys (principal, method, path, key, body_sha256, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (principal, method, path, key) DO NOTHING RETURNING key";
        FORGET = "DELETE FROM idempotency_keys WHERE principal = $1 AND method = $2 AND path = $3 AND key = $4 \
                  AND created_at < $5";
        LOAD = "SELECT key, body_sha256, status, location, body FROM idempotency_keys \
                WHERE principal = $1 AND method = $2 AND path = $3 AND key = $4";
        KEEP = "UPDATE idempotency_keys SET status = $1, location = $2, body = $3 \
                WHERE principal = $4 AND method = $5 AND path = $6 AND key = $7";
        PRUNE = "DELETE FROM idempotency_keys WHERE (principal, method, path, key) IN \
                 (SELECT principal, method, path, key FROM idempotency_keys WHERE created_at < $1 \
                 ORDER BY created_at LIMIT $2)";
    }
}
#[cfg(feature = "testing")]
pub(super) use sql::ALL;

const TABLE: &str = "idempotency_keys";

/// Takes the key for this transaction, or gives what it was answered with. A second request with the
/// same key waits here until the first has committed or is gone.
pub async fn claim(tx: &mut Tx, subject: &Subject<'_>, now: i64) -> Result<Option<Kept>, StoreError> {
    let Subject { principal, method, path, key, body_sha256 } = *subject;
    let values = || args![principal, method, path, key, body_sha256, now];
    if tx.first(sql::CLAIM, values()).await?.is_some() {
        return Ok(None);
    }
    let forgotten =
        tx.execute(sql::FORGET, args![principal, method, path, key, now.saturating_sub(KEPT)]).await?;
    if forgotten > 0 && tx.first(sql::CLAIM, values()).await?.is_some() {
        return Ok(None);
    }
    let row = tx.first(sql::LOAD, args![principal, method, path, key]).await?;
    let row = Record::named(TABLE, "key", row.ok_or_else(|| not_found(TABLE, key))?);
    Ok(Some(Kept {
        body_sha256: row.text("body_sha256")?,
        // 0 stands only inside the transaction that claimed the key, so nobody else can read it.
        status: u16::try_from(row.int("status")?)
            .ok()
            .filter(|status| *status > 0)
            .ok_or_else(|| row.corrupt("status"))?,
        location: row.maybe_text("location")?,
        body: row.maybe_text("body")?,
    }))
}

/// Keeps the answer to a claimed key.
pub async fn keep(
    tx: &mut Tx,
    subject: &Subject<'_>,
    status: u16,
    location: Option<&str>,
    body: Option<&str>,
) -> Result<(), StoreError> {
    let Subject { principal, method, path, key, .. } = *subject;
    let values = args![i64::from(status), location, body, principal, method, path, key];
    touched(tx.execute(sql::KEEP, values).await?, || not_found(TABLE, key))
}

/// Deletes answers given before `now` minus a day, at most `limit`. Returns how many.
pub async fn prune(tx: &mut Tx, now: i64, limit: i64) -> Result<u64, StoreError> {
    Ok(tx.execute(sql::PRUNE, args![now.saturating_sub(KEPT), limit]).await?)
}
