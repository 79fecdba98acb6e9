//! Routes of the run registry: what was called, by whom, with which outcome. Each exists under `/runs`
//! and, as the predecessor called it, under `/codex/runs`. No route takes or shows a path of this
//! machine.

mod artifacts;
mod log_file;
mod logs;
mod outside;
mod ranges;
mod stream;

use axum::extract::State;
use serde::Deserialize;
use tg_core::{
    ids::{CallId, JobId, ProjectId, RunId, StepId},
    protocol::CallStatus,
    scope::Scope,
    wire::CodexRunOut,
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
    queues,
    route::Routes,
};
use crate::{
    db::Tx,
    store::{
        self, StoreError,
        call::{Call, Filter},
    },
};

/// Routes of this resource.
pub fn routes() -> Routes {
    registry()
        .merge(registry().under("/codex"))
        .member(routes!(of_protocol))
        .member(routes!(of_step))
        .merge(artifacts::of_runs_and_steps())
}

fn registry() -> Routes {
    Routes::new()
        .member(routes!(list))
        .member(routes!(outside::start))
        .member(routes!(show))
        .member(routes!(outside::finish))
        .member(routes!(cancel))
        .member(routes!(logs::whole, outside::append))
        .member(routes!(logs::tail))
        .member(routes!(stream::stream))
        .member(routes!(artifacts::of_call))
        .member(routes!(artifacts::content))
}

/// Which runs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListRuns {
    /// Kind of job.
    job_type: Option<String>,
    /// Where it stands.
    status: Option<CallStatus>,
    /// Of this project.
    project_id: Option<i64>,
    /// Of this protocol run.
    protocol_run_id: Option<i64>,
    /// Of this step.
    step_run_id: Option<i64>,
    /// Kind of call.
    run_kind: Option<String>,
    /// At most this many.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `X-Next-Cursor` of the page before.
    #[param(example = "run-019c1a2b-4d5e-7f6a-9b8c-1d2e3f4a5b6c")]
    cursor: Option<String>,
}

/// Which runs of a protocol run or step to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListOwnRuns {
    /// Kind of call.
    run_kind: Option<String>,
    /// Where it stands.
    status: Option<CallStatus>,
    /// At most this many.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `X-Next-Cursor` of the page before.
    #[param(example = "run-019c1a2b-4d5e-7f6a-9b8c-1d2e3f4a5b6c")]
    cursor: Option<String>,
}

/// Lists call runs, newest first.
#[utoipa::path(get, path = "/runs", tag = "runs", params(ListRuns),
    responses((status = 200, description = "A page", body = [CodexRunOut])))]
async fn list(
    State(door): State<Door>,
    caller: Caller,
    Query(asked): Query<ListRuns>,
) -> Result<Page, ApiError> {
    let project = asked.project_id.map(ProjectId);
    if let Some(project) = project {
        caller.sees(project)?;
    }
    let filter = Filter {
        run: asked.protocol_run_id.map(RunId),
        step: asked.step_run_id.map(StepId),
        run_kind: word("run_kind", asked.run_kind)?,
        job_type: word("job_type", asked.job_type)?,
        status: asked.status,
        project,
    };
    let mut tx = door.app.db.read().await?;
    listed(&mut tx, caller.scope(), &filter, asked.limit, asked.cursor.as_deref()).await
}

/// Lists the call runs of a protocol run, newest first.
#[utoipa::path(get, path = "/protocols/{id}/runs", tag = "runs",
    params(("id" = i64, Path, description = "Protocol run"), ListOwnRuns),
    responses((status = 200, description = "A page", body = [CodexRunOut])))]
async fn of_protocol(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(asked): Query<ListOwnRuns>,
) -> Result<Page, ApiError> {
    let mut tx = door.app.db.read().await?;
    let run = store::protocol::load(&mut tx, caller.scope(), RunId(id)).await?.id;
    let filter = Filter {
        run: Some(run),
        run_kind: word("run_kind", asked.run_kind)?,
        status: asked.status,
        ..Filter::default()
    };
    listed(&mut tx, caller.scope(), &filter, asked.limit, asked.cursor.as_deref()).await
}

/// Lists the call runs of a step, newest first.
#[utoipa::path(get, path = "/steps/{id}/runs", tag = "runs",
    params(("id" = i64, Path, description = "Step"), ListOwnRuns),
    responses((status = 200, description = "A page", body = [CodexRunOut])))]
async fn of_step(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(asked): Query<ListOwnRuns>,
) -> Result<Page, ApiError> {
    let mut tx = door.app.db.read().await?;
    let step = store::step::load(&mut tx, caller.scope(), StepId(id)).await?.id;
    let filter = Filter {
        step: Some(step),
        run_kind: word("run_kind", asked.run_kind)?,
        status: asked.status,
        ..Filter::default()
    };
    listed(&mut tx, caller.scope(), &filter, asked.limit, asked.cursor.as_deref()).await
}

async fn listed(
    tx: &mut Tx,
    scope: &Scope,
    filter: &Filter,
    limit: Option<i64>,
    cursor: Option<&str>,
) -> Result<Page, ApiError> {
    let limit = page::limit(limit, 100)?;
    let before = page::before::<uuid::Uuid>(cursor, "run")?.map(|place| place.to_string());
    let calls = store::call::page(tx, scope, filter, before.as_deref(), limit + 1).await?;
    let (calls, next) = page::cut(calls, limit, "run", |call| call.seq.clone());
    let shown: Vec<CodexRunOut> = calls.iter().map(convert::call).collect();
    Ok(Page::new(&shown, next))
}

/// Shows a call run. The id of a job stands for its newest attempt.
#[utoipa::path(get, path = "/runs/{run_id}", tag = "runs",
    params(("run_id" = String, Path, description = "Call run, or job")),
    responses((status = 200, description = "The call run", body = CodexRunOut)))]
async fn show(State(door): State<Door>, caller: Caller, Path(run_id): Path<String>) -> Result<One, ApiError> {
    let mut tx = door.app.db.read().await?;
    let call = find(&mut tx, caller.scope(), &run_id).await?;
    Ok(One::new(&caller, &convert::call(&call)))
}

/// Cancels a call run.
///
/// One that a job does is cancelled with its job: the agent is stopped within 5 s, and the run is
/// `cancelled` when it is gone. One that was registered from outside is marked cancelled at once.
#[utoipa::path(post, path = "/runs/{run_id}/cancel", tag = "runs",
    params(("run_id" = String, Path, description = "Call run, or job")),
    responses((status = 200, description = "The call run", body = CodexRunOut)))]
async fn cancel(
    State(door): State<Door>,
    caller: Caller,
    Path(run_id): Path<String>,
) -> Result<Answer, ApiError> {
    let mut write = door.write(&caller).await?;
    let call = find(write.tx(), caller.scope(), &run_id).await?;
    if call.is_over() {
        return Err(ended(&call.id));
    }
    match &call.job_id {
        Some(job) => queues::stop(&mut write, caller.scope(), &JobId(job.clone())).await?,
        None => {
            outside::close(&mut write, &call.id, CallStatus::Cancelled, outside::Outcome::default()).await?;
        }
    }
    let call = store::call::load(write.tx(), caller.scope(), &call.id).await?;
    write.done(&convert::call(&call)).await
}

/// The run of this id; the id of a job stands for its newest attempt.
async fn find(tx: &mut Tx, scope: &Scope, id: &str) -> Result<Call, ApiError> {
    let missing = || ApiError::missing("call run", id);
    if !outside::is_run_id(id) {
        return Err(missing());
    }
    let found = store::call::load(tx, scope, &CallId(id.to_owned())).await;
    if matches!(found, Err(StoreError::NotFound { .. })) {
        return store::call::newest_of_job(tx, scope, id).await?.ok_or_else(missing);
    }
    Ok(found?)
}

/// A run that has ended is not written any more.
fn ended(id: &CallId) -> ApiError {
    ApiError::conflict("run_ended", format!("call run {id} has ended; nothing more can happen to it"))
}

/// A word of a query: short, and without control characters.
pub fn word(name: &str, given: Option<String>) -> Result<Option<String>, ApiError> {
    match given {
        Some(text) if !outside::is_word(&text) => Err(ApiError::invalid(
            &["query", name],
            "must be 1 to 200 characters, none of them a control character",
        )),
        given => Ok(given),
    }
}
