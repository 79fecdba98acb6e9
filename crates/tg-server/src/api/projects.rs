//! Routes of projects.

use axum::extract::State;
use serde::Deserialize;
use tg_core::{ids::ProjectId, wire::ProjectOut};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{
    Door,
    answer::One,
    caller::Caller,
    error::ApiError,
    extract::{Path, Query},
    page::{self, Page},
    route::Routes,
};
use crate::store;

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new().member(routes!(list)).member(routes!(show))
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
    cursor: Option<String>,
}

/// Lists projects, newest first.
#[utoipa::path(get, path = "/projects", tag = "projects", params(ListProjects),
    responses((status = 200, description = "A page", body = [ProjectOut])))]
async fn list(
    State(door): State<Door>,
    caller: Caller,
    Query(asked): Query<ListProjects>,
) -> Result<Page, ApiError> {
    let limit = page::limit(asked.limit, 100)?;
    let _before = page::before::<i64>(asked.cursor.as_deref(), "project")?;
    let mut tx = door.app.db.read().await?;
    let projects = store::project::list(&mut tx, caller.scope(), limit + 1).await?;
    let (projects, next) = page::cut(projects, limit, "project", |project| project.id);
    let shown: Vec<ProjectOut> = projects.iter().map(ProjectOut::from).collect();
    Ok(Page::new(&shown, next))
}

/// Shows a project.
#[utoipa::path(get, path = "/projects/{id}", tag = "projects", params(("id" = i64, Path, description = "Project")),
    responses((status = 200, description = "The project", body = ProjectOut)))]
async fn show(State(door): State<Door>, caller: Caller, Path(id): Path<i64>) -> Result<One, ApiError> {
    let mut tx = door.app.db.read().await?;
    let project = store::project::load(&mut tx, caller.scope(), ProjectId(id)).await?;
    Ok(One::new(&caller, &ProjectOut::from(&project)))
}
