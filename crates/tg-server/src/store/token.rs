//! Rows of `access_tokens`: what may be sent as a bearer, by whom, until when. Holds digests only.

use tg_core::{
    ids::ProjectId,
    scope::Scope,
    wire::{TokenOut, TokenScope, timestamp},
};

use super::{StoreError, not_found, record::Record, session, touched};
use crate::{
    credential::Stored,
    db::{
        Tx,
        dialect::{Row, args},
    },
};

/// A token in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Identity.
    pub id: i64,
    /// What it is for.
    pub name: String,
    /// What it may see.
    pub scope: Scope,
    /// It is the one token of its project that is replaced as a whole.
    pub is_project_token: bool,
    /// How its text begins.
    pub prefix: String,
    /// Milliseconds since the epoch, UTC.
    pub created_at: i64,
    /// Milliseconds since the epoch, UTC.
    pub expires_at: Option<i64>,
    /// Milliseconds since the epoch, UTC; to the minute.
    pub last_used_at: Option<i64>,
}

/// A token before it has an id.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is for; unique among the tokens in force.
    pub name: String,
    /// What it may see.
    pub scope: Scope,
    /// It is the one token of its project.
    pub is_project_token: bool,
    /// When it stops working.
    pub expires_at: Option<i64>,
}

mod sql {
    use crate::db::dialect::statements;

    macro_rules! select {
        ($rest:literal) => {
            concat!(
                "SELECT id, name, scope, project_id, is_project_token, prefix, digest, created_at, expires_at, ",
                "last_used_at FROM access_tokens WHERE revoked_at IS NULL AND ",
                $rest
            )
        };
    }

    statements! {
        INSERT = "INSERT INTO access_tokens (name, scope, project_id, is_project_token, prefix, digest, created_at, \
                  expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING id";
        LOAD = select!("id = $1 AND (CAST($2 AS BIGINT) IS NULL OR project_id = $2)");
        LIST = select!("id < $1 AND (CAST($2 AS BIGINT) IS NULL OR project_id = $2) ORDER BY id DESC LIMIT $3");
        FIND = select!("prefix = $1");
        OF_PROJECT = select!("project_id = $1 AND is_project_token = 1");
        ROTATE = "UPDATE access_tokens SET prefix = $1, digest = $2, last_used_at = NULL \
                  WHERE id = $3 AND revoked_at IS NULL";
        REVOKE = "UPDATE access_tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL";
        USED = "UPDATE access_tokens SET last_used_at = $1 WHERE id = $2 AND revoked_at IS NULL";
    }
}
#[cfg(feature = "testing")]
pub(super) use sql::ALL;

const TABLE: &str = "access_tokens";

impl Token {
    /// Who it acts as: the actor of events.
    pub fn principal(&self) -> String {
        match self.scope.project().filter(|_| self.is_project_token) {
            Some(project) => format!("project:{project}"),
            None => format!("token:{}", self.name),
        }
    }

    /// It no longer works.
    pub fn is_expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// As shown, without its text.
    pub fn shown(&self) -> TokenOut {
        TokenOut {
            id: self.id,
            name: self.name.clone(),
            scope: word(self.scope),
            project_id: self.scope.project().map(|id| id.0),
            project_token: self.is_project_token,
            prefix: self.prefix.clone(),
            created_at: timestamp(self.created_at),
            expires_at: self.expires_at.map(timestamp),
            last_used_at: self.last_used_at.map(timestamp),
            token: None,
        }
    }
}

/// The word for what a principal may see.
pub const fn word(scope: Scope) -> TokenScope {
    match scope {
        Scope::All => TokenScope::Admin,
        Scope::Project(_) => TokenScope::Project,
    }
}

fn read(row: Row) -> Result<(Token, String), StoreError> {
    let row = Record::numbered(TABLE, "id", row);
    let scope = match (row.word("scope", TokenScope::parse)?, row.maybe_int("project_id")?) {
        (TokenScope::Admin, None) => Scope::All,
        (TokenScope::Project, Some(project)) => Scope::Project(ProjectId(project)),
        // A token that lost its project must not become the admin's.
        (TokenScope::Admin, Some(_)) | (TokenScope::Project, None) => return Err(row.corrupt("scope")),
    };
    let token = Token {
        id: row.int("id")?,
        name: row.text("name")?,
        scope,
        is_project_token: row.flag("is_project_token")?,
        prefix: row.text("prefix")?,
        created_at: row.int("created_at")?,
        expires_at: row.maybe_int("expires_at")?,
        last_used_at: row.maybe_int("last_used_at")?,
    };
    Ok((token, row.text("digest")?))
}

/// Inserts a token (event `token_created` is the caller's). A name that is taken is a conflict.
pub async fn insert(tx: &mut Tx, new: &NewToken, stored: &Stored, now: i64) -> Result<Token, StoreError> {
    let values = args![
        &new.name,
        word(new.scope).as_str(),
        new.scope.project().map(|id| id.0),
        new.is_project_token,
        &stored.prefix,
        stored.digest.to_hex(),
        now,
        new.expires_at,
    ];
    let row = tx.first(sql::INSERT, values).await?.ok_or_else(|| not_found(TABLE, "new"))?;
    let id = Record::numbered(TABLE, "id", row).int("id")?;
    load(tx, &Scope::All, id).await
}

/// Loads a token that was not revoked.
pub async fn load(tx: &mut Tx, scope: &Scope, id: i64) -> Result<Token, StoreError> {
    let row = tx.first(sql::LOAD, args![id, scope.project().map(|id| id.0)]).await?;
    Ok(read(row.ok_or_else(|| not_found(TABLE, id))?)?.0)
}

/// Tokens that were not revoked, newest first; older than `before` where given.
pub async fn list(
    tx: &mut Tx,
    scope: &Scope,
    before: Option<i64>,
    limit: i64,
) -> Result<Vec<Token>, StoreError> {
    let values = args![before.unwrap_or(i64::MAX), scope.project().map(|id| id.0), limit];
    tx.all(sql::LIST, values).await?.into_iter().map(|row| Ok(read(row)?.0)).collect()
}

/// The token in force whose text this was stored of. It takes no scope: it is where scopes come from.
pub async fn find(tx: &mut Tx, stored: &Stored, now: i64) -> Result<Option<Token>, StoreError> {
    for row in tx.all(sql::FIND, args![&stored.prefix]).await? {
        let (token, digest) = read(row)?;
        if stored.digest.is_stored_as(&digest) {
            return Ok((!token.is_expired(now)).then_some(token));
        }
    }
    Ok(None)
}

/// Gives a token another text; the old one and its sessions are dead with the commit.
pub async fn rotate(tx: &mut Tx, scope: &Scope, id: i64, stored: &Stored) -> Result<Token, StoreError> {
    load(tx, scope, id).await?;
    let values = args![&stored.prefix, stored.digest.to_hex(), id];
    let rows = tx.execute(sql::ROTATE, values).await?;
    touched(rows, || not_found(TABLE, id))?;
    session::end_of_token(tx, id).await?;
    load(tx, scope, id).await
}

/// Revokes a token; it and its sessions are dead with the commit. Gives what it was.
pub async fn revoke(tx: &mut Tx, scope: &Scope, id: i64, now: i64) -> Result<Token, StoreError> {
    let token = load(tx, scope, id).await?;
    let rows = tx.execute(sql::REVOKE, args![now, id]).await?;
    touched(rows, || not_found(TABLE, id))?;
    session::end_of_token(tx, id).await?;
    Ok(token)
}

/// The one token of a project, if it has one.
pub async fn of_project(tx: &mut Tx, project: ProjectId) -> Result<Option<Token>, StoreError> {
    let row = tx.first(sql::OF_PROJECT, args![project.0]).await?;
    row.map(|row| Ok(read(row)?.0)).transpose()
}

/// Gives a project its token; one that it had is dead with the commit.
pub async fn replace_of_project(
    tx: &mut Tx,
    project: ProjectId,
    stored: &Stored,
    now: i64,
) -> Result<Token, StoreError> {
    if let Some(old) = of_project(tx, project).await? {
        revoke(tx, &Scope::All, old.id, now).await?;
    }
    let new = NewToken {
        // No person can choose a name with a colon.
        name: format!("project:{project}"),
        scope: Scope::Project(project),
        is_project_token: true,
        expires_at: None,
    };
    insert(tx, &new, stored, now).await
}

/// Records when a token was used. One that was revoked meanwhile is left as it is.
pub async fn set_used(tx: &mut Tx, id: i64, now: i64) -> Result<(), StoreError> {
    let rows = tx.execute(sql::USED, args![now, id]).await?;
    touched(rows, || not_found(TABLE, id))
}
