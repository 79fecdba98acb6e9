//! Routes of the queues and of their jobs. A job is stopped or tried again through the lifecycle, so that
//! its step and run follow; only house-keeping, which is about no run, is done here.

use std::{collections::BTreeMap, time::Duration};

use axum::extract::State;
use serde::Deserialize;
use tg_core::{
    ids::JobId,
    job::{Job as Work, JobStatus, Priority},
    lifecycle::{Enqueue, Signal, Source},
    scope::Scope,
    status::ProtocolStatus,
    step::StepStatus,
    wire::{Job, QueueCounts, QueueStats, example},
};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{
    Door,
    answer::{Answer, One},
    caller::Caller,
    convert,
    error::ApiError,
    extract::{Path, Query},
    page::{self, Page},
    route::Routes,
    write::Write,
};
use crate::{
    db::Db,
    queue::{self, JobRow},
    store,
};

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new()
        .member(routes!(stats))
        .member(routes!(list))
        .member(routes!(show))
        .member(routes!(cancel))
        .member(routes!(retry))
}

/// Counts jobs by status.
///
/// Ended jobs count until they are pruned with age.
#[utoipa::path(get, path = "/queues", tag = "queues",
    responses((status = 200, description = "The queues", body = QueueStats)))]
async fn stats(State(door): State<Door>, caller: Caller) -> Result<One, ApiError> {
    let mut tx = door.app.db.read().await?;
    let counts = queue::counts(&mut tx, caller.scope()).await?;
    let backend = match &door.app.db {
        Db::Sqlite { .. } => "sqlite",
        Db::Postgres { .. } => "postgres",
    };
    let default = QueueCounts {
        queued: counts.queued,
        scheduled: counts.scheduled,
        started: counts.started,
        finished: counts.finished,
        failed: counts.failed,
        cancelled: counts.cancelled,
    };
    let stats = QueueStats {
        backend: backend.to_owned(),
        dispatch: "inprocess".to_owned(),
        queues: BTreeMap::from([("default".to_owned(), default)]),
    };
    Ok(One::new(&caller, &stats))
}

/// Which jobs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListJobs {
    /// Where it stands.
    status: Option<JobStatus>,
    /// Its kind.
    job_type: Option<String>,
    /// At most this many.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `X-Next-Cursor` of the page before.
    #[param(example = "job-019c1a2b-3c4d-7e5f-8a9b-0c1d2e3f4a5b")]
    cursor: Option<String>,
}

/// Lists jobs, newest first.
#[utoipa::path(get, path = "/queues/jobs", tag = "queues", params(ListJobs),
    responses((status = 200, description = "A page", body = [Job])))]
async fn list(
    State(door): State<Door>,
    caller: Caller,
    Query(asked): Query<ListJobs>,
) -> Result<Page, ApiError> {
    let limit = page::limit(asked.limit, 100)?;
    let before = page::before::<uuid::Uuid>(asked.cursor.as_deref(), "job")?.map(|id| id.to_string());
    let kind = super::runs::word("job_type", asked.job_type)?;
    let filter = queue::Filter { status: asked.status, kind };
    let mut tx = door.app.db.read().await?;
    let (jobs, next) = queue::page(&mut tx, caller.scope(), &filter, before.as_deref(), limit).await?;
    let shown: Vec<Job> = jobs.iter().map(convert::job).collect();
    Ok(Page::new(&shown, next.map(|id| format!("job-{id}"))))
}

/// Shows a job.
#[utoipa::path(get, path = "/queues/jobs/{job_id}", tag = "queues",
    params(("job_id" = String, Path, description = "Job")),
    responses((status = 200, description = "The job", body = Job)))]
async fn show(State(door): State<Door>, caller: Caller, Path(id): Path<String>) -> Result<One, ApiError> {
    let id = job_id(id)?;
    let mut tx = door.app.db.read().await?;
    let row = queue::load(&mut tx, caller.scope(), &id).await?;
    Ok(One::new(&caller, &convert::job(&row)))
}

/// Cancels a job that has not ended.
///
/// Its agent is stopped within 5 s. Its step rests as blocked, and so does its run; running or retrying the
/// step is legal at once.
#[utoipa::path(post, path = "/queues/jobs/{job_id}/cancel", tag = "queues",
    params(("job_id" = String, Path, description = "Job")),
    responses((status = 200, description = "The cancelled job", body = Job,
        example = json!(example::cancelled()))))]
async fn cancel(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Answer, ApiError> {
    let id = job_id(id)?;
    let mut write = door.write(&caller).await?;
    stop(&mut write, caller.scope(), &id).await?;
    let row = queue::load(write.tx(), caller.scope(), &id).await?;
    write.done(&convert::job(&row)).await
}

/// Tries a failed job again.
///
/// A fresh job for the same subject is queued, if the subject still rests where the failure left it.
#[utoipa::path(post, path = "/queues/jobs/{job_id}/retry", tag = "queues",
    params(("job_id" = String, Path, description = "Job")),
    responses((status = 200, description = "The fresh job", body = Job)))]
async fn retry(State(door): State<Door>, caller: Caller, Path(id): Path<String>) -> Result<Answer, ApiError> {
    let id = job_id(id)?;
    let mut write = door.write(&caller).await?;
    let row = queue::load_locked(write.tx(), caller.scope(), &id).await?;
    if row.status != JobStatus::Failed {
        return Err(ApiError::conflict(
            "job_not_failed",
            format!("job {id} is {}; only a failed job can be tried again", row.status),
        ));
    }
    if queue::live(write.tx(), &row.job).await?.is_some() {
        return Err(moved_on(&row));
    }
    if let Some(run) = row.protocol_run_id {
        let signal = again(&mut write, caller.scope(), &row).await?;
        write.advance(run, signal).await?;
    } else {
        let what = Enqueue { job: row.job.clone(), priority: Priority::User };
        let request = Some(caller.request_id());
        queue::enqueue(write.tx(), &what, row.project_id, Duration::ZERO, request).await?;
    }
    let fresh = queue::live(write.tx(), &row.job).await?.ok_or_else(|| moved_on(&row))?;
    let fresh = queue::load(write.tx(), caller.scope(), &fresh).await?;
    write.done(&convert::job(&fresh)).await
}

/// Stops a live job on behalf of a person.
pub async fn stop(write: &mut Write<'_>, scope: &Scope, id: &JobId) -> Result<(), ApiError> {
    let row = queue::load_locked(write.tx(), scope, id).await?;
    match row.status {
        JobStatus::Queued | JobStatus::Scheduled | JobStatus::Started => {}
        JobStatus::Finished | JobStatus::Failed | JobStatus::Cancelled => {
            return Err(ApiError::conflict(
                "job_ended",
                format!("job {id} is {} already; there is nothing to cancel", row.status),
            ));
        }
    }
    match row.protocol_run_id {
        Some(run) => {
            write.advance(run, Signal::JobCancelled { job: row.job, job_id: row.id }).await?;
        }
        None => queue::cancel(write.tx(), &row.job).await?,
    }
    Ok(())
}

/// The signal that queues the same work again, if its subject waits for that.
async fn again(write: &mut Write<'_>, scope: &Scope, row: &JobRow) -> Result<Signal, ApiError> {
    let (signal, waits) = match &row.job {
        Work::PlanProtocol { protocol_run_id } => {
            let run = store::protocol::load(write.tx(), scope, *protocol_run_id).await?;
            (Signal::Start, run.status == ProtocolStatus::Blocked)
        }
        Work::OpenPullRequest { protocol_run_id } => {
            let run = store::protocol::load(write.tx(), scope, *protocol_run_id).await?;
            (Signal::OpenPullRequest, run.head_sha != run.pushed_sha)
        }
        // It is about no run, so no signal queues it.
        Work::Maintenance => return Err(moved_on(row)),
        Work::ExecuteStep { step_run_id } => {
            let step = store::step::load(write.tx(), scope, *step_run_id).await?;
            let rests = matches!(step.status, StepStatus::Failed | StepStatus::Blocked);
            let newest = !queue::has_newer(write.tx(), *step_run_id, &row.id).await?;
            (Signal::RunStep { step: *step_run_id, source: Source::Api }, rests && newest)
        }
        Work::CheckQuality { step_run_id } => {
            let step = store::step::load(write.tx(), scope, *step_run_id).await?;
            let newest = !queue::has_newer(write.tx(), *step_run_id, &row.id).await?;
            (Signal::RunQa { step: *step_run_id }, step.status == StepStatus::Blocked && newest)
        }
    };
    if waits { Ok(signal) } else { Err(moved_on(row)) }
}

fn moved_on(row: &JobRow) -> ApiError {
    ApiError::conflict(
        "subject_moved_on",
        format!("what job {} was about has moved on since it failed; act on the run or step itself", row.id),
    )
}

/// An id of ours; anything else names no job.
fn job_id(text: String) -> Result<JobId, ApiError> {
    match uuid::Uuid::parse_str(&text) {
        Ok(_) if text.len() == 36 => Ok(JobId(text)),
        Ok(_) | Err(_) => Err(ApiError::missing("job", text)),
    }
}
