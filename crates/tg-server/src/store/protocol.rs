//! Rows of `protocol_runs`, the flow of a run, and the one UPDATE of a status.

use serde_json::Value;
use tg_core::{
    ids::{ProjectId, RunId},
    lifecycle::{Decision, PlannedStep, RunKind, RuntimeState, StepChange},
    naming,
    project::ModelDefaults,
    protocol::{Confinement, ProtocolRun, PullRequestState},
    scope::Scope,
    status::{FirstStatus, ProtocolStatus},
    step::StepStatus,
};

use super::{
    StoreError, not_found,
    record::{Record, json_text},
    touched,
};
use crate::{
    db::{Tx, dialect::args},
    queue::{self, Lease},
};

/// A run before it has an id.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// Owner.
    pub project_id: ProjectId,
    /// Name = branch = directory.
    pub protocol_name: String,
    /// Where it begins.
    pub status: FirstStatus,
    /// A pass queues the next ready step.
    pub auto_advance: bool,
    /// Engine asked for by name.
    pub engine: Option<String>,
    /// Models asked for by name.
    pub models: ModelDefaults,
    /// Branch to start from; `None` = the project's.
    pub base_branch: Option<String>,
    /// The task.
    pub description: Option<String>,
    /// Unconfined engines were asked for by name.
    pub sandbox_off: bool,
}

mod by_hand;
mod flow;

pub use by_hand::{ByHand, archive, change, edit_spec};
pub use flow::{FlowSettings, flow};

mod sql {
    use crate::db::dialect::statements;

    macro_rules! columns {
        () => {
            concat!(
                "id, project_id, protocol_name, kind, status, status_reason, paused_from, auto_advance, engine, ",
                "models, base_branch, base_sha, worktree_path, protocol_root, description, template_config, spec_hash, ",
                "confinement, sandbox_off, pr_number, pr_url, pr_state, head_sha, pushed_sha, archived_at, created_at, ",
                "updated_at"
            )
        };
    }
    macro_rules! select {
        ($rest:expr) => {
            concat!("SELECT ", columns!(), " FROM protocol_runs WHERE ", $rest)
        };
    }
    /// A run of a project that is there and not archived, nor will be before the transaction ends.
    macro_rules! insert {
        ($lock:literal) => {
            concat!(
                "INSERT INTO protocol_runs (project_id, protocol_name, protocol_number, status, auto_advance, engine, ",
                "models, base_branch, description, sandbox_off, created_at, updated_at) ",
                "SELECT p.id, CAST($2 AS TEXT), CAST($3 AS BIGINT), CAST($4 AS TEXT), CAST($5 AS BIGINT), ",
                "CAST($6 AS TEXT), CAST($7 AS TEXT), COALESCE(CAST($8 AS TEXT), p.base_branch), CAST($9 AS TEXT), ",
                "CAST($10 AS BIGINT), CAST($11 AS BIGINT), CAST($11 AS BIGINT) FROM projects p ",
                "WHERE p.id = $1 AND (CAST($12 AS BIGINT) IS NULL OR p.id = $12) AND p.archived_at IS NULL",
                $lock,
                " ON CONFLICT (project_id, protocol_name) DO NOTHING RETURNING ",
                columns!()
            )
        };
    }
    macro_rules! listed {
        ($rest:literal) => {
            select!(concat!(
                "project_id = $1 AND archived_at IS NULL AND id < $2 AND (CAST($3 AS BIGINT) = 1 OR kind = 'protocol')",
                $rest
            ))
        };
    }

    statements! {
        INSERT = insert!("");
        INSERT_POSTGRES = insert!(" FOR SHARE OF p");
        LOAD = select!("id = $1 AND (CAST($2 AS BIGINT) IS NULL OR project_id = $2)");
        LOCK_POSTGRES = select!("id = $1 AND (CAST($2 AS BIGINT) IS NULL OR project_id = $2) FOR NO KEY UPDATE");
        LIST = select!("archived_at IS NULL AND id > 0 ORDER BY id DESC LIMIT $1");
        LIST_OF_PROJECT = listed!(" ORDER BY id DESC LIMIT $4");
        LIST_IN_STATUS = listed!(" AND status = $5 ORDER BY id DESC LIMIT $4");
        LAST_NUMBER = "SELECT id, protocol_number FROM protocol_runs WHERE project_id = $1 \
                       AND protocol_number IS NOT NULL ORDER BY protocol_number DESC LIMIT 1";
        CHANGE_BY_HAND = concat!(
            "UPDATE protocol_runs SET description = $1, auto_advance = $2, base_branch = $3, updated_at = $4 ",
            "WHERE id = $5 AND archived_at IS NULL RETURNING ",
            columns!()
        );
        ARCHIVE = "UPDATE protocol_runs SET archived_at = $1, updated_at = $1 WHERE id = $2 AND archived_at IS NULL \
                   AND status IN ('pending', 'failed', 'cancelled', 'completed')";
        EDIT_SPEC = "UPDATE protocol_runs SET template_config = $1, spec_hash = $2, spec_validation_status = $3, \
                     spec_validated_at = CASE WHEN CAST($3 AS TEXT) IS NULL THEN NULL ELSE CAST($4 AS BIGINT) END, \
                     updated_at = $4 WHERE id = $5 AND archived_at IS NULL";
        NAMES = "SELECT protocol_name FROM protocol_runs WHERE project_id = $1 ORDER BY protocol_name";
        OPEN = "SELECT id FROM protocol_runs p WHERE status IN ('planning', 'planned', 'running', 'blocked') \
                AND (status <> 'planned' OR auto_advance = 1) AND (status <> 'blocked' OR EXISTS (SELECT 1 FROM step_runs s WHERE s.protocol_run_id = p.id \
                AND s.status IN ('running', 'needs_qa'))) ORDER BY id LIMIT $1";
        LIVE_JOBS = "SELECT id, kind, step_run_id FROM jobs WHERE protocol_run_id = $1 \
                     AND state IN ('queued', 'started') AND id <> $2";
        CHANGE_RUN = "UPDATE protocol_runs SET status = $1, status_reason = $2, paused_from = $3, pr_state = $4, \
                      finished_at = CASE WHEN CAST($5 AS BIGINT) = 0 THEN NULL ELSE COALESCE(finished_at, CAST($6 AS BIGINT)) END, \
                      updated_at = $6 WHERE id = $7 AND status = $8";
        CHANGE_STEP = "UPDATE step_runs SET status = $1, status_reason = $2, retries = $3, runtime_state = $4, \
                       head_sha = COALESCE(CAST($5 AS TEXT), head_sha), \
                       finished_at = CASE WHEN CAST($6 AS BIGINT) = 0 THEN NULL \
                       WHEN status = $1 THEN finished_at ELSE CAST($7 AS BIGINT) END, \
                       updated_at = $7 WHERE id = $8 AND protocol_run_id = $9 AND status = $10";
        DROP_STEPS = "DELETE FROM step_runs WHERE protocol_run_id = $1 AND started_at IS NULL";
        KEPT_STEPS = "SELECT step_index, step_name FROM step_runs WHERE protocol_run_id = $1 ORDER BY step_index";
        ADD_STEP = "INSERT INTO step_runs (protocol_run_id, step_index, step_name, step_type, status, engine_id, model, \
                    summary, policy, runtime_state, created_at, updated_at) \
                    VALUES ($1, $2, $3, $4, 'pending', $5, $6, $7, $8, $9, $10, $10)";
        SET_WORKTREE = "UPDATE protocol_runs SET worktree_path = $1, protocol_root = $2, base_sha = $3, updated_at = $4 \
                        WHERE id = $5";
        SET_SPEC = "UPDATE protocol_runs SET template_config = $1, spec_hash = $2, spec_validation_status = 'valid', \
                    spec_validated_at = $3, updated_at = $3 WHERE id = $4";
        SET_CONFINEMENT = "UPDATE protocol_runs SET confinement = $1, updated_at = $2 WHERE id = $3";
        SET_HEADS = "UPDATE protocol_runs SET head_sha = $1, pushed_sha = COALESCE(CAST($2 AS TEXT), pushed_sha), \
                     updated_at = $3 WHERE id = $4";
    }
}
#[cfg(feature = "testing")]
pub(super) use sql::ALL;

const TABLE: &str = "protocol_runs";

/// Inserts a run; a taken name is `Conflict`. The project cannot be archived before the transaction
/// ends, and the order of locks is project, timeline.
pub async fn insert(tx: &mut Tx, scope: &Scope, new: &NewRun, now: i64) -> Result<ProtocolRun, StoreError> {
    let values = args![
        new.project_id.0,
        &new.protocol_name,
        naming::number_of(&new.protocol_name).map(i64::from),
        new.status.as_str(),
        new.auto_advance,
        &new.engine,
        json_text(&new.models),
        &new.base_branch,
        &new.description,
        new.sandbox_off,
        now,
        scope.project().map(|project| project.0),
    ];
    // A taken name is no failed statement, so the caller may choose another in the same transaction.
    match tx.first(tx.locking(sql::INSERT, sql::INSERT_POSTGRES), values).await? {
        Some(row) => read(&Record::numbered(TABLE, "id", row)),
        None => Err(why_not(tx, scope, new).await?),
    }
}

/// Why a run was not inserted.
async fn why_not(tx: &mut Tx, scope: &Scope, new: &NewRun) -> Result<StoreError, StoreError> {
    let project = super::project::load(tx, scope, new.project_id).await?;
    if project.archived_at.is_some() {
        return Ok(StoreError::Archived(project.id));
    }
    Ok(StoreError::Conflict(format!(
        "project {} has a protocol named {} already; choose another name",
        new.project_id, new.protocol_name
    )))
}

/// Loads one.
pub async fn load(tx: &mut Tx, scope: &Scope, id: RunId) -> Result<ProtocolRun, StoreError> {
    let row = tx.first(sql::LOAD, args![id.0, scope.project().map(|project| project.0)]).await?;
    read(&Record::numbered(TABLE, "id", row.ok_or_else(|| not_found(TABLE, id))?))
}

/// Loads one that is about to be changed: nobody else changes it until this transaction ends. An
/// archived run is refused.
pub async fn hold(tx: &mut Tx, scope: &Scope, id: RunId) -> Result<ProtocolRun, StoreError> {
    let text = tx.locking(sql::LOAD, sql::LOCK_POSTGRES);
    let row = tx.first(text, args![id.0, scope.project().map(|project| project.0)]).await?;
    let run = read(&Record::numbered(TABLE, "id", row.ok_or_else(|| not_found(TABLE, id))?))?;
    match run.archived_at {
        None => Ok(run),
        Some(_) => Err(StoreError::RunArchived(id)),
    }
}

/// Newest first, without archived ones.
pub async fn list(
    tx: &mut Tx,
    scope: &Scope,
    project: Option<ProjectId>,
    limit: i64,
) -> Result<Vec<ProtocolRun>, StoreError> {
    if let Some(project) = project.or(scope.project()) {
        return list_of(tx, scope, project, &Filter::default(), limit).await;
    }
    let rows = tx.all(sql::LIST, args![limit]).await?;
    rows.into_iter().map(|row| read(&Record::numbered(TABLE, "id", row))).collect()
}

/// Which runs of a project to list.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filter {
    /// In one status.
    pub status: Option<ProtocolStatus>,
    /// Leaves set-up runs out.
    pub without_setup: bool,
    /// Only older than this one.
    pub before: Option<RunId>,
}

/// Runs of a project, newest first, without archived ones; none for a scope that does not see it.
pub async fn list_of(
    tx: &mut Tx,
    scope: &Scope,
    project: ProjectId,
    filter: &Filter,
    limit: i64,
) -> Result<Vec<ProtocolRun>, StoreError> {
    if scope.project().is_some_and(|own| own != project) {
        return Ok(Vec::new());
    }
    let before = filter.before.map_or(i64::MAX, |run| run.0);
    let mut values = args![project.0, before, !filter.without_setup, limit];
    let rows = match filter.status {
        None => tx.all(sql::LIST_OF_PROJECT, values).await?,
        Some(status) => {
            values.push(status.as_str().into());
            tx.all(sql::LIST_IN_STATUS, values).await?
        }
    };
    rows.into_iter().map(|row| read(&Record::numbered(TABLE, "id", row))).collect()
}

/// Highest number among the names of a project. The project must be held by this transaction, or two
/// requests get the same one.
pub async fn last_number(tx: &mut Tx, project: ProjectId) -> Result<Option<i64>, StoreError> {
    let row = tx.first(sql::LAST_NUMBER, args![project.0]).await?;
    row.map(|row| Record::numbered(TABLE, "id", row).int("protocol_number")).transpose()
}

/// Names taken in a project (for numbering).
pub async fn names(tx: &mut Tx, project: ProjectId) -> Result<Vec<String>, StoreError> {
    let rows = tx.all(sql::NAMES, args![project.0]).await?;
    rows.into_iter().map(|row| Record::named(TABLE, "protocol_name", row).text("protocol_name")).collect()
}

/// Ids of runs the scheduler looks at: planning, running, planned if they walk by themselves, or blocked
/// while a step still claims to be at work. Bounded by `limit`, oldest first, so those that nothing can
/// be missed for (pending ones, however many) are left out.
pub async fn open_runs(tx: &mut Tx, limit: i64) -> Result<Vec<RunId>, StoreError> {
    let rows = tx.all(sql::OPEN, args![limit]).await?;
    rows.into_iter().map(|row| Ok(RunId(Record::numbered(TABLE, "id", row).int("id")?))).collect()
}

/// Writes a decision's statuses by compare-and-set, and its new steps. The only UPDATE of a status.
/// Events and jobs are written by `flow::advance` in the same transaction.
pub async fn apply(tx: &mut Tx, decision: &Decision, now: i64) -> Result<(), StoreError> {
    let run = decision.run_id;
    if let Some(change) = &decision.run {
        let values = args![
            change.to.as_str(),
            change.reason.as_ref().map(json_text),
            change.paused_from.map(ProtocolStatus::as_str),
            change.pr_state.map(PullRequestState::as_str),
            change.to.is_terminal(),
            now,
            run.0,
            change.from.as_str(),
        ];
        touched(tx.execute(sql::CHANGE_RUN, values).await?, || {
            StoreError::Conflict(format!(
                "protocol run {run} is no longer {}; nothing is changed",
                change.from
            ))
        })?;
    }
    for change in &decision.steps {
        change_step(tx, run, change, now).await?;
    }
    if let Some(planned) = &decision.sync {
        sync_steps(tx, run, planned, now).await?;
    }
    Ok(())
}

async fn change_step(tx: &mut Tx, run: RunId, change: &StepChange, now: i64) -> Result<(), StoreError> {
    let ended = match change.to {
        StepStatus::Completed | StepStatus::Failed | StepStatus::Cancelled => true,
        StepStatus::Pending | StepStatus::Running | StepStatus::NeedsQa | StepStatus::Blocked => false,
    };
    let values = args![
        change.to.as_str(),
        change.reason.as_ref().map(json_text),
        change.retries,
        json_text(&change.runtime),
        &change.head_sha,
        ended,
        now,
        change.id.0,
        run.0,
        change.from.as_str(),
    ];
    touched(tx.execute(sql::CHANGE_STEP, values).await?, || {
        StoreError::Conflict(format!("step {} is no longer {}; nothing is changed", change.id, change.from))
    })
}

/// Replaces the steps that never ran. A step that ran keeps its row; a planned step that is the same
/// (index and name) is that row, one that collides with it in only one of the two is `Conflict`.
async fn sync_steps(tx: &mut Tx, run: RunId, planned: &[PlannedStep], now: i64) -> Result<(), StoreError> {
    tx.execute(sql::DROP_STEPS, args![run.0]).await?;
    let mut kept = Vec::new();
    for row in tx.all(sql::KEPT_STEPS, args![run.0]).await? {
        let row = Record::named("step_runs", "step_name", row);
        kept.push((row.int("step_index")?, row.text("step_name")?));
    }
    for step in planned.iter().filter(|step| !kept.contains(&(step.index, step.name.clone()))) {
        let values = args![
            run.0,
            step.index,
            &step.name,
            step.step_type.as_str(),
            &step.engine_id,
            &step.model,
            &step.summary,
            step.policy.as_ref().map(ToString::to_string),
            json_text(&RuntimeState::default()),
            now,
        ];
        touched(tx.execute(sql::ADD_STEP, values).await?, || not_found(TABLE, run))?;
    }
    Ok(())
}

/// Records where the worktree lies and what it was cut from.
pub async fn set_worktree(
    tx: &mut Tx,
    lease: &Lease,
    run: RunId,
    path: &str,
    protocol_root: &str,
    base_sha: &str,
    now: i64,
) -> Result<(), StoreError> {
    queue::check(tx, lease).await?;
    let values = args![path, protocol_root, base_sha, now, run.0];
    touched(tx.execute(sql::SET_WORKTREE, values).await?, || not_found(TABLE, run))
}

/// Records the validated spec (`template_config`), its hash and validity.
pub async fn set_spec(
    tx: &mut Tx,
    lease: &Lease,
    run: RunId,
    template_config: &Value,
    spec_hash: &str,
    now: i64,
) -> Result<(), StoreError> {
    queue::check(tx, lease).await?;
    let values = args![template_config.to_string(), spec_hash, now, run.0];
    touched(tx.execute(sql::SET_SPEC, values).await?, || not_found(TABLE, run))
}

/// Records the confinement in force.
pub async fn set_confinement(
    tx: &mut Tx,
    lease: &Lease,
    run: RunId,
    confinement: Confinement,
    now: i64,
) -> Result<(), StoreError> {
    queue::check(tx, lease).await?;
    let values = args![confinement.as_str(), now, run.0];
    touched(tx.execute(sql::SET_CONFINEMENT, values).await?, || not_found(TABLE, run))
}

/// Records the newest commit of the branch and, when pushed, what the remote has.
pub async fn set_heads(
    tx: &mut Tx,
    lease: &Lease,
    run: RunId,
    head_sha: &str,
    pushed_sha: Option<&str>,
    now: i64,
) -> Result<(), StoreError> {
    queue::check(tx, lease).await?;
    let values = args![head_sha, pushed_sha, now, run.0];
    touched(tx.execute(sql::SET_HEADS, values).await?, || not_found(TABLE, run))
}

fn read(row: &Record) -> Result<ProtocolRun, StoreError> {
    Ok(ProtocolRun {
        id: RunId(row.int("id")?),
        project_id: ProjectId(row.int("project_id")?),
        protocol_name: row.text("protocol_name")?,
        kind: row.word("kind", RunKind::parse)?,
        status: row.word("status", ProtocolStatus::parse)?,
        status_reason: row.maybe_json("status_reason")?,
        paused_from: row.maybe_word("paused_from", ProtocolStatus::parse)?,
        auto_advance: row.flag("auto_advance")?,
        engine: row.maybe_text("engine")?,
        models: row.json("models")?,
        base_branch: row.text("base_branch")?,
        base_sha: row.maybe_text("base_sha")?,
        worktree_path: row.maybe_text("worktree_path")?,
        protocol_root: row.maybe_text("protocol_root")?,
        description: row.maybe_text("description")?,
        template_config: row.maybe_json("template_config")?,
        spec_hash: row.maybe_text("spec_hash")?,
        confinement: row.maybe_word("confinement", Confinement::parse)?,
        sandbox_off: row.flag("sandbox_off")?,
        pr_number: row.maybe_int("pr_number")?,
        pr_url: row.maybe_text("pr_url")?,
        pr_state: row.maybe_word("pr_state", PullRequestState::parse)?,
        head_sha: row.maybe_text("head_sha")?,
        pushed_sha: row.maybe_text("pushed_sha")?,
        archived_at: row.maybe_int("archived_at")?,
        created_at: row.int("created_at")?,
        updated_at: row.int("updated_at")?,
    })
}
