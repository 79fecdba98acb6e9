//! Files that calls produced: lists, and their content as text or as an attachment. A file is opened
//! beneath the one directory its call may have written to, and never through a link.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path as FilePath, PathBuf},
};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::Response,
};
use serde::Deserialize;
use tg_core::{
    ids::{ArtifactId, RunId, StepId},
    scope::Scope,
    wire::RunArtifactOut,
};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{find, log_file, logs, word};
use crate::{
    api::{
        Door,
        caller::Caller,
        convert,
        error::ApiError,
        extract::{Path, Query},
        page::{self, Page},
        route::Routes,
    },
    db::Tx,
    paths::Root,
    store::{
        self,
        artifact::{Artifact, Of},
    },
};

/// Most bytes that are shown as text.
const TEXT_MOST: u64 = 1_000_000;
/// Says that the file is not what was recorded.
const CHANGED: HeaderName = HeaderName::from_static("x-artifact-changed");

/// Routes of the lists of protocol runs and steps.
pub fn of_runs_and_steps() -> Routes {
    Routes::new().member(routes!(of_protocol)).member(routes!(of_step))
}

/// Which files to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListFiles {
    /// What they are.
    kind: Option<String>,
    /// At most this many.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `X-Next-Cursor` of the page before.
    #[param(example = "artifact-1")]
    cursor: Option<String>,
}

/// Which files of a protocol run to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListFilesOfRun {
    /// What they are.
    kind: Option<String>,
    /// Of this step.
    step_run_id: Option<i64>,
    /// At most this many.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `X-Next-Cursor` of the page before.
    #[param(example = "artifact-1")]
    cursor: Option<String>,
}

/// Lists the files of a call run, newest first.
#[utoipa::path(get, path = "/runs/{run_id}/artifacts", tag = "runs",
    params(("run_id" = String, Path, description = "Call run, or job"), ListFiles),
    responses((status = 200, description = "A page", body = [RunArtifactOut])))]
pub async fn of_call(
    State(door): State<Door>,
    caller: Caller,
    Path(run_id): Path<String>,
    Query(asked): Query<ListFiles>,
) -> Result<Page, ApiError> {
    let mut tx = door.app.db.read().await?;
    let call = find(&mut tx, caller.scope(), &run_id).await?;
    listed(&mut tx, caller.scope(), &Of::Call(call.id), asked).await
}

/// Lists the files of a protocol run, newest first.
#[utoipa::path(get, path = "/protocols/{id}/artifacts", tag = "runs",
    params(("id" = i64, Path, description = "Protocol run"), ListFilesOfRun),
    responses((status = 200, description = "A page", body = [RunArtifactOut])))]
async fn of_protocol(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(asked): Query<ListFilesOfRun>,
) -> Result<Page, ApiError> {
    let mut tx = door.app.db.read().await?;
    let run = store::protocol::load(&mut tx, caller.scope(), RunId(id)).await?.id;
    let of = asked.step_run_id.map_or(Of::Run(run), |step| Of::Step(StepId(step), Some(run)));
    let asked = ListFiles { kind: asked.kind, limit: asked.limit, cursor: asked.cursor };
    listed(&mut tx, caller.scope(), &of, asked).await
}

/// Lists the files of a step, newest first.
#[utoipa::path(get, path = "/steps/{id}/artifacts", tag = "runs",
    params(("id" = i64, Path, description = "Step"), ListFiles),
    responses((status = 200, description = "A page", body = [RunArtifactOut])))]
async fn of_step(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(asked): Query<ListFiles>,
) -> Result<Page, ApiError> {
    let mut tx = door.app.db.read().await?;
    let step = store::step::load(&mut tx, caller.scope(), StepId(id)).await?.id;
    listed(&mut tx, caller.scope(), &Of::Step(step, None), asked).await
}

async fn listed(tx: &mut Tx, scope: &Scope, of: &Of, asked: ListFiles) -> Result<Page, ApiError> {
    let limit = page::limit(asked.limit, 100)?;
    let before = page::before::<i64>(asked.cursor.as_deref(), "artifact")?;
    let kind = word("kind", asked.kind)?;
    let files = store::artifact::page(tx, scope, of, kind.as_deref(), before, limit + 1).await?;
    let (files, next) = page::cut(files, limit, "artifact", |file| file.id);
    let shown: Vec<RunArtifactOut> = files.iter().map(convert::artifact).collect();
    Ok(Page::new(&shown, next))
}

/// How to send a file.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Content {
    /// Its bytes as they are, as an attachment of any size.
    download: Option<bool>,
}

/// Reads a file of a call run.
///
/// As text, bytes that are none are replaced. The file is what lies there now; `X-Artifact-Changed: true`
/// says that it is no longer what was recorded.
#[utoipa::path(get, path = "/runs/{run_id}/artifacts/{artifact_id}/content", tag = "runs",
    params(("run_id" = String, Path, description = "Call run, or job"),
        ("artifact_id" = i64, Path, description = "Artifact"), Content),
    responses(
        (status = 200, description = "The file", content(
            (String = "text/plain"), (String = "application/octet-stream"))),
        (status = 206, description = "The part that was asked for", body = String,
            content_type = "application/octet-stream"),
        (status = 413, description = "Too long to be shown as text", body = tg_core::wire::Problem,
            content_type = "application/problem+json"),
        (status = 416, description = "The file is not that long", body = tg_core::wire::Problem,
            content_type = "application/problem+json")))]
pub async fn content(
    State(door): State<Door>,
    caller: Caller,
    Path((run_id, artifact_id)): Path<(String, i64)>,
    headers: HeaderMap,
    Query(asked): Query<Content>,
) -> Result<Response, ApiError> {
    let mut tx = door.app.db.read().await?;
    let call = find(&mut tx, caller.scope(), &run_id).await?;
    let artifact = store::artifact::load(&mut tx, caller.scope(), &call.id, ArtifactId(artifact_id)).await?;
    let root = root(&door, &mut tx, caller.scope(), &artifact).await?;
    drop(tx);
    let path = PathBuf::from(&artifact.file.path);
    let opened = log_file::blocking(move || Ok(open(&root, &path).ok())).await?;
    let (file, length) = opened.ok_or_else(|| unavailable(&artifact))?;
    if asked.download == Some(true) {
        return Ok(attachment(&artifact, file, length, &headers));
    }
    if length > TEXT_MOST {
        return Err(too_long(length));
    }
    let mut bytes = Vec::new();
    let bytes = log_file::blocking(move || {
        file.take(TEXT_MOST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    })
    .await?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    if length > TEXT_MOST {
        return Err(too_long(length));
    }
    let changed = tg_core::canonical::sha256_hex(&bytes) != artifact.file.sha256;
    let mut response = Response::new(Body::from(String::from_utf8_lossy(&bytes).into_owned()));
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(marked(response, changed))
}

/// The directory that a file of this kind lies beneath.
async fn root(door: &Door, tx: &mut Tx, scope: &Scope, artifact: &Artifact) -> Result<PathBuf, ApiError> {
    if artifact.is_in_call_folder() {
        return Ok(door.app.config.home.call_dir(&artifact.run_id));
    }
    let run = artifact.protocol_run_id.ok_or_else(|| unavailable(artifact))?;
    let run = store::protocol::load(tx, scope, run).await?;
    run.worktree_path.map(PathBuf::from).ok_or_else(|| unavailable(artifact))
}

fn open(root: &FilePath, path: &FilePath) -> io::Result<(File, u64)> {
    let file = Root::open(root)?.reader(path)?;
    let length = file.metadata()?.len();
    Ok((file, length))
}

fn attachment(artifact: &Artifact, file: File, length: u64, headers: &HeaderMap) -> Response {
    let mut response = logs::part(file, length, headers);
    if !response.status().is_success() {
        return response;
    }
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '_' };
    let name: String = artifact.file.name.chars().take(100).map(safe).collect();
    let head = response.headers_mut();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Ok(value) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        head.insert(header::CONTENT_DISPOSITION, value);
    }
    marked(response, i64::try_from(length) != Ok(artifact.file.bytes))
}

fn marked(mut response: Response, changed: bool) -> Response {
    if changed {
        response.headers_mut().insert(CHANGED, HeaderValue::from_static("true"));
    }
    response
}

/// Why it cannot be opened is not told: the file is an agent's, and so is what stands in its place.
fn unavailable(artifact: &Artifact) -> ApiError {
    ApiError::Coded {
        status: StatusCode::NOT_FOUND,
        code: "artifact_unavailable",
        detail: format!("the file of artifact {} is not there any more", artifact.id),
    }
}

fn too_long(length: u64) -> ApiError {
    ApiError::Coded {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        code: "artifact_too_large",
        detail: format!(
            "the file has {length} bytes, more than {TEXT_MOST} that are shown as text; add download=true"
        ),
    }
}
