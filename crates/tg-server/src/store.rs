//! SQL by table family: free functions on `&mut Tx`. Reads take a `Scope`; writes a job makes take
//! its `Lease`. No status is written here but by `protocol::apply`, and only from a `Decision`.

pub mod artifact;
pub mod call;
pub mod event;
pub mod project;
pub mod protocol;
pub mod step;

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
        Self::Db(error.into())
    }
}
