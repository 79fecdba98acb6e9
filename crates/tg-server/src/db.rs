//! Pool, transactions and migrations; with `db/dialect.rs` the only place that knows which database.
//! Holds no business rules and no statement of a table.

use std::{path::Path, str::FromStr, time::Duration};

use sqlx::{
    Connection as _, PgPool, Postgres, Sqlite, SqlitePool, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub mod dialect;
mod migrations;
pub mod tally;

/// How long a statement waits for a lock before it gives up.
const BUSY: Duration = Duration::from_secs(10);
/// How long a transaction waits for a free connection.
const ACQUIRE: Duration = Duration::from_secs(30);

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
pub struct Tx {
    driver: Driver,
    tallies: tally::Tallies,
}

/// The driver's transaction.
enum Driver {
    /// On SQLite; a writing one began IMMEDIATE.
    Sqlite(Transaction<'static, Sqlite>),
    /// On Postgres.
    Postgres {
        /// The driver's transaction.
        tx: Transaction<'static, Postgres>,
        /// It may write, and locks the rows it decides on.
        writing: bool,
    },
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

/// Number of the newest schema this binary knows; a migrated database has it.
pub fn newest_schema() -> i64 {
    migrations::newest()
}

impl DbError {
    /// Another transaction kept a lock for longer than a statement waits for one.
    pub fn is_lock_timeout(&self) -> bool {
        match self {
            Self::Sqlx(error) => {
                let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
                code.is_some_and(|code| code == "55P03")
            }
            Self::Url(_) | Self::Newer { .. } | Self::Migrate(_) => false,
        }
    }
}

impl Db {
    /// Opens (and on SQLite creates) the database; does not migrate. `url` is `sqlite:<path>` or
    /// `postgres://…`; `pool` is the number of connections for readers (SQLite) or in all (Postgres).
    pub async fn open(url: &str, pool: u32) -> Result<Self, DbError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return open_sqlite(path, pool.max(1)).await;
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return open_postgres(url, pool.max(1)).await;
        }
        // The URL may hold a password, so only its scheme is repeated.
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        Err(DbError::Url(format!(
            "unknown database scheme {scheme:?}; set TASKSGODZILLA_DATABASE_URL to sqlite:<path> or postgres://…"
        )))
    }

    /// Brings the schema up to this binary's, under a lock; refuses a newer schema.
    pub async fn migrate(&self) -> Result<(), DbError> {
        migrations::run(self).await
    }

    /// Begins a writing transaction.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        Ok(match self {
            // A transaction that reads first and upgrades later is refused at once when another one
            // wrote in between, whatever the busy timeout says; so the write lock is taken first.
            Self::Sqlite { write, .. } => Driver::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?).into(),
            Self::Postgres(pool) => Driver::Postgres { tx: pool.begin().await?, writing: true }.into(),
        })
    }

    /// Begins a reading transaction: one snapshot, no writes.
    pub async fn read(&self) -> Result<Tx, DbError> {
        Ok(match self {
            Self::Sqlite { read, .. } => Driver::Sqlite(read.begin().await?).into(),
            Self::Postgres(pool) => Driver::Postgres {
                tx: pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?,
                writing: false,
            }
            .into(),
        })
    }

    /// Closes all connections; waits for those in use.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

impl From<Driver> for Tx {
    fn from(driver: Driver) -> Self {
        Self { driver, tallies: tally::Tallies::default() }
    }
}

impl Tx {
    /// Writes what was counted, and commits.
    pub async fn commit(mut self) -> Result<(), DbError> {
        self.write_tallies().await?;
        match self.driver {
            Driver::Sqlite(tx) => tx.commit().await?,
            Driver::Postgres { tx, .. } => tx.commit().await?,
        }
        Ok(())
    }
}

async fn open_sqlite(path: &str, readers: u32) -> Result<Db, DbError> {
    if path.is_empty() || path.contains(":memory:") || path.contains('?') {
        return Err(DbError::Url(format!(
            "{path:?} is not a database file; give a plain path: sqlite:<path> (in-memory databases are not supported)"
        )));
    }
    if let Some(folder) = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty()) {
        tokio::fs::create_dir_all(folder).await.map_err(|error| {
            DbError::Url(format!("cannot create {} for the database: {error}", folder.display()))
        })?;
    }
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY);
    let write = sqlite_pool()
        .max_connections(1)
        .acquire_timeout(ACQUIRE)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_with(options.clone())
        .await?;
    let read = sqlite_pool()
        .max_connections(readers)
        .acquire_timeout(ACQUIRE)
        .max_lifetime(None)
        .connect_lazy_with(options.pragma("query_only", "ON"));
    Ok(Db::Sqlite { read, write })
}

/// SQLite rolls a transaction back by itself when the disk is full, and the driver goes on counting
/// it: such a connection begins nothing any more, so it is replaced when it is next asked for.
fn sqlite_pool() -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
}

async fn open_postgres(url: &str, pool: u32) -> Result<Db, DbError> {
    let options = PgConnectOptions::from_str(url)?.application_name("tasksgodzilla").options([
        ("statement_timeout", "60s"),
        ("lock_timeout", "20s"),
        ("idle_in_transaction_session_timeout", "60s"),
    ]);
    let pool =
        PgPoolOptions::new().max_connections(pool).acquire_timeout(ACQUIRE).connect_with(options).await?;
    Ok(Db::Postgres(pool))
}
