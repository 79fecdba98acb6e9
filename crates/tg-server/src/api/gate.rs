//! What happens to every request on its way in and out: its id, who sent it and whether they may, the
//! cap and the deadline of its body, the deadline of its answer, and the headers every answer carries.
//! Knows no resource.

use std::{panic::AssertUnwindSafe, sync::OnceLock, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header},
    middleware::Next,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt as _;
use tg_core::canonical::sha256_hex;
use tokio::time::{Instant, timeout};
use tracing::Instrument as _;

use super::{
    Door,
    answer::REPLAYED,
    auth,
    caller::{Called, Caller, Key},
    error::{ApiError, Refusal},
    observe::Told,
    page,
    route::Access,
};

/// Most bytes of a body.
pub const BODY_MOST: usize = 1024 * 1024;
/// Most bytes of a body on an open route.
const OPEN_BODY_MOST: usize = 16 * 1024;
/// Time until the answer begins. A stream may go on as long as it likes.
const ANSWER_TIME: Duration = Duration::from_secs(30);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const NEXT_CURSOR: HeaderName = HeaderName::from_static("x-next-cursor");

/// The way of a request through the door.
pub async fn gate(State(door): State<Door>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let request_id = request_id(request.headers());
    let uri = request.uri().clone();
    let template = request.extensions().get::<MatchedPath>().cloned();
    let template = template.as_ref().map_or("unmatched", MatchedPath::as_str);
    let told = Told::new(&request, &request_id, template);
    let answered = async {
        match enter(&door, request, &request_id, template).await {
            Ok(request) => answer(settled(&door, request, next)).await,
            Err(error) => error.into_response(),
        }
    };
    let mut response = answered.instrument(told.span.clone()).await;
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        refusal.write(&mut response, &request_id);
    }
    finish(&mut response, &request_id, &uri);
    told.answered(template, response.status(), began.elapsed());
    response
}

/// Checks a request and hands it on with its caller and its whole body.
async fn enter(door: &Door, request: Request, request_id: &str, template: &str) -> Result<Request, ApiError> {
    if !door.keeper().hosts.is_named(request.headers(), request.uri()) {
        return Err(ApiError::WrongHost);
    }
    let access = door.rule(template, request.method());
    let principal = match access {
        None | Some(Access::Open) => None,
        Some(access @ (Access::Member | Access::Admin)) => {
            let principal = auth::principal(door, auth::Knock::of(&request)).await?;
            if access == Access::Admin && !principal.is_admin() {
                return Err(ApiError::Forbidden);
            }
            Some(principal)
        }
    };
    let (mut parts, body) = request.into_parts();
    let key = parts.headers.get(IDEMPOTENCY_KEY).filter(|_| parts.method == Method::POST);
    let key = key.map(key_text).transpose()?;
    let body = if matches!(parts.method, Method::GET | Method::HEAD) {
        Bytes::new()
    } else {
        // Who was not asked for a token gets little of our memory.
        let most = if principal.is_some() { BODY_MOST } else { OPEN_BODY_MOST };
        door.bodies().whole(body, most).await?
    };
    if let Some(principal) = principal {
        let text = |name: HeaderName| parts.headers.get(name)?.to_str().ok().map(str::to_owned);
        let called = Called {
            principal,
            request_id: request_id.to_owned(),
            method: parts.method.clone(),
            path: parts.uri.path().to_owned(),
            key: key.map(|key| Key { key, body_sha256: sha256_hex(&body) }),
            if_match: text(header::IF_MATCH),
            if_none_match: text(header::IF_NONE_MATCH),
            began: OnceLock::new(),
        };
        parts.extensions.insert(Caller::new(called));
    }
    Ok(Request::from_parts(parts, Body::from(body)))
}

fn key_text(value: &HeaderValue) -> Result<String, ApiError> {
    let text = value.to_str().ok().filter(|text| (1..=255).contains(&text.len()));
    text.map(str::to_owned).ok_or_else(|| {
        ApiError::invalid(&["header", "Idempotency-Key"], "must be 1 to 255 visible characters")
    })
}

/// Lets the handler answer. A panic in it is a 500 that tells nothing of it.
async fn answer(told: impl Future<Output = Response>) -> Response {
    match timeout(ANSWER_TIME, AssertUnwindSafe(told).catch_unwind()).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => {
            tracing::error!("a request was given up: its handler panicked");
            ApiError::Internal.into_response()
        }
        Err(_) => ApiError::Timeout.into_response(),
    }
}

/// What the handler answers. What was told after a look at others' changes, a refusal or an answer from
/// before, waits until they are committed; a change of its own has waited already.
async fn settled(door: &Door, request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().cloned();
    let response = next.run(request).await;
    let looked = caller.as_ref().and_then(|caller| caller.called().began.get());
    let is_own = response.status().is_success() && !response.headers().contains_key(REPLAYED);
    match looked.filter(|_| !is_own) {
        None => response,
        Some(before) => match door.app.db.settled(*before).await {
            Ok(()) => response,
            Err(error) => ApiError::from(error).into_response(),
        },
    }
}

/// The sender's id when it is one, else a new one.
fn request_id(headers: &HeaderMap) -> String {
    let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let is_id = |text: &&str| {
        (1..=128).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
    };
    given.filter(is_id).map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

/// Headers that every answer carries.
fn finish(response: &mut Response, request_id: &str, uri: &Uri) {
    let next = response.extensions_mut().remove::<page::Next>();
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers
        .entry(header::CONTENT_SECURITY_POLICY)
        .or_insert(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Some(page::Next(cursor)) = next {
        if let Ok(link) = HeaderValue::from_str(&next_link(uri, &cursor)) {
            headers.insert(header::LINK, link);
        }
        if let Ok(cursor) = HeaderValue::from_str(&cursor) {
            headers.insert(NEXT_CURSOR, cursor);
        }
    }
}

/// The same address with the cursor of the next page.
fn next_link(uri: &Uri, cursor: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
        if name != "cursor" {
            query.append_pair(&name, &value);
        }
    }
    query.append_pair("cursor", cursor);
    format!("<{}?{}>; rel=\"next\"", uri.path(), query.finish())
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware, routing::get};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_that_tells_nothing_of_it() {
        async fn broken() -> &'static str {
            panic!("hunter2 is inside")
        }
        let router = Router::new()
            .route("/", get(broken))
            .layer(middleware::from_fn(|request, next: Next| answer(next.run(request))));
        let request = Request::builder().uri("/").body(Body::empty()).unwrap();
        let mut response = router.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 500);
        let refusal = response.extensions_mut().remove::<Refusal>().unwrap();
        let problem = serde_json::to_string(&refusal.0.problem("r1")).unwrap();
        assert!(problem.contains("\"internal\"") && !problem.contains("hunter2"), "{problem}");
    }
}
