//! Pool, transactions and migrations; with `db/dialect.rs` the only place that knows which database.

pub mod dialect;

use sqlx::{PgPool, Postgres, Sqlite, SqlitePool, Transaction};

/// The database: SQLite (one write connection, a pool of readers) or Postgres.
#[derive(Clone)]
pub enum Db {
    /// Embedded.
    Sqlite {
        /// Readers.
        read: SqlitePool,
        /// The one writer.
        write: SqlitePool,
    },
    /// Scaled out.
    Postgres(PgPool),
}

/// A transaction on either database. Dropped without `commit` it rolls back.
pub enum Tx {
    /// On SQLite; a writing one began IMMEDIATE.
    Sqlite(Transaction<'static, Sqlite>),
    /// On Postgres.
    Postgres(Transaction<'static, Postgres>),
}

/// Why the database could not do it.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The URL names no database we know.
    #[error("{0}")]
    Url(String),
    /// The schema is newer than this binary.
    #[error("the database has schema {found}, newer than this binary's {known}; use a newer tasksgodzilla")]
    Newer {
        /// In the database.
        found: i64,
        /// Known here.
        known: i64,
    },
    /// Migrations failed.
    #[error("cannot migrate the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The driver failed.
    #[error("database: {0}")]
    Sqlx(#[from] sqlx::Error),
}

impl Db {
    /// Opens (and on SQLite creates) the database; does not migrate.
    pub async fn open(url: &str, pool: u32) -> Result<Self, DbError> {
        todo!()
    }

    /// Brings the schema up to this binary's, under a lock; refuses a newer schema.
    pub async fn migrate(&self) -> Result<(), DbError> {
        todo!()
    }

    /// Begins a writing transaction.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        todo!()
    }

    /// Begins a reading transaction.
    pub async fn read(&self) -> Result<Tx, DbError> {
        todo!()
    }
}

impl Tx {
    /// Commits.
    pub async fn commit(self) -> Result<(), DbError> {
        todo!()
    }
}
