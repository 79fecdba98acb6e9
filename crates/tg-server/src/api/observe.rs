//! What is told of a request: the span that its log lines and its jobs belong to, one log line when it
//! is answered, and its place in the metrics. Changes nothing about the request.

use std::time::Duration;

use axum::{
    extract::Request,
    http::{HeaderMap, HeaderName, Method, StatusCode},
};
use tracing::{Span, field::Empty};

use super::serve::Peer;
use crate::metrics;

const RUN: HeaderName = HeaderName::from_static("x-protocol-run-id");
const STEP: HeaderName = HeaderName::from_static("x-step-run-id");

/// A request under way, as it is told.
pub struct Told {
    /// Everything that happens for this request happens in here.
    pub span: Span,
    method: Method,
    path: String,
    peer: Option<Peer>,
}

impl Told {
    /// Opens the span of a request. At the highest level: a quiet log still names the request.
    pub fn new(request: &Request, request_id: &str, template: &str) -> Self {
        let span = tracing::error_span!(
            "request",
            request_id,
            route = template,
            protocol_run_id = Empty,
            step_run_id = Empty
        );
        for (name, header) in [("protocol_run_id", RUN), ("step_run_id", STEP)] {
            if let Some(id) = number(request.headers(), &header) {
                span.record(name, id);
            }
        }
        Self {
            span,
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            peer: request.extensions().get().copied(),
        }
    }

    /// Tells that the answer begins: reads that went well only to those who want to know everything.
    pub fn answered(&self, template: &str, status: StatusCode, took: Duration) {
        metrics::request(template, self.method.as_str(), status.as_u16(), took.as_secs_f64());
        let is_read = matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS);
        let (method, path) = (self.method.as_str(), self.path.as_str());
        let status_code = status.as_u16();
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let client = self.peer.map(|peer| tracing::field::display(peer.0));
        let _inside = self.span.enter();
        if is_read && status.as_u16() < 400 {
            tracing::debug!(method, path, status_code, duration_ms, client, "request");
        } else {
            tracing::info!(method, path, status_code, duration_ms, client, "request");
        }
    }
}

/// An id that a client says its request is about; anything else is not repeated.
fn number(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    headers.get(name)?.to_str().ok()?.parse().ok().filter(|id| *id > 0)
}
