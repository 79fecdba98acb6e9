//! Pool, transactions and migrations; with `db/dialect.rs` the only place that knows which database.
//! Holds no business rules and no statement of a table.

use std::{path::Path, str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    AssertSqlSafe, Connection as _, PgPool, Postgres, Sqlite, SqlitePool, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

pub mod dialect;
pub mod group;
mod migrations;
pub mod tally;
pub mod timeline;

use self::{
    dialect::Spelling,
    group::{Group, Source, Turn},
};

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
        /// Those who share its commits.
        group: Group,
    },
    /// Scaled out.
    Postgres {
        /// Everybody's connections.
        pool: PgPool,
        /// Those who share commits.
        group: Group,
    },
}

/// A transaction on either database. Dropped without `commit` it rolls back.
pub struct Tx {
    hold: Hold,
    spelling: Spelling,
    notes: Notes,
    has_failed: bool,
}

/// What a transaction runs on.
enum Hold {
    /// One of its own.
    Own(Driver),
    /// A turn in one that is shared.
    Turn(Turn),
}

/// The driver's transaction.
enum Driver {
    /// On SQLite; a writing one began IMMEDIATE.
    Sqlite(Transaction<'static, Sqlite>),
    /// On Postgres.
    Postgres(Transaction<'static, Postgres>),
}

/// What a transaction writes down just before it commits.
#[derive(Default)]
struct Notes {
    tallies: tally::Tallies,
    timeline: timeline::Timeline,
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
    /// A chain of events is not where it was, although it was locked.
    #[error("event chain {0} moved while it was locked")]
    Chain(i64),
    /// The transaction was taken back, because something in it had failed before.
    #[error("the transaction was taken back because something in it had failed")]
    Undone,
    /// The commit that several transactions shared failed.
    #[error(transparent)]
    Together(Arc<DbError>),
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
            Self::Together(error) => error.is_lock_timeout(),
            Self::Url(_) | Self::Newer { .. } | Self::Migrate(_) | Self::Chain(_) | Self::Undone => false,
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

    /// Begins a writing transaction. On SQLite it shares its commit with those who wait to write, as
    /// there is one writer.
    pub async fn begin(&self) -> Result<Tx, DbError> {
        match self {
            Self::Sqlite { .. } => self.begin_together().await,
            Self::Postgres { pool, .. } => {
                Ok(Tx::own(Driver::Postgres(pool.begin().await?), Notes::default()))
            }
        }
    }

    /// Begins a writing transaction that shares its commit with others of this process on either
    /// database: for small changes that come in numbers. What is read in it may not be committed yet;
    /// who answers with a refusal waits for [`Self::settled`] first.
    pub async fn begin_together(&self) -> Result<Tx, DbError> {
        let mut turn = Box::pin(self.group().turn()).await?;
        let spelling = turn.driver().spelling();
        Ok(Tx { hold: Hold::Turn(turn), spelling, notes: Notes::default(), has_failed: false })
    }

    /// How many shared transactions failed so far: what [`Self::settled`] compares with.
    pub fn failures(&self) -> u64 {
        self.group().failures()
    }

    /// Waits until whatever this process has changed is committed. `before` is [`Self::failures`] from
    /// before the reads that matter: an error says that they may have seen what was taken back.
    pub async fn settled(&self, before: u64) -> Result<(), DbError> {
        self.begin_together().await?.commit().await?;
        if self.failures() == before { Ok(()) } else { Err(DbError::Undone) }
    }

    /// Begins a reading transaction: one snapshot, no writes.
    pub async fn read(&self) -> Result<Tx, DbError> {
        Ok(match self {
            Self::Sqlite { read, .. } => Tx::own(Driver::Sqlite(read.begin().await?), Notes::default()),
            Self::Postgres { pool, .. } => {
                let tx = pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
                let own = Tx::own(Driver::Postgres(tx), Notes::default());
                Tx { spelling: Spelling::PostgresReading, ..own }
            }
        })
    }

    fn group(&self) -> &Group {
        match self {
            Self::Sqlite { group, .. } | Self::Postgres { group, .. } => group,
        }
    }

    /// Closes all connections; waits for those in use.
    pub async fn close(&self) {
        match self {
            Self::Sqlite { read, write, .. } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres { pool, .. } => pool.close().await,
        }
    }
}

impl Source {
    /// Begins a transaction that will be shared.
    async fn begin(&self) -> Result<Driver, DbError> {
        Ok(match self {
            // A transaction that reads first and upgrades later is refused at once when another one
            // wrote in between, whatever the busy timeout says; so the write lock is taken first.
            Self::Sqlite(write) => Driver::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
            // Many wait for whoever waits for a lock in here.
            Self::Postgres(pool) => {
                Driver::Postgres(pool.begin_with("BEGIN; SET LOCAL lock_timeout = '2s'").await?)
            }
        })
    }
}

impl Driver {
    const fn spelling(&self) -> Spelling {
        match self {
            Self::Sqlite(_) => Spelling::Sqlite,
            Self::Postgres(_) => Spelling::PostgresWriting,
        }
    }

    /// Runs a text of ours that has no arguments and is not worth preparing.
    async fn raw(&mut self, text: String) -> Result<(), sqlx::Error> {
        let text = sqlx::raw_sql(AssertSqlSafe(text));
        match self {
            Self::Sqlite(tx) => text.execute(&mut **tx).await.map(drop),
            Self::Postgres(tx) => text.execute(&mut **tx).await.map(drop),
        }
    }
}

impl Tx {
    /// A transaction of its own.
    fn own(driver: Driver, notes: Notes) -> Self {
        let spelling = driver.spelling();
        Self { hold: Hold::Own(driver), spelling, notes, has_failed: false }
    }

    fn driver(&mut self) -> &mut Driver {
        match &mut self.hold {
            Hold::Own(driver) => driver,
            Hold::Turn(turn) => turn.driver(),
        }
    }

    /// Writes what was noted, and commits.
    pub async fn commit(self) -> Result<(), DbError> {
        if self.has_failed {
            return Err(DbError::Undone);
        }
        match self.hold {
            Hold::Turn(turn) => turn.commit(self.notes).await,
            Hold::Own(_) => self.close().await,
        }
    }

    /// Commits a transaction of its own.
    async fn close(mut self) -> Result<(), DbError> {
        self.write_tallies().await?;
        self.write_timeline().await?;
        match self.hold {
            Hold::Own(Driver::Sqlite(tx)) => tx.commit().await?,
            Hold::Own(Driver::Postgres(tx)) => tx.commit().await?,
            Hold::Turn(_) => return Err(DbError::Undone),
        }
        Ok(())
    }
}

impl Notes {
    fn add(&mut self, other: Self) {
        self.tallies.add_all(other.tallies);
        self.timeline.add(other.timeline);
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
        // What a savepoint remembers stays in memory instead of a file.
        .pragma("temp_store", "MEMORY")
        .busy_timeout(BUSY);
    let write = sqlite_pool()
        .max_connections(1)
        .acquire_timeout(ACQUIRE)
        .max_lifetime(None)
        .idle_timeout(None)
        .connect_with(options.clone())
        .await?;
    let group = Group::new(Source::Sqlite(write.clone()));
    let read = sqlite_pool()
        .max_connections(readers)
        .acquire_timeout(ACQUIRE)
        .max_lifetime(None)
        .connect_lazy_with(options.pragma("query_only", "ON"));
    Ok(Db::Sqlite { read, write, group })
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
    let group = Group::new(Source::Postgres(pool.clone()));
    Ok(Db::Postgres { pool, group })
}
