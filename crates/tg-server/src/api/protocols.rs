//! Routes of protocol runs: list, create, show, change, archive. Statuses are moved by `actions` only.

mod names;

use axum::extract::State;
use serde::Deserialize;
use serde_json::json;
use tg_core::{
    event::{Event, EventKind},
    ids::{ProjectId, RunId},
    lifecycle::{Refused, Signal, Source},
    naming::BranchName,
    protocol::ProtocolRun,
    status::{FirstStatus, ProtocolStatus},
    wire::{Confirm, NewProtocol, ProtocolChange, ProtocolRunOut, example},
};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{
    Door,
    answer::{Answer, One},
    caller::Caller,
    error::ApiError,
    extract::{Json, MaybeJson, Path, Query},
    fields::{Wrong, put},
    page::{self, Page},
    route::Routes,
};
use crate::store::{
    self, StoreError,
    protocol::{ByHand, Filter, NewRun},
};

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new().member(routes!(list, create)).member(routes!(show, change)).admin(routes!(archive))
}

/// Longest task, in characters.
const LONGEST_TASK: usize = 256 * 1024;

/// Which runs to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListProtocols {
    /// Only those in this status.
    status: Option<ProtocolStatus>,
    /// With set-up runs.
    #[serde(default = "yes")]
    #[param(default = true)]
    include_setup: bool,
    /// At most this many.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `X-Next-Cursor` of the page before.
    #[param(example = "protocol-7")]
    cursor: Option<String>,
}

const fn yes() -> bool {
    true
}

/// Lists the runs of a project, newest first. Archived ones are left out.
#[utoipa::path(get, path = "/projects/{id}/protocols", tag = "protocols",
    params(("id" = i64, Path, description = "Project"), ListProtocols),
    responses((status = 200, description = "A page", body = [ProtocolRunOut])))]
async fn list(
    State(door): State<Door>,
    caller: Caller,
    Path(project): Path<i64>,
    Query(asked): Query<ListProtocols>,
) -> Result<Page, ApiError> {
    let limit = page::limit(asked.limit, 100)?;
    let before = page::before(asked.cursor.as_deref(), "protocol")?.map(RunId);
    let filter = Filter { status: asked.status, without_setup: !asked.include_setup, before };
    let mut tx = door.app.db.read().await?;
    let project = store::project::load(&mut tx, caller.scope(), ProjectId(project)).await?;
    let runs = store::protocol::list_of(&mut tx, caller.scope(), project.id, &filter, limit + 1).await?;
    let (runs, next) = page::cut(runs, limit, "protocol", |run| run.id);
    let shown: Vec<ProtocolRunOut> = runs.iter().map(ProtocolRunOut::from).collect();
    Ok(Page::new(&shown, next))
}

/// Creates a run: one task, to be planned and carried out on a branch of its own. Give its whole name
/// (`protocol_name`), or words for it (`short_name`), which get the next free number of the project.
#[utoipa::path(post, path = "/projects/{id}/protocols", tag = "protocols",
    params(("id" = i64, Path, description = "Project")), request_body = NewProtocol,
    responses((status = 201, description = "The new run", body = ProtocolRunOut,
        example = json!(example::run(ProtocolStatus::Pending)))))]
async fn create(
    State(door): State<Door>,
    caller: Caller,
    Path(project): Path<i64>,
    Json(new): Json<NewProtocol>,
) -> Result<Answer, ApiError> {
    let wanted = names::check(ProjectId(project), &new)?;
    let mut write = door.write(&caller).await?;
    let project = ProjectId(project);
    let name = names::choose(write.tx(), caller.scope(), project, wanted).await?;
    let row = NewRun {
        project_id: project,
        protocol_name: name.as_str().to_owned(),
        status: new.status,
        auto_advance: new.auto_advance,
        engine: new.engine,
        models: new.models,
        base_branch: new.base_branch,
        description: new.description,
        sandbox_off: door.app.config.sandbox_off,
    };
    let now = write.now();
    let run = store::protocol::insert(write.tx(), caller.scope(), &row, now).await.map_err(taken)?;
    write.event(Some(project), Some(run.id), &created(&run, new.status));
    write.created(&format!("/protocols/{}", run.id), &ProtocolRunOut::from(&run)).await
}

fn taken(error: StoreError) -> ApiError {
    if let StoreError::Conflict(detail) = error {
        return ApiError::conflict("duplicate_name", detail);
    }
    error.into()
}

/// A run that begins elsewhere than pending says so as a transition, so that the timeline tells every
/// status.
fn created(run: &ProtocolRun, first: FirstStatus) -> Event {
    let event = Event::run(EventKind::ProtocolCreated)
        .with("protocol_name", run.protocol_name.as_str())
        .with("base_branch", run.base_branch.as_str())
        .with("source", Source::Api.as_str())
        .with_some("engine", run.engine.as_ref());
    match first {
        FirstStatus::Pending => event,
        FirstStatus::Planned => event.with(
            "transitions",
            json!([{"entity": "protocol_run", "id": run.id, "from": "pending", "to": run.status}]),
        ),
    }
}

/// Shows a run. An archived one is still shown.
#[utoipa::path(get, path = "/protocols/{id}", tag = "protocols", params(("id" = i64, Path, description = "Run")),
    responses((status = 200, description = "The run", body = ProtocolRunOut)))]
async fn show(State(door): State<Door>, caller: Caller, Path(id): Path<i64>) -> Result<One, ApiError> {
    let mut tx = door.app.db.read().await?;
    let run = store::protocol::load(&mut tx, caller.scope(), RunId(id)).await?;
    Ok(One::new(&caller, &ProtocolRunOut::from(&run)))
}

/// Changes a run. Absent fields stay as they are. `base_branch` may change until the branch of the run
/// is cut. With `If-Match` only the version that was read is changed.
#[utoipa::path(patch, path = "/protocols/{id}", tag = "protocols", params(("id" = i64, Path, description = "Run")),
    request_body = ProtocolChange, responses((status = 200, description = "The run as it is now", body = ProtocolRunOut)))]
async fn change(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(asked): Json<ProtocolChange>,
) -> Result<Answer, ApiError> {
    let mut wrong = Wrong::default();
    wrong.text("description", asked.description.as_ref().and_then(Option::as_deref), LONGEST_TASK);
    if let Some(branch) = &asked.base_branch {
        wrong.take(&["base_branch"], BranchName::parse(branch));
    }
    wrong.refuse_any()?;
    let mut write = door.write(&caller).await?;
    let current = store::protocol::hold(write.tx(), caller.scope(), RunId(id)).await?;
    caller.if_match(&ProtocolRunOut::from(&current))?;
    let (to, fields) = changed(&current, asked)?;
    if fields.is_empty() {
        return write.done(&ProtocolRunOut::from(&current)).await;
    }
    let (now, run) = (write.now(), current.id);
    let by_hand = ByHand {
        description: to.description.as_deref(),
        auto_advance: to.auto_advance,
        base_branch: &to.base_branch,
    };
    let mut stored = store::protocol::change(write.tx(), run, by_hand, now).await?;
    let event = Event::run(EventKind::ProtocolUpdated).with("fields", fields);
    write.event(Some(current.project_id), Some(run), &event);
    if to.auto_advance && !current.auto_advance {
        write.advance(run, Signal::WalkOn { source: Source::AutoAdvance }).await?;
        stored = store::protocol::load(write.tx(), caller.scope(), run).await?;
    }
    write.done(&ProtocolRunOut::from(&stored)).await
}

/// The run with the change, and the names of the fields that differ.
fn changed(
    current: &ProtocolRun,
    asked: ProtocolChange,
) -> Result<(ProtocolRun, Vec<&'static str>), ApiError> {
    let (mut to, mut fields) = (current.clone(), Vec::new());
    put(&mut to.description, asked.description, "description", &mut fields);
    put(&mut to.auto_advance, asked.auto_advance, "auto_advance", &mut fields);
    put(&mut to.base_branch, asked.base_branch, "base_branch", &mut fields);
    if to.base_branch != current.base_branch && !may_change_base(current) {
        let detail = format!(
            "run {} is {} and its branch is cut, or about to be, from {}; make a new run from {}",
            current.id, current.status, current.base_branch, to.base_branch
        );
        return Err(ApiError::conflict("base_branch_in_use", detail));
    }
    Ok((to, fields))
}

/// The branch of a run is cut once, by its first job. From then on another base would be a lie.
fn may_change_base(run: &ProtocolRun) -> bool {
    let rests = match run.paused_from.unwrap_or(run.status) {
        ProtocolStatus::Pending | ProtocolStatus::Planned | ProtocolStatus::Blocked => true,
        ProtocolStatus::Planning
        | ProtocolStatus::Running
        | ProtocolStatus::Paused
        | ProtocolStatus::Failed
        | ProtocolStatus::Cancelled
        | ProtocolStatus::Completed => false,
    };
    rests && run.base_sha.is_none()
}

/// Archives a run that has not begun or is over: it leaves the lists and takes no more work. Its
/// history stays, and so does its worktree. Needs `{"confirm": true}`.
#[utoipa::path(delete, path = "/protocols/{id}", tag = "protocols", params(("id" = i64, Path, description = "Run")),
    request_body = Confirm, responses((status = 204, description = "It is archived")))]
async fn archive(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    MaybeJson(asked): MaybeJson<Confirm>,
) -> Result<Answer, ApiError> {
    let mut write = door.write(&caller).await?;
    let run = store::protocol::hold(write.tx(), caller.scope(), RunId(id)).await?;
    if !asked.confirm {
        let detail = "a run is archived for good; send {\"confirm\": true} when you mean it".to_owned();
        return Err(ApiError::Demand { code: "confirm_required", detail });
    }
    if run.status != ProtocolStatus::Pending && !run.status.is_terminal() {
        return Err(refused(&run, "archive", |to| *to == ProtocolStatus::Pending || to.is_terminal()));
    }
    let now = write.now();
    store::protocol::archive(write.tx(), run.id, now).await?;
    let event = Event::run(EventKind::ProtocolUpdated).with("fields", ["archived_at"].as_slice());
    write.event(Some(run.project_id), Some(run.id), &event);
    write.gone().await
}

/// A change that a run does not allow as it is, told like a transition.
pub(super) fn refused(
    run: &ProtocolRun,
    requested: &'static str,
    is_legal: impl Fn(&ProtocolStatus) -> bool,
) -> ApiError {
    let legal = ProtocolStatus::ALL.iter().filter(|status| is_legal(status));
    Refused::IllegalTransition {
        entity: "protocol_run",
        id: run.id.0,
        current: run.status.as_str(),
        requested,
        legal_from: legal.map(|status| status.as_str()).collect(),
    }
    .into()
}
