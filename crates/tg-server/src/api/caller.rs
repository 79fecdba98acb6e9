//! Who sent the request that a handler answers, and what the request said beside its body. Made by the
//! gate; a handler only reads it.

use std::sync::{Arc, OnceLock};

use axum::{
    extract::FromRequestParts,
    http::{Method, request::Parts},
};
use serde::Serialize;
use tg_core::{
    ids::ProjectId,
    scope::{Principal, Scope},
};

use super::{answer, error::ApiError};

/// The sender of a request; cheap to clone.
#[derive(Debug, Clone)]
pub struct Caller(Arc<Called>);

/// What the gate found out about a request.
#[derive(Debug)]
pub struct Called {
    /// Who.
    pub principal: Principal,
    /// Id of the request: the sender's, or one that was made.
    pub request_id: String,
    /// Method.
    pub method: Method,
    /// Path as sent, without the query.
    pub path: String,
    /// Key under which the answer is kept, if the sender gave one.
    pub key: Option<Key>,
    /// `If-Match`.
    pub if_match: Option<String>,
    /// `If-None-Match`.
    pub if_none_match: Option<String>,
    /// Set when the handler began a change: failures of shared commits that the database knew then.
    pub began: OnceLock<u64>,
}

/// An `Idempotency-Key` and what it was sent with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub key: String,
    /// Hex SHA-256 of the body.
    pub body_sha256: String,
}

impl Caller {
    /// A caller as the gate found it.
    pub fn new(called: Called) -> Self {
        Self(Arc::new(called))
    }

    /// Everything that is known.
    pub fn called(&self) -> &Called {
        &self.0
    }

    /// What the caller may see.
    pub fn scope(&self) -> &Scope {
        &self.0.principal.scope
    }

    /// Name recorded as the actor of events.
    pub fn actor(&self) -> &str {
        &self.0.principal.name
    }

    /// Id of the request.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// A project that the caller names: another one than its own does not exist for it.
    pub fn sees(&self, project: ProjectId) -> Result<(), ApiError> {
        match self.scope().project() {
            Some(own) if own != project => Err(ApiError::missing("project", project)),
            Some(_) | None => Ok(()),
        }
    }

    /// The admin only, where a route's rule depends on what was asked.
    pub fn must_be_admin(&self) -> Result<(), ApiError> {
        if self.0.principal.is_admin() { Ok(()) } else { Err(ApiError::Forbidden) }
    }

    /// Refuses a change of an object that is no longer what `If-Match` names.
    pub fn if_match<T: Serialize>(&self, current: &T) -> Result<(), ApiError> {
        let Some(wanted) = &self.0.if_match else { return Ok(()) };
        let tag = answer::etag(&answer::json(current));
        let holds = wanted.trim() == "*" || wanted.split(',').any(|given| given.trim() == tag);
        if holds { Ok(()) } else { Err(ApiError::Precondition) }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        // The gate puts one there for every route that is not open.
        parts.extensions.get::<Self>().cloned().ok_or(ApiError::Unauthorized)
    }
}
