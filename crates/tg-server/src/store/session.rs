//! Rows of `sessions` and `login_codes`: how a browser comes to act for a token. A session ends with the
//! token that opened it. Holds digests only.

use tg_core::scope::Scope;

use super::{
    StoreError,
    record::Record,
    token::{self, Token},
};
use crate::{
    credential::{Digest, Stored},
    db::{Tx, dialect::args},
};

/// What a session stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opener {
    /// The admin token whose mark this is.
    Admin {
        /// See `Digest::mark`.
        mark: String,
    },
    /// A token of the table.
    Token(Box<Token>),
}

mod sql {
    use crate::db::dialect::statements;

    statements! {
        OPEN = "INSERT INTO sessions (digest, token_id, admin_mark, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)";
        FIND = "SELECT digest, token_id, admin_mark FROM sessions WHERE digest = $1 AND expires_at > $2";
        END = "DELETE FROM sessions WHERE digest = $1";
        END_OF_TOKEN = "DELETE FROM sessions WHERE token_id = $1";
        PRUNE = "DELETE FROM sessions WHERE expires_at <= $1";
        NEW_CODE = "INSERT INTO login_codes (digest, created_at, expires_at) VALUES ($1, $2, $3)";
        FIND_CODE = "SELECT digest FROM login_codes WHERE digest = $1 AND used_at IS NULL AND expires_at > $2";
        REDEEM = "UPDATE login_codes SET used_at = $1 WHERE digest = $2 AND used_at IS NULL AND expires_at > $1";
        PRUNE_CODES = "DELETE FROM login_codes WHERE expires_at <= $1";
        END_CODES = "UPDATE login_codes SET used_at = $1 WHERE used_at IS NULL AND expires_at > $1";
    }
}
#[cfg(feature = "testing")]
pub(super) use sql::ALL;

const TABLE: &str = "sessions";

/// Opens a session and forgets those that have ended by themselves.
pub async fn open(
    tx: &mut Tx,
    stored: &Stored,
    opener: &Opener,
    now: i64,
    expires_at: i64,
) -> Result<(), StoreError> {
    let (token, mark) = match opener {
        Opener::Admin { mark } => (None, Some(mark.clone())),
        Opener::Token(token) => (Some(token.id), None),
    };
    tx.execute(sql::PRUNE, args![now]).await?;
    tx.execute(sql::OPEN, args![stored.digest.to_hex(), token, mark, now, expires_at]).await?;
    Ok(())
}

/// What the session of this digest stands for, if it is still open and its token in force. Whether the
/// mark is that of the admin token in force is for the door to judge.
pub async fn find(tx: &mut Tx, digest: &Digest, now: i64) -> Result<Option<Opener>, StoreError> {
    let Some(row) = tx.first(sql::FIND, args![digest.to_hex(), now]).await? else { return Ok(None) };
    let row = Record::named(TABLE, "digest", row);
    if !digest.is_stored_as(&row.text("digest")?) {
        return Ok(None);
    }
    match (row.maybe_int("token_id")?, row.maybe_text("admin_mark")?) {
        (None, Some(mark)) => Ok(Some(Opener::Admin { mark })),
        (Some(id), None) => match token::load(tx, &Scope::All, id).await {
            Ok(token) => Ok((!token.is_expired(now)).then(|| Opener::Token(Box::new(token)))),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        },
        (None, None) | (Some(_), Some(_)) => Err(row.corrupt("admin_mark")),
    }
}

/// Ends a session; one that is not there has ended already.
pub async fn end(tx: &mut Tx, digest: &Digest) -> Result<(), StoreError> {
    tx.execute(sql::END, args![digest.to_hex()]).await?;
    Ok(())
}

/// Ends every session of a token.
pub(super) async fn end_of_token(tx: &mut Tx, token: i64) -> Result<(), StoreError> {
    tx.execute(sql::END_OF_TOKEN, args![token]).await?;
    Ok(())
}

/// Stores a code for a login link and forgets those that are over.
pub async fn add_code(tx: &mut Tx, stored: &Stored, now: i64, expires_at: i64) -> Result<(), StoreError> {
    tx.execute(sql::PRUNE_CODES, args![now]).await?;
    tx.execute(sql::NEW_CODE, args![stored.digest.to_hex(), now, expires_at]).await?;
    Ok(())
}

/// Could this code be used now?
pub async fn is_open(tx: &mut Tx, stored: &Stored, now: i64) -> Result<bool, StoreError> {
    Ok(tx.first(sql::FIND_CODE, args![stored.digest.to_hex(), now]).await?.is_some())
}

/// Uses a code up. `false`: unknown, over, or used before; of two that use it at once, one wins.
pub async fn redeem(tx: &mut Tx, stored: &Stored, now: i64) -> Result<bool, StoreError> {
    Ok(tx.execute(sql::REDEEM, args![now, stored.digest.to_hex()]).await? == 1)
}

/// Makes every code that was given out useless.
pub async fn end_codes(tx: &mut Tx, now: i64) -> Result<(), StoreError> {
    tx.execute(sql::END_CODES, args![now]).await?;
    Ok(())
}
