//! Comments of people on a run's changes. What is open goes with the next retry of a step.

use axum::extract::State;
use serde::Deserialize;
use tg_core::{
    ids::{CommentId, RunId},
    review::{self, CommentState, FilePath, ReviewComment},
    wire::{FieldError, NewReviewComment, ReviewCommentChange, ReviewCommentOut},
};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{
    Door,
    answer::Answer,
    caller::Caller,
    error::ApiError,
    extract::{Json, Path, Query},
    page::{self, Page},
    route::Routes,
};
use crate::store::{self, review::NewComment};

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new().member(routes!(list, create)).member(routes!(change, remove))
}

/// Which comments to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListComments {
    /// At most this many.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `X-Next-Cursor` of the page before.
    #[param(example = "comment-1")]
    cursor: Option<String>,
}

/// Lists the comments on a run's changes, newest first
#[utoipa::path(get, path = "/protocols/{id}/review_comments", tag = "review",
    params(("id" = i64, Path, description = "Run"), ListComments),
    responses((status = 200, description = "A page", body = [ReviewCommentOut])))]
async fn list(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(asked): Query<ListComments>,
) -> Result<Page, ApiError> {
    let limit = page::limit(asked.limit, 100)?;
    let before = page::before::<i64>(asked.cursor.as_deref(), "comment")?;
    let mut tx = door.app.db.read().await?;
    let run = store::protocol::load(&mut tx, caller.scope(), RunId(id)).await?.id;
    let comments = store::review::list(&mut tx, caller.scope(), run, before, limit + 1).await?;
    let (comments, next) = page::cut(comments, limit, "comment", |comment| comment.id);
    let shown: Vec<ReviewCommentOut> = comments.iter().map(ReviewCommentOut::from).collect();
    Ok(Page::new(&shown, next))
}

/// Comments on a line of a run's changes
///
/// Open comments go to the agent as one review when a person runs or retries a step of the run.
#[utoipa::path(post, path = "/protocols/{id}/review_comments", tag = "review",
    params(("id" = i64, Path, description = "Run")), request_body = NewReviewComment,
    responses((status = 201, description = "The comment", body = ReviewCommentOut)))]
async fn create(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(new): Json<NewReviewComment>,
) -> Result<Answer, ApiError> {
    let mut write = door.write(&caller).await?;
    let run = store::protocol::load(write.tx(), caller.scope(), RunId(id)).await?.id;
    check(&new)?;
    let now = write.now();
    let new = NewComment {
        run,
        path: new.path,
        side: new.side,
        line: new.line,
        sha: new.sha,
        body: new.body,
        author: Some(caller.actor().to_owned()),
    };
    let comment = store::review::insert(write.tx(), &new, now).await?;
    let location = format!("/review_comments/{}", comment.id);
    write.created(&location, &ReviewCommentOut::from(&comment)).await
}

/// Changes a comment
///
/// A person may settle a comment or open it again; its text may be changed while it is open.
#[utoipa::path(patch, path = "/review_comments/{id}", tag = "review",
    params(("id" = i64, Path, description = "Comment")), request_body = ReviewCommentChange,
    responses((status = 200, description = "The comment", body = ReviewCommentOut)))]
async fn change(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(change): Json<ReviewCommentChange>,
) -> Result<Answer, ApiError> {
    let mut write = door.write(&caller).await?;
    let comment = store::review::load(write.tx(), caller.scope(), CommentId(id)).await?;
    caller.if_match(&ReviewCommentOut::from(&comment))?;
    if let Some(body) = &change.body {
        let errors: Vec<FieldError> = body_error(body).into_iter().collect();
        if !errors.is_empty() {
            return Err(ApiError::Invalid(errors));
        }
        if comment.state != CommentState::Open {
            return Err(ApiError::conflict(
                "comment_not_open",
                format!("comment {id} is {}; open it again before you change its text", comment.state),
            ));
        }
    }
    let state = change.state.map_or(comment.state, CommentState::from);
    let body = change.body.unwrap_or_else(|| comment.body.clone());
    let changed = ReviewComment { state, body, ..comment.clone() };
    if changed != comment {
        let now = write.now();
        store::review::set(write.tx(), &comment, state, &changed.body, now).await?;
    }
    let changed = store::review::load(write.tx(), caller.scope(), comment.id).await?;
    write.done(&ReviewCommentOut::from(&changed)).await
}

/// Deletes a comment
#[utoipa::path(delete, path = "/review_comments/{id}", tag = "review",
    params(("id" = i64, Path, description = "Comment")),
    responses((status = 204, description = "It is gone")))]
async fn remove(State(door): State<Door>, caller: Caller, Path(id): Path<i64>) -> Result<Answer, ApiError> {
    let mut write = door.write(&caller).await?;
    let comment = store::review::load(write.tx(), caller.scope(), CommentId(id)).await?;
    caller.if_match(&ReviewCommentOut::from(&comment))?;
    store::review::remove(write.tx(), comment.id).await?;
    write.gone().await
}

/// Everything that is wrong with a comment, at once.
fn check(new: &NewReviewComment) -> Result<(), ApiError> {
    let mut errors = Vec::new();
    if let Err(error) = FilePath::parse(&new.path) {
        errors.push(wrong("path", error.to_string()));
    }
    if new.line < 1 {
        errors.push(wrong("line", "must be 1 or more".to_owned()));
    }
    if !review::is_commit_id(&new.sha) {
        errors.push(wrong("sha", "must be a whole commit id: 40 digits of 0-9 and a-f".to_owned()));
    }
    errors.extend(body_error(&new.body));
    if errors.is_empty() { Ok(()) } else { Err(ApiError::Invalid(errors)) }
}

fn body_error(body: &str) -> Option<FieldError> {
    if body.trim().is_empty() {
        Some(wrong("body", "must say something".to_owned()))
    } else if body.len() > review::BODY_CAP {
        Some(wrong("body", "must not be longer than 16 KiB".to_owned()))
    } else if body.contains('\0') {
        Some(wrong("body", "must not hold a zero character".to_owned()))
    } else {
        None
    }
}

fn wrong(field: &str, msg: String) -> FieldError {
    FieldError { loc: vec!["body".into(), field.into()], msg, kind: "value".to_owned() }
}
