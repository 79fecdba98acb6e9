//! What differs between the two databases, in one file: dispatch, values, clock, locks, and the few
//! words of the schema text that have two spellings. Knows no table.
//!
//! Rows hold only TEXT, BIGINT and NULL, so one small `Arg` and one `Row` serve both drivers and a
//! statement is written once.

use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};

use super::{Driver, Hold, Tx};

/// A value bound to a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arg {
    /// BIGINT.
    Int(Option<i64>),
    /// TEXT.
    Text(Option<String>),
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Arg {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Arg {
    fn from(value: bool) -> Self {
        Self::Int(Some(i64::from(value)))
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<String> for Arg {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<&String> for Arg {
    fn from(value: &String) -> Self {
        Self::Text(Some(value.clone()))
    }
}

impl From<Option<&str>> for Arg {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

impl From<Option<String>> for Arg {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<&Option<String>> for Arg {
    fn from(value: &Option<String>) -> Self {
        Self::Text(value.clone())
    }
}

/// A row of either driver.
pub enum Row {
    /// Of SQLite.
    Sqlite(SqliteRow),
    /// Of Postgres.
    Postgres(PgRow),
}

impl From<SqliteRow> for Row {
    fn from(row: SqliteRow) -> Self {
        Self::Sqlite(row)
    }
}

impl From<PgRow> for Row {
    fn from(row: PgRow) -> Self {
        Self::Postgres(row)
    }
}

fn rows<R: Into<Row>>(rows: Vec<R>) -> Vec<Row> {
    rows.into_iter().map(Into::into).collect()
}

impl Row {
    /// Reads a BIGINT column.
    pub fn int(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    /// Reads a TEXT column.
    pub fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

/// Lists bound values.
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::dialect::Arg::from($value)),*] };
}
pub(crate) use args;

/// Declares the statements of a file: a constant each, and `ALL` for the test that prepares them.
/// A name ending in `_POSTGRES` or `_SQLITE` is for that database only.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $text:expr;)*) => {
        $($(#[$doc])* pub const $name: &str = $text;)*
        /// Every statement of this file by name.
        #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "read by tests only"))]
        pub const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}
pub(crate) use statements;

/// Runs the same expression on whichever driver the transaction belongs to.
macro_rules! on {
    ($tx:expr, $connection:ident, $query:ident($sql:expr, $args:expr) => $body:expr) => {
        match $tx.driver() {
            Driver::Sqlite(tx) => {
                let $connection = &mut **tx;
                let $query = bound!(sqlx::Sqlite, $sql, $args);
                $body
            }
            Driver::Postgres(tx) => {
                let $connection = &mut **tx;
                let $query = bound!(sqlx::Postgres, $sql, $args);
                $body
            }
        }
    };
}

macro_rules! bound {
    ($database:ty, $sql:expr, $args:expr) => {
        $args.into_iter().fold(sqlx::query::<$database>($sql), |query, arg| match arg {
            Arg::Int(value) => query.bind(value),
            Arg::Text(value) => query.bind(value),
        })
    };
}

/// Which database a transaction is on, and what it must do about rows that others change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// One writer.
    Sqlite,
    /// A snapshot that writes nothing.
    PostgresReading,
    /// Many writers, who lock rows by name.
    PostgresWriting,
}

mod sql {
    statements! {
        NOW_SQLITE = "SELECT CAST(ROUND(unixepoch('now', 'subsec') * 1000) AS INTEGER) AS now";
        NOW_POSTGRES = "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT) AS now";
        LOCK_POSTGRES = "SELECT pg_advisory_xact_lock($1)";
    }
}
#[cfg(feature = "testing")]
pub use sql::ALL;

/// Things that go one at a time across all processes. SQLite has one writer and needs no lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serial {
    /// Claims: caps are counted, so two claims must not look at once.
    Claim,
    /// Events: sequence numbers must become visible in their order, or a reader that follows them
    /// would miss one.
    Events,
}

impl Serial {
    const fn key(self) -> i64 {
        match self {
            Self::Claim => 0x7461_736b_0001,
            Self::Events => 0x7461_736b_0002,
        }
    }
}

impl Driver {
    /// Whether this error undid no more than its statement, so that the transaction goes on.
    fn undid_statement(&self, error: &sqlx::Error) -> bool {
        match self {
            // A broken constraint. SQLite itself takes all back for some others, a full disk among them.
            Self::Sqlite(_) => {
                let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
                code.and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| code & 0xff == 19)
            }
            Self::Postgres(_) => false,
        }
    }

    /// Whether this error undid no more than what came after the last savepoint, once it is gone back to.
    pub(super) fn undid_turn(&self, error: &sqlx::Error) -> bool {
        match self {
            Self::Sqlite(_) => self.undid_statement(error),
            Self::Postgres(_) => error.as_database_error().is_some(),
        }
    }
}

impl Tx {
    /// Every row of a query.
    pub(crate) async fn all(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<Vec<Row>, sqlx::Error> {
        let found = on!(self, connection, query(sql, args) => query.fetch_all(connection).await.map(rows));
        self.noted(found)
    }

    /// The first row of a query, if any.
    pub(crate) async fn first(
        &mut self,
        sql: &'static str,
        args: Vec<Arg>,
    ) -> Result<Option<Row>, sqlx::Error> {
        let found = on!(self, connection, query(sql, args) => {
            query.fetch_optional(connection).await.map(|row| row.map(Row::from))
        });
        self.noted(found)
    }

    /// Runs a statement; the number of rows it touched.
    pub(crate) async fn execute(&mut self, sql: &'static str, args: Vec<Arg>) -> Result<u64, sqlx::Error> {
        let done = on!(self, connection, query(sql, args) => {
            query.execute(connection).await.map(|done| done.rows_affected())
        });
        self.noted(done)
    }

    /// Remembers an error that the transaction cannot go on from.
    fn noted<T>(&mut self, outcome: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if let Err(error) = &outcome {
            self.has_failed |= !self.driver().undid_statement(error);
            if let Hold::Turn(turn) = &mut self.hold {
                turn.failed(error);
            }
        }
        outcome
    }

    /// Which of two texts belongs to this database.
    pub(crate) const fn pick(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self.spelling {
            Spelling::Sqlite => sqlite,
            Spelling::PostgresReading | Spelling::PostgresWriting => postgres,
        }
    }

    /// The text with a row lock where this transaction needs one: a writing one on Postgres. SQLite
    /// has one writer, and a reading transaction must not lock.
    pub(crate) const fn locking(&self, plain: &'static str, locked: &'static str) -> &'static str {
        if self.locks_rows() { locked } else { plain }
    }

    /// A writing transaction on Postgres, where rows must be locked by name.
    pub(crate) const fn locks_rows(&self) -> bool {
        matches!(self.spelling, Spelling::PostgresWriting)
    }

    /// The database's clock in milliseconds since the epoch, UTC.
    pub(crate) async fn now(&mut self) -> Result<i64, sqlx::Error> {
        let row = self.first(self.pick(sql::NOW_SQLITE, sql::NOW_POSTGRES), args![]).await?;
        row.ok_or(sqlx::Error::RowNotFound)?.int("now")?.ok_or(sqlx::Error::RowNotFound)
    }

    /// Waits until no other transaction is at the same thing; held to the end of the transaction.
    pub(crate) async fn serialize(&mut self, what: Serial) -> Result<(), sqlx::Error> {
        if self.locks_rows() {
            self.execute(sql::LOCK_POSTGRES, args![what.key()]).await?;
        }
        Ok(())
    }
}

/// Spells the few words of the schema text that differ: `@identity@` (a numeric primary key that the
/// database counts up and never reuses) and `@busy_table@` (storage settings of a table whose rows
/// change all the time).
pub(crate) fn schema_text(text: &str, postgres: bool) -> String {
    let (identity, busy) = if postgres {
        (
            "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
            " WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02)",
        )
    } else {
        ("INTEGER PRIMARY KEY AUTOINCREMENT", "")
    };
    text.replace("@identity@", identity).replace("@busy_table@", busy)
}
