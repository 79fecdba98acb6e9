//! Jobs as people see them: one, or a list newest first. A list reads one index, whatever its filters,
//! and no more of it than it shows; live jobs, which are few, are looked through.

use tg_core::{
    ids::{JobId, ProjectId, RunId, StepId},
    job::{Job, JobStatus},
    scope::Scope,
};

use super::{JobRow, TABLE, UNKNOWN, job, now, sql, worker_of};
use crate::{
    db::{Tx, dialect::args},
    store::{StoreError, not_found, record::Record},
};

/// After every id there is: ids are UUIDs, which are written in hex.
const TOP: &str = "g";

/// Which jobs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// That stand so.
    pub status: Option<JobStatus>,
    /// Of this wire kind.
    pub kind: Option<String>,
}

/// Newest first. Jobs that were ended as unknown cannot be shown as jobs; the timeline tells of them.
pub async fn list(tx: &mut Tx, status: Option<JobStatus>, limit: i64) -> Result<Vec<JobRow>, StoreError> {
    Ok(page(tx, &Scope::All, &Filter { status, kind: None }, None, limit).await?.0)
}

/// A page, newest first, of those before an id; and whether more follow.
pub async fn page(
    tx: &mut Tx,
    scope: &Scope,
    filter: &Filter,
    before: Option<&str>,
    limit: i64,
) -> Result<(Vec<JobRow>, Option<String>), StoreError> {
    let now = now(tx).await?;
    let project = scope.project().map(|id| id.0);
    let kind = &filter.kind;
    let before = before.unwrap_or(TOP);
    let more = limit.saturating_add(1);
    let rows = match (filter.status, project, kind) {
        (None, None, None) => tx.all(sql::LIST, args![before, more]).await?,
        (None, None, Some(kind)) => tx.all(sql::LIST_KIND, args![kind, before, more]).await?,
        (None, Some(id), None) => tx.all(sql::LIST_PROJECT, args![id, before, more]).await?,
        (None, Some(id), Some(kind)) => tx.all(sql::LIST_PROJECT_KIND, args![id, kind, before, more]).await?,
        (Some(status @ (JobStatus::Queued | JobStatus::Scheduled | JobStatus::Started)), ..) => {
            let (until, after) = match status {
                JobStatus::Queued => (Some(now), None),
                JobStatus::Scheduled => (None, Some(now)),
                JobStatus::Started | JobStatus::Finished | JobStatus::Failed | JobStatus::Cancelled => {
                    (None, None)
                }
            };
            let state = if status == JobStatus::Scheduled { JobStatus::Queued } else { status };
            let mut values = args![state.as_str(), until, after, kind, before, more];
            values.extend(project.map(Into::into));
            let text = if project.is_some() { sql::LIST_LIVE_PROJECT } else { sql::LIST_LIVE };
            tx.all(text, values).await?
        }
        (Some(state @ (JobStatus::Finished | JobStatus::Failed | JobStatus::Cancelled)), project, kind) => {
            let state = state.as_str();
            match (project, kind) {
                (None, None) => tx.all(sql::LIST_ENDED, args![state, before, more]).await?,
                (None, Some(kind)) => tx.all(sql::LIST_ENDED_KIND, args![kind, state, before, more]).await?,
                (Some(id), None) => tx.all(sql::LIST_ENDED_PROJECT, args![id, state, before, more]).await?,
                (Some(id), Some(kind)) => {
                    tx.all(sql::LIST_ENDED_PROJECT_KIND, args![id, kind, state, before, more]).await?
                }
            }
        }
    };
    let mut rows: Vec<Record> = rows.into_iter().map(|row| Record::named(TABLE, "id", row)).collect();
    let shown = usize::try_from(limit).unwrap_or_default();
    let cut = rows.len() > shown;
    rows.truncate(shown);
    let next = if cut { rows.last().map(|row| row.text("id")).transpose()? } else { None };
    let mut listed = Vec::with_capacity(rows.len());
    for row in rows {
        if !is_unknown(&row)? {
            listed.push(read(&row, now)?);
        }
    }
    Ok((listed, next))
}

/// Loads one.
pub async fn load(tx: &mut Tx, scope: &Scope, id: &JobId) -> Result<JobRow, StoreError> {
    let now = now(tx).await?;
    let scope = scope.project().map(|project: ProjectId| project.0);
    let row = tx.first(sql::LOAD, args![&id.0, scope]).await?.ok_or_else(|| not_found(TABLE, id))?;
    let row = Record::named(TABLE, "id", row);
    if is_unknown(&row)? { Err(not_found(TABLE, id)) } else { read(&row, now) }
}

/// Loads one that is about to be acted on: nobody else moves its run until this transaction ends.
pub async fn load_locked(tx: &mut Tx, scope: &Scope, id: &JobId) -> Result<JobRow, StoreError> {
    if tx.locks_rows() {
        tx.first(sql::LOCK_RUN_POSTGRES, args![&id.0]).await?;
        tx.first(sql::LOCK_POSTGRES, args![&id.0]).await?;
    }
    load(tx, scope, id).await
}

/// The live job of this subject.
pub async fn live(tx: &mut Tx, work: &Job) -> Result<Option<JobId>, StoreError> {
    let row = tx.first(sql::TWIN, args![work.unique_key()]).await?;
    row.map(|row| Record::named(TABLE, "id", row).text("id").map(JobId)).transpose()
}

/// Whether a step has had a job after this one.
pub async fn has_newer(tx: &mut Tx, step: StepId, id: &JobId) -> Result<bool, StoreError> {
    Ok(tx.first(sql::NEWER_OF_STEP, args![step.0, &id.0]).await?.is_some())
}

fn is_unknown(row: &Record) -> Result<bool, StoreError> {
    Ok(row.maybe_text("last_error")?.as_deref() == Some(UNKNOWN))
}

fn read(row: &Record, now: i64) -> Result<JobRow, StoreError> {
    let run_at = row.int("run_at")?;
    let state = row.word("state", JobStatus::parse)?;
    let waits = state == JobStatus::Queued && run_at > now;
    let status = if waits { JobStatus::Scheduled } else { state };
    let owner = row.maybe_text("lease_owner")?;
    let last = row.maybe_text("worker_id")?;
    Ok(JobRow {
        id: JobId(row.text("id")?),
        job: job(row)?,
        status,
        priority: row.int("priority")?,
        project_id: row.maybe_int("project_id")?.map(ProjectId),
        protocol_run_id: row.maybe_int("protocol_run_id")?.map(RunId),
        attempts: row.int("attempts")?,
        max_attempts: row.int("max_attempts")?,
        run_at,
        last_error: row.maybe_text("last_error")?,
        queue: row.text("queue")?,
        request_id: row.maybe_text("request_id")?,
        worker: owner.as_deref().map(|owner| worker_of(owner).to_owned()).or(last),
        result: row.maybe_json("result")?,
        created_at: row.int("created_at")?,
        started_at: row.maybe_int("started_at")?,
        finished_at: row.maybe_int("finished_at")?,
    })
}
