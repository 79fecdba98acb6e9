//! Rows of `run_artifacts`: files a call produced, with hash and size.

use tg_core::{
    ids::{ArtifactId, CallId},
    scope::Scope,
};

use super::StoreError;
use crate::{db::Tx, queue::Lease};

/// A produced file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewArtifact {
    /// Name, unique in its call.
    pub name: String,
    /// Kind: protocol_output, aux_output, qa_report, patch.
    pub kind: String,
    /// Path below the worktree (or below the call's folder for patches).
    pub path: String,
    /// Hex SHA-256 of the content.
    pub sha256: String,
    /// Size.
    pub bytes: i64,
}

/// A stored one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Identity.
    pub id: ArtifactId,
    /// Call.
    pub run_id: CallId,
    /// What.
    pub file: NewArtifact,
    /// Milliseconds since the epoch, UTC.
    pub created_at: i64,
}

/// Records (or replaces, by name) a file of a call.
pub async fn set(
    tx: &mut Tx,
    lease: &Lease,
    call: &CallId,
    file: &NewArtifact,
    now: i64,
) -> Result<(), StoreError> {
    todo!()
}

/// Files of a call by name.
pub async fn list(tx: &mut Tx, scope: &Scope, call: &CallId) -> Result<Vec<Artifact>, StoreError> {
    todo!()
}
