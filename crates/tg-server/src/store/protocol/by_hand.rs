//! What a person changes about a run beside its status. The run is held by the transaction.

use serde_json::Value;
use tg_core::{ids::RunId, protocol::ProtocolRun};

use super::{TABLE, read, sql};
use crate::{
    db::{Tx, dialect::args},
    store::{StoreError, record::Record, touched},
};

/// What a person may change about a run, as it shall be.
#[derive(Debug, Clone, Copy)]
pub struct ByHand<'a> {
    /// The task.
    pub description: Option<&'a str>,
    /// A pass queues the next ready step.
    pub auto_advance: bool,
    /// Branch to start from.
    pub base_branch: &'a str,
}

/// Writes what a person changed about a run.
pub async fn change(tx: &mut Tx, id: RunId, to: ByHand<'_>, now: i64) -> Result<ProtocolRun, StoreError> {
    let values = args![to.description, to.auto_advance, to.base_branch, now, id.0];
    let row = tx.first(sql::CHANGE_BY_HAND, values).await?.ok_or(StoreError::RunArchived(id))?;
    read(&Record::numbered(TABLE, "id", row))
}

/// Takes a run that has not begun or is over out of the lists. Its rows and files stay.
pub async fn archive(tx: &mut Tx, id: RunId, now: i64) -> Result<(), StoreError> {
    touched(tx.execute(sql::ARCHIVE, args![now, id.0]).await?, || {
        StoreError::Conflict(format!("protocol run {id} is at work or archived; cancel it first"))
    })
}

/// Writes a spec that a person changed, with its fingerprint and what `spec_meta` says of its check.
pub async fn edit_spec(
    tx: &mut Tx,
    id: RunId,
    template_config: &Value,
    spec_hash: &str,
    now: i64,
) -> Result<(), StoreError> {
    let status = template_config["spec_meta"]["status"].as_str();
    let values = args![template_config.to_string(), spec_hash, status, now, id.0];
    touched(tx.execute(sql::EDIT_SPEC, values).await?, || StoreError::RunArchived(id))
}
