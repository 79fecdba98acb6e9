//! What a long answer was opened with: its token is asked for again while the answer goes on, so that a
//! token which is revoked ends what it opened. Decides nothing of what is sent.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, Method, header, request::Parts},
};

use super::{
    Door,
    auth::{self, Knock},
    caller::Caller,
    error::ApiError,
};

/// The caller of a long answer, and how they proved who they are.
pub struct Pass {
    caller: Caller,
    headers: HeaderMap,
}

impl Pass {
    /// Who opened it.
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The same proof still shows the same caller. What cannot be asked does not hold.
    pub async fn holds(&self, door: &Door) -> bool {
        let knock = Knock { headers: &self.headers, method: &Method::GET, peer: None };
        let now = auth::visitor(door, knock).await;
        now.is_ok_and(|now| now.principal == self.caller.called().principal)
    }
}

impl<S: Sync> FromRequestParts<S> for Pass {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let mut headers = HeaderMap::new();
        for name in [header::AUTHORIZATION, header::COOKIE, HeaderName::from_static("x-project-token")] {
            headers.extend(parts.headers.get_all(&name).iter().map(|value| (name.clone(), value.clone())));
        }
        let caller = Caller::from_request_parts(parts, state).await?;
        Ok(Self { caller, headers })
    }
}
