//! Routes of sessions: how a browser signs in without keeping a token, who one is, and signing out.

use std::time::Duration;

use axum::{
    extract::State,
    http::{HeaderValue, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use tg_core::wire::{MeOut, NewSession, SessionOut, timestamp};
use utoipa_axum::routes;

use super::{
    Door, answer,
    auth::{self, COOKIE, Knock},
    error::ApiError,
    extract::MaybeJson,
    route::Routes,
};
use crate::{
    credential::{self, Kind},
    store::{self, session::Opener, token::word},
};

/// How long a session lasts.
const LIFE: Duration = Duration::from_hours(24);

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new().open(routes!(open)).open(routes!(me)).open(routes!(end))
}

/// Opens a session
///
/// With a bearer, or with the `code` of a login link, which works once and for ten minutes. The cookie
/// `tgz_session` of the answer stands for whoever opened the session, for a day at most, and ends with
/// the token behind it.
#[utoipa::path(post, path = "/auth/session", operation_id = "open_session", tag = "auth", request_body = Option<NewSession>,
    security(("bearer" = []), ("project_token" = []), ()),
    responses((status = 200, description = "The session", body = SessionOut),
              (status = 401, description = "No token and no code that works", body = tg_core::wire::Problem, content_type = "application/problem+json"),
              (status = 403, description = "Asked by a foreign page", body = tg_core::wire::Problem, content_type = "application/problem+json")))]
async fn open(
    State(door): State<Door>,
    parts: Parts,
    MaybeJson(new): MaybeJson<NewSession>,
) -> Result<Response, ApiError> {
    // A foreign page must not sign a browser in as somebody of its choice.
    if parts.headers.contains_key(header::ORIGIN) && !door.keeper().hosts.is_same_origin(&parts.headers) {
        return Err(ApiError::WrongOrigin);
    }
    let knock = Knock::of_parts(&parts);
    let (name, opener) = if let Some(code) = new.code {
        ("admin".to_owned(), by_code(&door, knock, &code).await?)
    } else {
        let visitor = auth::bearer(&door, knock).await?.ok_or(ApiError::Unauthorized)?;
        (visitor.principal.name, visitor.opener)
    };
    let now = door.app.clock.now();
    let mut expires_at = now.saturating_add(i64::try_from(LIFE.as_millis()).unwrap_or(i64::MAX));
    let mut scope = tg_core::scope::Scope::All;
    if let Opener::Token(token) = &opener {
        scope = token.scope;
        expires_at = token.expires_at.map_or(expires_at, |end| end.min(expires_at));
    }
    let fresh = credential::make(Kind::Session).map_err(|error| internal(&error))?;
    let mut tx = door.app.db.begin().await?;
    store::session::open(&mut tx, &fresh.stored, &opener, now, expires_at).await?;
    tx.commit().await?;
    let shown = SessionOut {
        principal: name,
        scope: word(scope),
        project_id: scope.project().map(|id| id.0),
        expires_at: timestamp(expires_at),
    };
    let mut response = answer::json_response(answer::json(&shown));
    let seconds = (expires_at - now).max(0) / 1000;
    set_cookie(&door, &mut response, &format!("{}; Max-Age={seconds}", fresh.text.expose()))?;
    Ok(response)
}

/// Uses the code of a login link up: it stands for the admin.
async fn by_code(door: &Door, knock: Knock<'_>, code: &str) -> Result<Opener, ApiError> {
    door.keeper().may_guess(knock.peer)?;
    let stored = credential::read(Kind::LoginCode, code);
    let mark = door.keeper().admin_mark();
    let (Some(stored), Some(mark)) = (stored, mark) else { return Err(door.keeper().failed(knock.peer)) };
    let now = door.app.clock.now();
    // Looked at before it is used up: whoever guesses must not hold the writers up.
    let mut tx = door.app.db.read().await?;
    let is_open = store::session::is_open(&mut tx, &stored, now).await?;
    drop(tx);
    if is_open {
        let mut tx = door.app.db.begin().await?;
        let is_ours = store::session::redeem(&mut tx, &stored, now).await?;
        // A refusal waits as well: who used the code up may not have committed yet.
        tx.commit().await?;
        if is_ours {
            return Ok(Opener::Admin { mark });
        }
    }
    Err(door.keeper().failed(knock.peer))
}

/// Says who one is
#[utoipa::path(get, path = "/auth/me", operation_id = "show_me", tag = "auth",
    security(("bearer" = []), ("project_token" = []), ("session" = [])),
    responses((status = 200, description = "The principal", body = MeOut),
              (status = 401, description = "Nobody", body = tg_core::wire::Problem, content_type = "application/problem+json")))]
async fn me(State(door): State<Door>, parts: Parts) -> Result<Response, ApiError> {
    let principal = auth::principal(&door, Knock::of_parts(&parts)).await?;
    let shown = MeOut {
        enabled: false,
        scope: word(principal.scope),
        project_id: principal.scope.project().map(|id| id.0),
        user: principal.name,
    };
    Ok(answer::json_response(answer::json(&shown)))
}

/// Ends a session
///
/// At the server too: the cookie is of no use to anybody afterwards. Tokens are not touched.
#[utoipa::path(post, path = "/auth/logout", operation_id = "end_session", tag = "auth",
    security(("session" = []), ()),
    responses((status = 204, description = "Ended, or there was none"),
              (status = 403, description = "Asked by a foreign page", body = tg_core::wire::Problem, content_type = "application/problem+json")))]
async fn end(State(door): State<Door>, parts: Parts) -> Result<Response, ApiError> {
    let cookie = Knock::of_parts(&parts).cookie();
    if cookie.is_some() && !door.keeper().hosts.is_same_origin(&parts.headers) {
        return Err(ApiError::WrongOrigin);
    }
    if let Some(stored) = cookie.and_then(|cookie| credential::read(Kind::Session, cookie)) {
        let mut tx = door.app.db.begin().await?;
        store::session::end(&mut tx, &stored.digest).await?;
        tx.commit().await?;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    set_cookie(&door, &mut response, "; Max-Age=0")?;
    Ok(response)
}

/// Sets the session cookie; `value` is its text and how long it lasts.
fn set_cookie(door: &Door, response: &mut Response, value: &str) -> Result<(), ApiError> {
    let secure = if door.app.config.access.is_cookie_secure() { "; Secure" } else { "" };
    let text = format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict{secure}");
    let mut value = HeaderValue::from_str(&text).map_err(|error| internal(&error))?;
    value.set_sensitive(true);
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(())
}

fn internal(error: &dyn std::fmt::Display) -> ApiError {
    tracing::error!(%error, "a request failed");
    ApiError::Internal
}
