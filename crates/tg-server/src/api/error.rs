//! How the HTTP door says no: RFC 9457 `application/problem+json` with a stable code. Text of a server
//! error never tells what is inside.

use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::Map;
use tg_core::wire::Problem;

/// A refused request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApiError {
    /// No such route.
    NoRoute,
    /// The route exists, the method does not.
    Method,
}

impl ApiError {
    const fn status(self) -> StatusCode {
        match self {
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
        }
    }

    const fn code(self) -> &'static str {
        match self {
            Self::NoRoute => "not_found",
            Self::Method => "method_not_allowed",
        }
    }

    const fn detail(self) -> &'static str {
        match self {
            Self::NoRoute => "no such route; this server answers /health and /ready",
            Self::Method => "this route is read with GET",
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: self.code().to_owned(),
            detail: self.detail().to_owned(),
            request_id: None,
            errors: Vec::new(),
            more: Map::new(),
        };
        let mut response = (status, Json(problem)).into_response();
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}
