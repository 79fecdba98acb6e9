//! What a run or a step changed, and where its branch stands. Looks through `jobs::look`, which reads
//! the control repository; never the `.git` of an agent.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tg_core::{
    ids::{RunId, StepId},
    review::FilePath,
    wire::{ChangedFile, GitStatusOut},
};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{
    Door,
    answer::{self, One},
    caller::Caller,
    error::ApiError,
    extract::{Path, Query},
    route::Routes,
};
use crate::jobs::look::{self, LookError, Work};

/// Says that something is missing at the end of what is shown.
const TRUNCATED: HeaderName = HeaderName::from_static("x-truncated");

/// Lines of context of a diff unless told otherwise.
const CONTEXT: i64 = 3;

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new().member(routes!(of_run)).member(routes!(of_step)).member(routes!(status))
}

/// How to show changes.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Shown {
    /// One file, or the files of one folder; relative, without `.` and `..`.
    #[param(example = "src/main.rs")]
    path: Option<String>,
    /// Lines of context around a change.
    #[param(minimum = 0, maximum = 100)]
    context: Option<i64>,
    /// The list of files instead of their content.
    stat: Option<bool>,
}

/// Shows what a run changed
///
/// Everything committed on the run's branch since its base; what lies uncommitted in its worktree is not
/// in it (see git status). Longer than 5 MiB, it is cut at the end of a line, and `X-Truncated` says so.
/// Bytes that are no UTF-8 are replaced.
#[utoipa::path(get, path = "/protocols/{id}/diff", tag = "review",
    params(("id" = i64, Path, description = "Run"), Shown),
    responses(
        (status = 200, description = "Unified diff; with `stat` the list of files",
            content((String = "text/x-diff"), (Vec<ChangedFile> = "application/json"))),
        (status = 409, description = "`repo_missing`: there is no branch to look at",
            content_type = "application/problem+json", body = tg_core::wire::Problem),
    ))]
async fn of_run(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(shown): Query<Shown>,
) -> Result<Response, ApiError> {
    show(&door, &caller, Work::Run(RunId(id)), shown).await
}

/// Shows what a step changed
///
/// What the newest attempt of the step committed, as for a run. Empty as long as it committed nothing.
#[utoipa::path(get, path = "/steps/{id}/diff", tag = "review",
    params(("id" = i64, Path, description = "Step"), Shown),
    responses(
        (status = 200, description = "Unified diff; with `stat` the list of files",
            content((String = "text/x-diff"), (Vec<ChangedFile> = "application/json"))),
        (status = 409, description = "`repo_missing`: there is no branch to look at",
            content_type = "application/problem+json", body = tg_core::wire::Problem),
    ))]
async fn of_step(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(shown): Query<Shown>,
) -> Result<Response, ApiError> {
    show(&door, &caller, Work::Step(StepId(id)), shown).await
}

/// Shows where the branch of a run stands
///
/// Its newest commit, what is not committed, and how far it is from its base as it was last fetched.
#[utoipa::path(get, path = "/protocols/{id}/git/status", tag = "review",
    params(("id" = i64, Path, description = "Run")),
    responses(
        (status = 200, description = "Where it stands", body = GitStatusOut),
        (status = 409, description = "`repo_missing` or `worktree_missing`: there is nothing to look at",
            content_type = "application/problem+json", body = tg_core::wire::Problem),
    ))]
async fn status(State(door): State<Door>, caller: Caller, Path(id): Path<i64>) -> Result<One, ApiError> {
    let status = look::git_status(&door.app, caller.scope(), RunId(id)).await?;
    Ok(One::new(&caller, &status))
}

async fn show(door: &Door, caller: &Caller, work: Work, shown: Shown) -> Result<Response, ApiError> {
    let path = match &shown.path {
        None => None,
        Some(path) => Some(
            FilePath::parse(path)
                .map_err(|error| ApiError::invalid(&["query", "path"], error.to_string()))?,
        ),
    };
    let context = u8::try_from(shown.context.unwrap_or(CONTEXT))
        .ok()
        .filter(|lines| *lines <= 100)
        .ok_or_else(|| ApiError::invalid(&["query", "context"], "must be from 0 to 100"))?;
    let (scope, path) = (caller.scope(), path.as_ref());
    let (mut response, is_cut) = if shown.stat.unwrap_or(false) {
        let files = look::files(&door.app, scope, work, path).await?;
        (answer::json_response(answer::json(&files.kept)), files.is_cut)
    } else {
        let diff = look::diff(&door.app, scope, work, path, context).await?;
        let mut text = diff.kept;
        if diff.is_cut {
            text.push_str("\\ [cut: there is more than is shown; ask for one path]\n");
        }
        let mut response = Body::from(text).into_response();
        let kind = HeaderValue::from_static("text/x-diff; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        (response, diff.is_cut)
    };
    if is_cut {
        response.headers_mut().insert(TRUNCATED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

impl From<LookError> for ApiError {
    fn from(error: LookError) -> Self {
        match error {
            LookError::Store(error) => error.into(),
            LookError::RepositoryMissing(sentence) => Self::conflict("repo_missing", sentence),
            LookError::WorktreeMissing(sentence) => Self::conflict("worktree_missing", sentence),
            LookError::Busy(sentence) => {
                tracing::warn!(sentence, "a look at a repository was given up");
                Self::Timeout
            }
            LookError::Git(error) => {
                tracing::error!(%error, "git failed a request");
                Self::Internal
            }
        }
    }
}
