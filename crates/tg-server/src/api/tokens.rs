//! Routes of access tokens. The text of a token is in the one answer that made it and nowhere else: not in
//! the database, not in an event, not in the answer kept for an `Idempotency-Key`.

use axum::extract::State;
use serde::Deserialize;
use tg_core::{
    event::{Event, EventKind},
    ids::ProjectId,
    scope::Scope,
    wire::{NewToken, ProjectTokenOut, TokenOut, TokenScope, example},
};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{
    Door,
    answer::{Answer, One},
    caller::Caller,
    error::ApiError,
    extract::{Json, Path, Query},
    page::{self, Page},
    route::Routes,
    write::Write,
};
use crate::{
    credential::{self, Fresh, Kind},
    store::{self, StoreError, token::Token},
};

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new()
        .admin(routes!(list, create))
        .admin(routes!(show, revoke))
        .admin(routes!(rotate))
        .admin(routes!(rotate_of_project))
}

/// Longest name.
const NAME_MOST: usize = 64;

/// Which tokens to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListTokens {
    /// At most this many.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `X-Next-Cursor` of the page before.
    #[param(example = "token-3")]
    cursor: Option<String>,
}

/// Lists tokens
///
/// Newest first. Revoked ones are not listed; the timeline tells of them.
#[utoipa::path(get, path = "/tokens", operation_id = "list_tokens", tag = "tokens", params(ListTokens),
    responses((status = 200, description = "A page", body = [TokenOut])))]
async fn list(
    State(door): State<Door>,
    caller: Caller,
    Query(asked): Query<ListTokens>,
) -> Result<Page, ApiError> {
    let limit = page::limit(asked.limit, 100)?;
    let before = page::before(asked.cursor.as_deref(), "token")?;
    let mut tx = door.app.db.read().await?;
    let tokens = store::token::list(&mut tx, caller.scope(), before, limit + 1).await?;
    let (tokens, next) = page::cut(tokens, limit, "token", |token| token.id);
    let shown: Vec<TokenOut> = tokens.iter().map(Token::shown).collect();
    Ok(Page::new(&shown, next))
}

/// Creates a token
///
/// The answer is the only one that holds its text. A repeated request with the same `Idempotency-Key`
/// gets the answer without it.
#[utoipa::path(post, path = "/tokens", operation_id = "create_token", tag = "tokens", request_body = NewToken,
    responses((status = 201, description = "The token", body = TokenOut,
        example = json!(example::fresh_token()))))]
async fn create(
    State(door): State<Door>,
    caller: Caller,
    Json(new): Json<NewToken>,
) -> Result<Answer, ApiError> {
    let name = name(&new.name)?;
    let scope = scope(&new)?;
    let expires_at = expiry(&door, new.expires_at.as_deref())?;
    let fresh = make()?;
    let mut write = door.write(&caller).await?;
    if let Some(project) = scope.project() {
        store::project::load(write.tx(), caller.scope(), project).await?;
    }
    let now = write.now();
    let row = store::token::NewToken { name, scope, is_project_token: false, expires_at };
    let token = store::token::insert(write.tx(), &row, &fresh.stored, now).await.map_err(taken)?;
    tell(&mut write, EventKind::TokenCreated, &token);
    let kept = token.shown();
    let shown = with_text(&token, &fresh);
    write.created_secret(&format!("/tokens/{}", token.id), &shown, &kept).await
}

/// Shows a token
#[utoipa::path(get, path = "/tokens/{id}", operation_id = "show_token", tag = "tokens",
    params(("id" = i64, Path, description = "Token")), responses((status = 200, description = "The token", body = TokenOut)))]
async fn show(State(door): State<Door>, caller: Caller, Path(id): Path<i64>) -> Result<One, ApiError> {
    let mut tx = door.app.db.read().await?;
    let token = store::token::load(&mut tx, caller.scope(), id).await?;
    Ok(One::new(&caller, &token.shown()))
}

/// Revokes a token
///
/// It and its sessions are dead at once.
#[utoipa::path(delete, path = "/tokens/{id}", operation_id = "revoke_token", tag = "tokens",
    params(("id" = i64, Path, description = "Token")), responses((status = 204, description = "Revoked")))]
async fn revoke(State(door): State<Door>, caller: Caller, Path(id): Path<i64>) -> Result<Answer, ApiError> {
    let mut write = door.write(&caller).await?;
    let now = write.now();
    let token = store::token::revoke(write.tx(), caller.scope(), id, now).await?;
    tell(&mut write, EventKind::TokenRevoked, &token);
    write.gone().await
}

/// Gives a token another text
///
/// The old text and the sessions opened with it are dead at once. The answer is the only one that holds
/// the new text.
#[utoipa::path(post, path = "/tokens/{id}/rotate", operation_id = "rotate_token", tag = "tokens",
    params(("id" = i64, Path, description = "Token")), responses((status = 200, description = "The token", body = TokenOut,
        example = json!(example::fresh_token()))))]
async fn rotate(State(door): State<Door>, caller: Caller, Path(id): Path<i64>) -> Result<Answer, ApiError> {
    let fresh = make()?;
    let mut write = door.write(&caller).await?;
    let token = store::token::rotate(write.tx(), caller.scope(), id, &fresh.stored).await?;
    if token.is_expired(write.now()) {
        return Err(ApiError::conflict("token_expired", "the token has expired; create another one"));
    }
    tell(&mut write, EventKind::TokenRevoked, &token);
    tell(&mut write, EventKind::TokenCreated, &token);
    let kept = token.shown();
    let shown = with_text(&token, &fresh);
    write.done_secret(&shown, &kept).await
}

/// Gives a project a new token
///
/// It sees this project only. The old one and its sessions are dead at once. The answer is the only one
/// that holds its text.
#[utoipa::path(post, path = "/projects/{id}/token", operation_id = "rotate_project_token", tag = "tokens",
    params(("id" = i64, Path, description = "Project")),
    responses((status = 201, description = "The token", body = ProjectTokenOut)))]
async fn rotate_of_project(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<Answer, ApiError> {
    let fresh = make()?;
    let mut write = door.write(&caller).await?;
    let project = store::project::load(write.tx(), caller.scope(), ProjectId(id)).await?.id;
    let now = write.now();
    let token = store::token::replace_of_project(write.tx(), project, &fresh.stored, now).await?;
    write.event(Some(project), None, &Event::run(EventKind::ProjectTokenRotated));
    let kept = ProjectTokenOut { token: None, prefix: token.prefix.clone() };
    let shown = ProjectTokenOut { token: Some(fresh.text.expose().clone()), ..kept.clone() };
    write.created_secret(&format!("/tokens/{}", token.id), &shown, &kept).await
}

/// Writes what became of a token: into the timeline of its project, or into that of the server.
fn tell(write: &mut Write<'_>, kind: EventKind, token: &Token) {
    let event = Event::run(kind)
        .with("name", token.name.as_str())
        .with("scope", store::token::word(token.scope).as_str());
    write.event(token.scope.project(), None, &event);
}

fn with_text(token: &Token, fresh: &Fresh) -> TokenOut {
    TokenOut { token: Some(fresh.text.expose().clone()), ..token.shown() }
}

fn make() -> Result<Fresh, ApiError> {
    credential::make(Kind::Token).map_err(|error| {
        tracing::error!(%error, "a request failed");
        ApiError::Internal
    })
}

fn taken(error: StoreError) -> ApiError {
    match error {
        StoreError::Conflict(_) => ApiError::conflict(
            "token_name_taken",
            "a token of that name is in force; choose another name, or revoke or rotate that one",
        ),
        StoreError::NotFound { .. }
        | StoreError::Archived(_)
        | StoreError::RunArchived(_)
        | StoreError::FencedOut(_)
        | StoreError::Corrupt { .. }
        | StoreError::Db(_) => error.into(),
    }
}

/// A name is recorded as the actor of events, so it is plain.
fn name(name: &str) -> Result<String, ApiError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-');
    let legal = (1..=NAME_MOST).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.ends_with(' ')
        && name.chars().all(is_plain);
    if legal {
        return Ok(name.to_owned());
    }
    Err(ApiError::invalid(
        &["body", "name"],
        "must be 1 to 64 letters, digits, blanks, dots, dashes or underscores, a letter or digit first",
    ))
}

fn scope(new: &NewToken) -> Result<Scope, ApiError> {
    match (new.scope, new.project_id) {
        (TokenScope::Admin, None) => Ok(Scope::All),
        (TokenScope::Project, Some(id)) => Ok(Scope::Project(ProjectId(id))),
        (TokenScope::Admin, Some(_)) => Err(ApiError::invalid(
            &["body", "project_id"],
            "must be left out: an admin token sees every project",
        )),
        (TokenScope::Project, None) => {
            Err(ApiError::invalid(&["body", "project_id"], "must name the project the token is limited to"))
        }
    }
}

fn expiry(door: &Door, text: Option<&str>) -> Result<Option<i64>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    match text.parse::<jiff::Timestamp>().map(jiff::Timestamp::as_millisecond) {
        Ok(end) if end > door.app.clock.now() => Ok(Some(end)),
        Ok(_) => Err(ApiError::invalid(&["body", "expires_at"], "must lie in the future")),
        Err(_) => {
            Err(ApiError::invalid(&["body", "expires_at"], "must be a time such as 2030-01-31T12:00:00.000Z"))
        }
    }
}
