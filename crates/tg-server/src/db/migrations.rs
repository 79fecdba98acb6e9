//! The schema and its history. One text serves both databases; `dialect::schema_text` spells the two
//! words that differ. A text that was released is never changed: its checksum is compared at start.

use sqlx::{
    AssertSqlSafe, SqlSafeStr, Sqlite, SqlitePool, Transaction,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::{Db, DbError, dialect::schema_text};

/// Version, name and text of every migration, oldest first.
pub(super) const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first tables", include_str!("migrations/0001_first_tables.sql")),
    (2, "idempotency", include_str!("migrations/0002_idempotency.sql")),
    (3, "access", include_str!("migrations/0003_access.sql")),
    (4, "projects", include_str!("migrations/0004_projects.sql")),
    (5, "protocols", include_str!("migrations/0005_protocols.sql")),
    (6, "review", include_str!("migrations/0006_review.sql")),
    (7, "events", include_str!("migrations/0007_events.sql")),
    (8, "registry", include_str!("migrations/0008_registry.sql")),
    (9, "tallies", include_str!("migrations/0009_tallies.sql")),
];

/// Number of the newest migration of this binary.
pub(super) fn newest() -> i64 {
    MIGRATIONS.last().map_or(0, |(version, _, _)| *version)
}

fn migrator(postgres: bool) -> Migrator {
    let migrations = MIGRATIONS.iter().map(|(version, name, text)| {
        // Safe: the text is part of this binary.
        let text = AssertSqlSafe(schema_text(text, postgres)).into_sql_str();
        Migration::new(*version, (*name).into(), MigrationType::Simple, text, false)
    });
    Migrator::with_migrations(migrations.collect())
}

/// Applies what is missing. Two processes that start at once wait for each other.
pub(super) async fn run(db: &Db) -> Result<(), DbError> {
    match db {
        Db::Sqlite { write, .. } => {
            // The driver has no migration lock for SQLite; the write lock of an outer transaction is one.
            let mut tx = begin(write).await?;
            migrator(false).run_direct(None, &mut *tx, false).await.map_err(explain)?;
            tx.commit().await?;
        }
        Db::Postgres { pool, .. } => {
            // The lock belongs to the session. Closing the connection frees it, also after a failure.
            let mut connection = pool.acquire().await?.detach();
            let outcome = migrator(true).run_direct(None, &mut connection, false).await;
            sqlx::Connection::close(connection).await?;
            outcome.map_err(explain)?;
        }
    }
    Ok(())
}

/// Takes the write lock. On a slow disk many processes that start at once may wait longer for it than a
/// statement does.
async fn begin(write: &SqlitePool) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
    const TRIES: usize = 2;
    for _ in 1..TRIES {
        match write.begin_with("BEGIN IMMEDIATE").await {
            Err(error) if is_busy(&error) => {}
            begun => return begun,
        }
    }
    write.begin_with("BEGIN IMMEDIATE").await
}

fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "5")
}

fn explain(error: MigrateError) -> DbError {
    let known = newest();
    if let MigrateError::VersionMissing(found) = error
        && found > known
    {
        return DbError::Newer { found, known };
    }
    DbError::Migrate(error)
}
