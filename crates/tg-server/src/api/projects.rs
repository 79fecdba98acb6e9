//! Routes of projects. Creating one starts no process and contacts nobody: its repository is first
//! looked at when a run needs it.

mod check;
mod secrets;

use axum::extract::State;
use serde::Deserialize;
use tg_core::{
    event::{Event, EventKind},
    ids::ProjectId,
    wire::{Confirm, NewProject, ProjectChange, ProjectOut},
};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{
    Door,
    answer::{Answer, One},
    caller::Caller,
    error::ApiError,
    extract::{Json, MaybeJson, Path, Query},
    page::{self, Page},
    route::Routes,
};
use crate::store;

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new()
        .member(routes!(list))
        .admin(routes!(create))
        .member(routes!(show))
        .admin(routes!(change))
        .admin(routes!(archive))
        .merge(secrets::routes())
}

/// Which projects to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListProjects {
    /// At most this many.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `X-Next-Cursor` of the page before.
    #[param(example = "project-7")]
    cursor: Option<String>,
    /// Archived projects, too.
    #[serde(default)]
    archived: bool,
}

/// Lists projects, newest first. Archived ones are left out unless `archived=true`.
#[utoipa::path(get, path = "/projects", tag = "projects", params(ListProjects),
    responses((status = 200, description = "A page", body = [ProjectOut])))]
async fn list(
    State(door): State<Door>,
    caller: Caller,
    Query(asked): Query<ListProjects>,
) -> Result<Page, ApiError> {
    let limit = page::limit(asked.limit, 100)?;
    let before = page::before(asked.cursor.as_deref(), "project")?;
    let filter = store::project::Filter { before, archived: asked.archived };
    let mut tx = door.app.db.read().await?;
    let projects = store::project::list(&mut tx, caller.scope(), filter, limit + 1).await?;
    let (projects, next) = page::cut(projects, limit, "project", |project| project.id);
    let shown: Vec<ProjectOut> = projects.iter().map(ProjectOut::from).collect();
    Ok(Page::new(&shown, next))
}

/// Creates a project. Its repository is an `https://` or ssh address without credentials, or a path on
/// the server's machine. The answer names the stored secrets and never shows one.
#[utoipa::path(post, path = "/projects", tag = "projects", request_body = NewProject,
    responses((status = 201, description = "The new project", body = ProjectOut)))]
async fn create(
    State(door): State<Door>,
    caller: Caller,
    Json(new): Json<NewProject>,
) -> Result<Answer, ApiError> {
    let (row, secrets) = check::new_project(&door.app.config, &caller, new)?;
    let mut write = door.write(&caller).await?;
    let now = write.now();
    let mut project = store::project::insert(write.tx(), &row, now).await?;
    let event = Event::run(EventKind::ProjectCreated)
        .with("name", row.name.as_str())
        .with("git_url", row.git_url.as_str());
    write.event(Some(project.id), None, &event);
    for (key, value) in secrets {
        secrets::keep(&door.app, &mut write, project.id, &key, &value).await?;
        project.secrets_set.push(key.to_string());
    }
    project.secrets_set.sort_unstable();
    write.created(&format!("/projects/{}", project.id), &ProjectOut::from(&project)).await
}

/// Shows a project.
#[utoipa::path(get, path = "/projects/{id}", tag = "projects", params(("id" = i64, Path, description = "Project")),
    responses((status = 200, description = "The project", body = ProjectOut)))]
async fn show(State(door): State<Door>, caller: Caller, Path(id): Path<i64>) -> Result<One, ApiError> {
    let mut tx = door.app.db.read().await?;
    let project = store::project::load(&mut tx, caller.scope(), ProjectId(id)).await?;
    Ok(One::new(&caller, &ProjectOut::from(&project)))
}

/// Changes a project. Absent fields stay as they are; `null` clears `local_path`, `ci_provider` and
/// `default_models`. With `If-Match` only the version that was read is changed.
#[utoipa::path(patch, path = "/projects/{id}", tag = "projects", params(("id" = i64, Path, description = "Project")),
    request_body = ProjectChange, responses((status = 200, description = "The project as it is now", body = ProjectOut)))]
async fn change(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(asked): Json<ProjectChange>,
) -> Result<Answer, ApiError> {
    let change = check::change(&door.app.config, asked)?;
    let mut write = door.write(&caller).await?;
    let current = store::project::lock(write.tx(), caller.scope(), ProjectId(id)).await?;
    caller.if_match(&ProjectOut::from(&current))?;
    if current.archived_at.is_some() {
        return Err(store::StoreError::Archived(current.id).into());
    }
    let (changed, fields) = change.apply(&current);
    if fields.is_empty() {
        return write.done(&ProjectOut::from(&current)).await;
    }
    let now = write.now();
    let stored = store::project::set(write.tx(), &changed, now).await?;
    let event = Event::run(EventKind::ProjectUpdated).with("fields", fields);
    write.event(Some(stored.id), None, &event);
    write.done(&ProjectOut::from(&stored)).await
}

/// Archives a project: it leaves the lists and takes no new work; its history stays. Needs
/// `{"confirm": true}`, and no run that is still open.
#[utoipa::path(delete, path = "/projects/{id}", tag = "projects", params(("id" = i64, Path, description = "Project")),
    request_body = Confirm, responses((status = 204, description = "It is archived")))]
async fn archive(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    MaybeJson(asked): MaybeJson<Confirm>,
) -> Result<Answer, ApiError> {
    let mut write = door.write(&caller).await?;
    let project = store::project::lock(write.tx(), caller.scope(), ProjectId(id)).await?;
    if !asked.confirm {
        let detail = "a project is archived for good; send {\"confirm\": true} when you mean it".to_owned();
        return Err(ApiError::Demand { code: "confirm_required", detail });
    }
    if project.archived_at.is_some() {
        return write.gone().await;
    }
    if store::project::has_unfinished_run(write.tx(), project.id).await? {
        let detail = "a run of this project is not at its end; complete or cancel it first";
        return Err(ApiError::conflict("run_not_terminal", detail));
    }
    let now = write.now();
    store::project::archive(write.tx(), project.id, now).await?;
    write.event(Some(project.id), None, &Event::run(EventKind::ProjectArchived));
    write.gone().await
}
