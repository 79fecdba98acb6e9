//! How the HTTP door says no: RFC 9457 `application/problem+json` with a stable code. Text of a server
//! error never tells what is inside; it is logged instead.

use std::{fmt::Display, sync::Arc, time::Duration};

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use tg_core::{
    lifecycle::Refused,
    wire::{FieldError, Problem},
};

use super::{answer, answer::Answer};
use crate::{db::DbError, flow::FlowError, store::StoreError};

/// A refused request.
#[derive(Debug, Clone, PartialEq)]
pub enum ApiError {
    /// No such route.
    NoRoute,
    /// The route exists, the method does not.
    Method,
    /// No token, or a wrong one.
    Unauthorized,
    /// The right token, but the route is not for it.
    Forbidden,
    /// The request names another host than this server.
    WrongHost,
    /// A session was used by a page that is not ours.
    WrongOrigin,
    /// No such object, or one of another project.
    NotFound(String),
    /// It cannot be now: code and sentence.
    Conflict {
        /// Stable word.
        code: &'static str,
        /// Cause and remedy.
        detail: String,
    },
    /// Something has to be said first: 400 with code and sentence.
    Demand {
        /// Stable word.
        code: &'static str,
        /// Cause and remedy.
        detail: String,
    },
    /// What is said of one route only: status, code and sentence.
    Coded {
        /// Status.
        status: StatusCode,
        /// Stable word.
        code: &'static str,
        /// Cause and remedy.
        detail: String,
    },
    /// The lifecycle does not allow it.
    Refused(Refused),
    /// Fields that do not hold.
    Invalid(Vec<FieldError>),
    /// The object changed since it was read.
    Precondition,
    /// The body is too long.
    TooLarge,
    /// The body took too long to arrive.
    Slow,
    /// The body is not JSON.
    MediaType,
    /// The key was used with another body.
    KeyReused,
    /// A request with this key is at work.
    KeyInProgress,
    /// Too many requests.
    RateLimited {
        /// When to try again.
        after: Duration,
    },
    /// The database cannot be asked now.
    Unavailable,
    /// The work took too long.
    Timeout,
    /// Our fault; what happened is in the log.
    Internal,
    /// No error: the answer that was given before under the same key, which ends the handler as an
    /// error does.
    Replayed(Box<Answer>),
}

impl ApiError {
    /// No such object (`what`, e.g. `project`).
    pub fn missing(what: &str, id: impl Display) -> Self {
        Self::NotFound(format!("there is no {what} {id} here; the lists show what exists"))
    }

    /// 409 with a code of its own.
    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict { code, detail: detail.into() }
    }

    /// 422 about one field: its place and what is wrong.
    pub fn invalid(loc: &[&str], message: impl Into<String>) -> Self {
        let loc = loc.iter().map(|part| Value::from(*part)).collect();
        Self::Invalid(vec![FieldError { loc, msg: message.into(), kind: "value".to_owned() }])
    }

    const fn status(&self) -> StatusCode {
        match self {
            Self::NoRoute
            | Self::NotFound(_)
            | Self::Refused(Refused::NoStepReady | Refused::UnknownStep { .. }) => StatusCode::NOT_FOUND,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::WrongOrigin => StatusCode::FORBIDDEN,
            Self::WrongHost => StatusCode::MISDIRECTED_REQUEST,
            Self::Conflict { .. }
            | Self::KeyInProgress
            | Self::Refused(
                Refused::IllegalTransition { .. }
                | Refused::StepAlreadyActive { .. }
                | Refused::QaAlreadyQueued { .. },
            ) => StatusCode::CONFLICT,
            Self::Demand { .. } => StatusCode::BAD_REQUEST,
            Self::Coded { status, .. } => *status,
            Self::Invalid(_) | Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Precondition => StatusCode::PRECONDITION_FAILED,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::RateLimited { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Unavailable | Self::Timeout => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Replayed(_) => StatusCode::OK,
        }
    }

    /// The stable word for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoRoute | Self::NotFound(_) | Self::Refused(Refused::UnknownStep { .. }) => "not_found",
            Self::Method => "method_not_allowed",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::WrongHost => "wrong_host",
            Self::WrongOrigin => "wrong_origin",
            Self::Conflict { code, .. } | Self::Demand { code, .. } | Self::Coded { code, .. } => code,
            Self::Refused(Refused::IllegalTransition { .. }) => "illegal_transition",
            Self::Refused(Refused::StepAlreadyActive { .. }) => "step_already_active",
            Self::Refused(Refused::QaAlreadyQueued { .. }) => "qa_already_queued",
            Self::Refused(Refused::NoStepReady) => "no_step_ready",
            Self::Invalid(_) => "validation_failed",
            Self::Precondition => "precondition_failed",
            Self::TooLarge => "payload_too_large",
            Self::Slow => "request_timeout",
            Self::MediaType => "unsupported_media_type",
            Self::KeyReused => "idempotency_key_reused",
            Self::KeyInProgress => "idempotency_in_progress",
            Self::RateLimited { .. } => "rate_limited",
            Self::Unavailable | Self::Timeout => "unavailable",
            Self::Internal => "internal",
            Self::Replayed(_) => "replayed",
        }
    }

    fn detail(&self) -> String {
        let fixed = match self {
            Self::NotFound(detail)
            | Self::Conflict { detail, .. }
            | Self::Demand { detail, .. }
            | Self::Coded { detail, .. } => {
                return detail.clone();
            }
            Self::Refused(refused) => return refused.to_string(),
            Self::Invalid(errors) => return told(errors),
            Self::RateLimited { after } => {
                return format!("too many requests; try again in {} s", after.as_secs().max(1));
            }
            Self::NoRoute => "there is no such route; /docs lists them",
            Self::Method => "the route does not know this method; /docs lists what it knows",
            Self::Unauthorized => {
                "no valid token was sent; put one in `Authorization: Bearer` or `X-Project-Token`"
            }
            Self::Forbidden => "this token may not do that; use an admin token",
            Self::WrongHost => {
                "this server is not known by that name; use its own address, or set TASKSGODZILLA_PUBLIC_URL to the name"
            }
            Self::WrongOrigin => {
                "a session may only be used by pages of this server; send a matching `Origin`, or a token"
            }
            Self::Precondition => "the object has changed since it was read; read it again",
            Self::TooLarge => "the body is longer than 1 MiB",
            Self::Slow => "the body did not arrive in time; send it again",
            Self::MediaType => {
                "the body has the wrong type; send the `Content-Type` that /docs names for this route"
            }
            Self::KeyReused => "this Idempotency-Key was used with another body; take a new key",
            Self::KeyInProgress => "a request with this Idempotency-Key is at work; try again",
            Self::Unavailable => "the database does not answer now; try again",
            Self::Timeout => "the work took too long and was given up; try again",
            Self::Internal => "the server failed; its log has the cause under this request id",
            Self::Replayed(_) => "answered before",
        };
        fixed.to_owned()
    }

    /// Both sides of a refused transition.
    fn more(&self) -> Map<String, Value> {
        let members = match self {
            Self::Refused(Refused::IllegalTransition { entity, id, current, requested, legal_from }) => {
                json!({
                    "entity": entity, "id": id, "current": current, "requested": requested, "legal_from": legal_from,
                })
            }
            Self::Refused(Refused::StepAlreadyActive { active }) => json!({ "active_step_id": active.0 }),
            Self::Refused(
                Refused::QaAlreadyQueued { .. } | Refused::NoStepReady | Refused::UnknownStep { .. },
            )
            | Self::NoRoute
            | Self::Method
            | Self::Unauthorized
            | Self::Forbidden
            | Self::WrongHost
            | Self::WrongOrigin
            | Self::NotFound(_)
            | Self::Conflict { .. }
            | Self::Demand { .. }
            | Self::Coded { .. }
            | Self::Invalid(_)
            | Self::Precondition
            | Self::TooLarge
            | Self::Slow
            | Self::MediaType
            | Self::KeyReused
            | Self::KeyInProgress
            | Self::RateLimited { .. }
            | Self::Unavailable
            | Self::Timeout
            | Self::Internal
            | Self::Replayed(_) => Value::Null,
        };
        match members {
            Value::Object(members) => members,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Map::new()
            }
        }
    }

    /// The body a person or program reads.
    pub fn problem(&self, request_id: &str) -> Problem {
        let status = self.status();
        let errors = if let Self::Invalid(errors) = self { errors.clone() } else { Vec::new() };
        Problem {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: self.code().to_owned(),
            detail: self.detail(),
            request_id: Some(request_id.to_owned()),
            errors,
            more: self.more(),
        }
    }
}

fn told(errors: &[FieldError]) -> String {
    let one = |error: &FieldError| {
        let place: Vec<String> = error
            .loc
            .iter()
            .map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned))
            .collect();
        format!("{}: {}", place.join("."), error.msg)
    };
    errors.iter().map(one).collect::<Vec<_>>().join("; ")
}

/// What the gate makes a body of, because it knows the id of the request.
#[derive(Debug, Clone)]
pub struct Refusal(pub Arc<ApiError>);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        if let Self::Replayed(answer) = self {
            return answer.into_response();
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status();
        if let Self::RateLimited { after } = &self {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
        }
        if self == Self::Unauthorized {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Refusal(Arc::new(self)));
        response
    }
}

impl Refusal {
    /// Writes the body of a refused request.
    pub fn write(&self, response: &mut Response, request_id: &str) {
        let body = answer::json(&self.0.problem(request_id));
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        *response.body_mut() = Body::from(body);
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound { table, id } => Self::missing(object_of(table), id),
            StoreError::Conflict(detail) => Self::conflict("conflict", detail),
            StoreError::Archived(_) => Self::conflict("project_archived", error.to_string()),
            StoreError::RunArchived(_) => Self::conflict("protocol_archived", error.to_string()),
            StoreError::Db(error) => error.into(),
            StoreError::FencedOut(_) | StoreError::Corrupt { .. } => {
                tracing::error!(%error, "a request failed");
                Self::Internal
            }
        }
    }
}

/// How people call a row of this table.
fn object_of(table: &str) -> &str {
    match table {
        "projects" => "project",
        "protocol_runs" => "protocol run",
        "step_runs" => "step",
        "codex_runs" => "call run",
        "run_artifacts" => "artifact",
        "jobs" => "job",
        "access_tokens" => "token",
        "review_comments" => "review comment",
        other => other,
    }
}

impl From<DbError> for ApiError {
    fn from(error: DbError) -> Self {
        tracing::error!(%error, "the database failed a request");
        Self::Unavailable
    }
}

impl From<FlowError> for ApiError {
    fn from(error: FlowError) -> Self {
        match error {
            FlowError::Refused(refused) => refused.into(),
            FlowError::Store(error) => error.into(),
        }
    }
}
