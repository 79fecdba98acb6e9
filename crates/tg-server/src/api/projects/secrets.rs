//! Routes of project secrets. A value goes in and never comes out; what is shown are names.

use axum::extract::State;
use tg_core::{
    event::{Event, EventKind},
    ids::ProjectId,
    project::SecretKey,
    wire::{ProjectOut, SecretSet, SecretValue},
};
use utoipa_axum::routes;

use super::check;
use crate::{
    api::{
        Door,
        answer::Answer,
        caller::Caller,
        error::ApiError,
        extract::{Json, Path},
        route::Routes,
        write::Write,
    },
    app::App,
    seal::Place,
    secret::Secret,
    store,
};

/// Routes of this resource.
pub(super) fn routes() -> Routes {
    Routes::new().admin(routes!(set, remove))
}

/// Seals a secret and stores it, with its event.
pub(super) async fn keep(
    app: &App,
    write: &mut Write<'_>,
    project: ProjectId,
    key: &SecretKey,
    value: &Secret<String>,
) -> Result<(), ApiError> {
    let name = key.to_string();
    let sealed = app.seal.seal(Place { project: project.0, field: &name }, value).map_err(|error| {
        tracing::error!(%error, "a secret cannot be sealed");
        ApiError::Internal
    })?;
    let now = write.now();
    store::secret::set(write.tx(), project, &name, &sealed, now).await?;
    write.event(Some(project), None, &Event::run(EventKind::ProjectSecretSet).with("key", name));
    Ok(())
}

fn known(key: &str) -> Result<SecretKey, ApiError> {
    check::secret_key(key).map_err(|why| ApiError::invalid(&["path", "key"], why))
}

/// Stores a secret of a project, encrypted, or replaces it. It is never shown again.
#[utoipa::path(put, path = "/projects/{id}/secrets/{key}", tag = "projects",
    params(("id" = i64, Path, description = "Project"), ("key" = String, Path, description = "Name of the secret", example = "github_token")),
    request_body = SecretValue, responses((status = 200, description = "It is stored", body = SecretSet)))]
async fn set(
    State(door): State<Door>,
    caller: Caller,
    Path((id, key)): Path<(i64, String)>,
    Json(given): Json<SecretValue>,
) -> Result<Answer, ApiError> {
    let key = known(&key)?;
    let value = check::secret(&given.value).map_err(|why| ApiError::invalid(&["body", "value"], why))?;
    let mut write = door.write(&caller).await?;
    let project = store::project::lock(write.tx(), caller.scope(), ProjectId(id)).await?;
    caller.if_match(&ProjectOut::from(&project))?;
    if project.archived_at.is_some() {
        return Err(store::StoreError::Archived(project.id).into());
    }
    keep(&door.app, &mut write, project.id, &key, &value).await?;
    write.done(&SecretSet { key: key.to_string(), set: true }).await
}

/// Removes a secret of a project.
#[utoipa::path(delete, path = "/projects/{id}/secrets/{key}", tag = "projects",
    params(("id" = i64, Path, description = "Project"), ("key" = String, Path, description = "Name of the secret", example = "github_token")),
    responses((status = 204, description = "It is gone")))]
async fn remove(
    State(door): State<Door>,
    caller: Caller,
    Path((id, key)): Path<(i64, String)>,
) -> Result<Answer, ApiError> {
    let key = known(&key)?.to_string();
    let mut write = door.write(&caller).await?;
    let project = store::project::lock(write.tx(), caller.scope(), ProjectId(id)).await?;
    store::secret::remove(write.tx(), project.id, &key).await?;
    let event = Event::run(EventKind::ProjectSecretRemoved).with("key", key);
    write.event(Some(project.id), None, &event);
    write.gone().await
}
