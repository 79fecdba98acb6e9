//! Answers that are not errors: one object with its tag, the outcome of a change.

use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tg_core::canonical::sha256_hex;

use super::caller::Caller;

/// Says that an answer was given before, under the same key.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The JSON of one of our own objects.
pub fn json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("our own types have string keys and no failing serializer")
}

/// A 200 with this JSON.
pub fn json_response(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Tag of a body: it changes exactly when the body does.
pub fn etag(body: &[u8]) -> String {
    format!("\"{}\"", &sha256_hex(body)[..32])
}

/// One object, or 304 when the caller has it already.
pub struct One {
    body: Option<Vec<u8>>,
    tag: String,
}

impl One {
    /// This object for this caller.
    pub fn new<T: Serialize>(caller: &Caller, value: &T) -> Self {
        let body = json(value);
        let tag = etag(&body);
        let known = caller.called().if_none_match.as_deref().is_some_and(|given| {
            given.trim() == "*" || given.split(',').any(|one| one.trim().trim_start_matches("W/") == tag)
        });
        Self { body: (!known).then_some(body), tag }
    }
}

impl IntoResponse for One {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => json_response(body),
            None => StatusCode::NOT_MODIFIED.into_response(),
        };
        if let Ok(tag) = HeaderValue::from_str(&self.tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        response
    }
}

/// What a change answers: status, where the object is, its JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200, 201 or 204.
    pub status: u16,
    /// Address of a new object.
    pub location: Option<String>,
    /// JSON text; `None` for 204.
    pub body: Option<String>,
    /// It was given before, under the same key.
    pub is_replayed: bool,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = match self.body {
            Some(body) => json_response(body.into_bytes()),
            None => Response::new(Body::empty()),
        };
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        let headers = response.headers_mut();
        if let Some(location) = self.location.and_then(|place| HeaderValue::from_str(&place).ok()) {
            headers.insert(header::LOCATION, location);
        }
        if self.is_replayed {
            headers.insert(REPLAYED, HeaderValue::from_static("true"));
        }
        response
    }
}
