//! Calls to the real router in this process, in the words of a test. No socket; what a socket adds
//! (caps of headers, deadlines of connections) is tested over one.

use std::net::SocketAddr;

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header},
};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::{
    api::{self, Facts, Keeper},
    app::App,
    credential::{AdminToken, Digest},
};

/// The admin's token in tests.
pub const ADMIN: &str = "admin-token-of-a-test-0123456789abcdef";

/// A door that tests knock at.
#[derive(Clone)]
pub struct Api {
    router: Router,
}

/// A request being put together.
pub struct Call {
    router: Router,
    request: Request<Body>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Got {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
}

impl Api {
    /// The door of this application.
    pub fn new(app: &App) -> Self {
        Self::with_facts(app, Facts::default())
    }

    /// The door of this application, of a process that knows these facts.
    pub fn with_facts(app: &App, facts: Facts) -> Self {
        let admin = AdminToken::Setting(Digest::of(ADMIN));
        let keeper = Keeper::new(&app.config, admin, SocketAddr::from(([127, 0, 0, 1], 8010)));
        Self { router: api::router(app.clone(), facts, keeper) }
    }

    /// The router itself, for a test that serves it on a socket.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// A request without a token.
    ///
    /// # Panics
    /// When method or path cannot be in a request.
    pub fn call(&self, method: &str, path: &str) -> Call {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "127.0.0.1:8010")
            .body(Body::empty())
            .expect("a request");
        Call { router: self.router.clone(), request }
    }

    /// `GET` as the admin.
    pub async fn get(&self, path: &str) -> Got {
        self.call("GET", path).as_admin().send().await
    }

    /// `POST` of a JSON body as the admin.
    pub async fn post(&self, path: &str, body: &Value) -> Got {
        self.call("POST", path).as_admin().json(body).send().await
    }
}

impl Call {
    /// With the admin's token.
    #[must_use]
    pub fn as_admin(self) -> Self {
        self.token(ADMIN)
    }

    /// With this bearer token.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// With this header.
    ///
    /// # Panics
    /// When it cannot be a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
        self.request.headers_mut().insert(name, HeaderValue::from_str(value).expect("a header value"));
        self
    }

    /// With this JSON body.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// With these bytes as the body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    /// The answer's head, its body unread: for streams.
    ///
    /// # Panics
    /// Never: the router answers every request.
    pub async fn open(self) -> axum::response::Response {
        self.router.oneshot(self.request).await.expect("the router answers every request")
    }

    /// The whole answer.
    ///
    /// # Panics
    /// When the body breaks off.
    pub async fn send(self) -> Got {
        let (parts, body) = self.open().await.into_parts();
        let body = to_bytes(body, usize::MAX).await.expect("the whole body");
        Got { status: parts.status, headers: parts.headers, body }
    }
}

impl Got {
    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| unreadable(&error, &self.body))
    }

    /// A header as text; empty when absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Status and stable code of a problem; the code is empty for anything else.
    pub fn refusal(&self) -> (u16, String) {
        let code = serde_json::from_slice::<Value>(&self.body)
            .ok()
            .and_then(|body| Some(body.get("code")?.as_str()?.to_owned()));
        (self.status.as_u16(), code.unwrap_or_default())
    }
}

#[expect(clippy::panic, reason = "a test ends at what it did not expect")]
fn unreadable(error: &serde_json::Error, body: &[u8]) -> Value {
    panic!("{error}: {}", String::from_utf8_lossy(body))
}
