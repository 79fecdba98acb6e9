//! Rows of `step_runs`. Statuses are written by `protocol::apply` only.

use serde_json::Value;
use tg_core::{
    ids::{RunId, StepId},
    lifecycle::RuntimeState,
    protocol::{ProtocolRun, StepRun},
    scope::Scope,
    step::{FirstStepStatus, StepStatus, StepType},
};

use super::{
    StoreError, not_found, protocol,
    record::{Record, json_text},
    touched,
};
use crate::{
    db::{
        Tx,
        dialect::{Row, args},
    },
    queue::{self, Lease},
};

mod sql {
    use crate::db::dialect::statements;

    macro_rules! select {
        ($rest:literal) => {
            concat!(
                "SELECT s.id, s.protocol_run_id, s.step_index, s.step_name, s.step_type, s.status, s.status_reason, ",
                "s.model, s.summary, s.engine_id, s.policy, s.retries, s.runtime_state, s.start_sha, s.head_sha, ",
                "s.started_at, s.finished_at, s.created_at, s.updated_at FROM step_runs s ",
                $rest
            )
        };
    }
    macro_rules! returning {
        ($rest:literal) => {
            concat!(
                $rest,
                " RETURNING id, protocol_run_id, step_index, step_name, step_type, status, status_reason, model, summary, ",
                "engine_id, policy, retries, runtime_state, start_sha, head_sha, started_at, finished_at, created_at, ",
                "updated_at"
            )
        };
    }

    statements! {
        INSERT = returning!(
            "INSERT INTO step_runs (protocol_run_id, step_index, step_name, step_type, status, model, summary, engine_id, \
             policy, runtime_state, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11) \
             ON CONFLICT DO NOTHING"
        );
        EDIT = returning!(
            "UPDATE step_runs SET model = $1, summary = $2, engine_id = $3, policy = $4, updated_at = $5 \
             WHERE id = $6 AND status IN ('pending', 'blocked', 'failed')"
        );
        LOAD = select!(
            "JOIN protocol_runs p ON p.id = s.protocol_run_id \
             WHERE s.id = $1 AND (CAST($2 AS BIGINT) IS NULL OR p.project_id = $2)"
        );
        LIST = select!(
            "JOIN protocol_runs p ON p.id = s.protocol_run_id \
             WHERE s.protocol_run_id = $1 AND (CAST($2 AS BIGINT) IS NULL OR p.project_id = $2) \
             ORDER BY s.step_index"
        );
        STARTED = "UPDATE step_runs SET started_at = $1, start_sha = $2, updated_at = $1 \
                   WHERE id = $3 AND status = 'running'";
        STATE = "SELECT id, runtime_state FROM step_runs WHERE id = $1";
        STATE_POSTGRES = "SELECT id, runtime_state FROM step_runs WHERE id = $1 FOR NO KEY UPDATE";
        SET_STATE = "UPDATE step_runs SET runtime_state = $1 WHERE id = $2";
    }
}
#[cfg(feature = "testing")]
pub(super) use sql::ALL;

const TABLE: &str = "step_runs";

fn read(row: Row) -> Result<StepRun, StoreError> {
    let row = Record::numbered(TABLE, "id", row);
    Ok(StepRun {
        id: StepId(row.int("id")?),
        protocol_run_id: RunId(row.int("protocol_run_id")?),
        step_index: row.int("step_index")?,
        step_name: row.text("step_name")?,
        step_type: row.word("step_type", StepType::parse)?,
        status: row.word("status", StepStatus::parse)?,
        status_reason: row.maybe_json("status_reason")?,
        model: row.maybe_text("model")?,
        summary: row.maybe_text("summary")?,
        engine_id: row.maybe_text("engine_id")?,
        policy: row.maybe_json("policy")?,
        retries: row.int("retries")?,
        runtime_state: row.json("runtime_state")?,
        start_sha: row.maybe_text("start_sha")?,
        head_sha: row.maybe_text("head_sha")?,
        started_at: row.maybe_int("started_at")?,
        finished_at: row.maybe_int("finished_at")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}

/// Loads one.
pub async fn load(tx: &mut Tx, scope: &Scope, id: StepId) -> Result<StepRun, StoreError> {
    let scope = scope.project().map(|project| project.0);
    let row = tx.first(sql::LOAD, args![id.0, scope]).await?;
    read(row.ok_or_else(|| not_found(TABLE, id))?)
}

/// Loads one and its run, both about to be changed: nobody else changes them until this transaction
/// ends. A step of an archived run is refused.
pub async fn hold(tx: &mut Tx, scope: &Scope, id: StepId) -> Result<(ProtocolRun, StepRun), StoreError> {
    let found = load(tx, scope, id).await?;
    let run = protocol::hold(tx, scope, found.protocol_run_id).await?;
    // Before the run was locked somebody else may have moved the step.
    let step = if tx.locks_rows() { load(tx, scope, id).await? } else { found };
    Ok((run, step))
}

/// Steps of a run by index.
pub async fn list(tx: &mut Tx, scope: &Scope, run: RunId) -> Result<Vec<StepRun>, StoreError> {
    let scope = scope.project().map(|project| project.0);
    let rows = tx.all(sql::LIST, args![run.0, scope]).await?;
    rows.into_iter().map(read).collect()
}

/// A step before it has an id, added by hand.
#[derive(Debug, Clone)]
pub struct NewStep<'a> {
    /// Owner; held by this transaction.
    pub protocol_run_id: RunId,
    /// Position from 0.
    pub step_index: i64,
    /// File name.
    pub step_name: &'a str,
    /// What it is for.
    pub step_type: StepType,
    /// Where it begins.
    pub status: FirstStepStatus,
    /// What it shall be done with.
    pub with: ByHand<'a>,
}

/// What a person may say of a step.
#[derive(Debug, Clone, Copy)]
pub struct ByHand<'a> {
    /// Model.
    pub model: Option<&'a str>,
    /// What it does, in a line.
    pub summary: Option<&'a str>,
    /// Engine.
    pub engine_id: Option<&'a str>,
    /// Loop and trigger entries.
    pub policy: Option<&'a Value>,
}

/// Inserts a step; a taken index or name is `Conflict`.
pub async fn insert(tx: &mut Tx, new: &NewStep<'_>, now: i64) -> Result<StepRun, StoreError> {
    let values = args![
        new.protocol_run_id.0,
        new.step_index,
        new.step_name,
        new.step_type.as_str(),
        new.status.as_str(),
        new.with.model,
        new.with.summary,
        new.with.engine_id,
        new.with.policy.map(ToString::to_string),
        json_text(&RuntimeState::default()),
        now,
    ];
    let row = tx.first(sql::INSERT, values).await?.ok_or_else(|| {
        StoreError::Conflict(format!(
            "protocol run {} has a step with index {} or name {} already; choose others",
            new.protocol_run_id, new.step_index, new.step_name
        ))
    })?;
    read(row)
}

/// Writes what a person changed about a step that waits for a run; its run is held by this transaction.
pub async fn edit(tx: &mut Tx, id: StepId, to: ByHand<'_>, now: i64) -> Result<StepRun, StoreError> {
    let policy = to.policy.map(ToString::to_string);
    let row = tx.first(sql::EDIT, args![to.model, to.summary, to.engine_id, policy, now, id.0]).await?;
    read(row.ok_or_else(|| StoreError::Conflict(format!("step {id} is at work or settled")))?)
}

/// Records that execution began, and from which commit. A later attempt overwrites an earlier one.
pub async fn set_started(
    tx: &mut Tx,
    lease: &Lease,
    step: StepId,
    start_sha: &str,
    now: i64,
) -> Result<(), StoreError> {
    queue::check(tx, lease).await?;
    let rows = tx.execute(sql::STARTED, args![now, start_sha, step.0]).await?;
    touched(rows, || StoreError::Conflict(format!("step {step} is not running; its start is not recorded")))
}

/// Adds used tokens to the step's counters.
pub async fn add_tokens(tx: &mut Tx, lease: &Lease, step: StepId, tokens: u64) -> Result<(), StoreError> {
    queue::check(tx, lease).await?;
    let text = tx.locking(sql::STATE, sql::STATE_POSTGRES);
    let row = tx.first(text, args![step.0]).await?.ok_or_else(|| not_found(TABLE, step))?;
    let mut state: RuntimeState = Record::numbered(TABLE, "id", row).json("runtime_state")?;
    state.tokens_used = state.tokens_used.saturating_add(tokens);
    let rows = tx.execute(sql::SET_STATE, args![json_text(&state), step.0]).await?;
    touched(rows, || not_found(TABLE, step))
}
