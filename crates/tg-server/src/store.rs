//! SQL by table family: free functions on `&mut Tx`. Reads take a `Scope`; writes a job makes take
//! its `Lease`. No status is written here but by `protocol::apply`, and only from a `Decision`.

pub mod artifact;
pub mod call;
pub mod event;
pub mod idempotency;
pub mod project;
pub mod protocol;
pub(crate) mod record;
pub mod review;
pub mod secret;
pub mod session;
pub mod step;
pub mod tally;
pub mod token;

/// Why the store could not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No such row in this scope.
    #[error("{table} {id} does not exist")]
    NotFound {
        /// Table.
        table: &'static str,
        /// Id as text.
        id: String,
    },
    /// A unique rule or a compare-and-set said no.
    #[error("{0}")]
    Conflict(String),
    /// The project is archived.
    #[error("project {0} is archived and takes no new work; its history can still be read")]
    Archived(tg_core::ids::ProjectId),
    /// The run is archived.
    #[error("protocol run {0} is archived and refuses work; its history can still be read")]
    RunArchived(tg_core::ids::RunId),
    /// The lease of the writing job is gone; its whole transaction must be dropped.
    #[error("the lease of job {0} is gone; its result is discarded")]
    FencedOut(String),
    /// A row does not parse; never replaced by a default.
    #[error("{table} {id}: column {column} does not hold a valid value")]
    Corrupt {
        /// Table.
        table: &'static str,
        /// Id as text.
        id: String,
        /// Column.
        column: &'static str,
    },
    /// The database failed.
    #[error(transparent)]
    Db(#[from] crate::db::DbError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let taken = error.as_database_error().filter(|cause| cause.is_unique_violation());
        match taken {
            Some(cause) => Self::Conflict(format!("such a row exists already: {}", cause.message())),
            None => Self::Db(error.into()),
        }
    }
}

/// The row that a statement had to touch, or the reason why it did not.
pub(crate) fn touched(rows: u64, otherwise: impl FnOnce() -> StoreError) -> Result<(), StoreError> {
    if rows == 1 { Ok(()) } else { Err(otherwise()) }
}

/// No such row.
pub(crate) fn not_found(table: &'static str, id: impl std::fmt::Display) -> StoreError {
    StoreError::NotFound { table, id: id.to_string() }
}

/// Every statement of the store, the queue and the dialect, by `file::NAME`; for the tests that
/// prepare them and look at their plans.
#[cfg(feature = "testing")]
pub fn statements() -> Vec<(String, &'static str)> {
    let files = [
        ("dialect", crate::db::dialect::ALL),
        ("tally", crate::db::tally::ALL),
        ("timeline", crate::db::timeline::ALL),
        ("queue", crate::queue::ALL),
        ("depth", crate::queue::depth::ALL),
        ("project", project::ALL),
        ("secret", secret::ALL),
        ("protocol", protocol::ALL),
        ("step", step::ALL),
        ("event_list", event::LIST),
        ("event_verify", event::VERIFY),
        ("idempotency", idempotency::ALL),
        ("call", call::ALL),
        ("artifact", artifact::ALL),
        ("tallies", tally::ALL),
        ("session", session::ALL),
        ("token", token::ALL),
        ("review", review::ALL),
    ];
    files
        .iter()
        .flat_map(|(file, all)| all.iter().map(move |(name, text)| (format!("{file}::{name}"), *text)))
        .collect()
}
