//! Who sent a request: the token in its headers, compared in constant time. A query never holds one.

use axum::http::{HeaderMap, header};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tg_core::scope::{Principal, Scope};

use super::{Door, error::ApiError};

/// Header of a project's token.
const PROJECT_TOKEN: &str = "x-project-token";

/// The principal that these headers prove.
pub async fn principal(door: &Door, headers: &HeaderMap) -> Result<Principal, ApiError> {
    let token = token(headers).ok_or(ApiError::Unauthorized)?;
    let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    if bool::from(digest.ct_eq(door.admin_digest())) {
        return Ok(Principal { name: "admin".to_owned(), scope: Scope::All });
    }
    Err(ApiError::Unauthorized)
}

/// The token as sent.
fn token(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim());
    }
    headers.get(PROJECT_TOKEN)?.to_str().ok()
}
