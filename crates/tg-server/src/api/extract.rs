//! What handlers take out of a request: ids of the path, the query, a JSON body. Whatever does not
//! parse is told with its place; nothing is replaced by a default.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Request},
    http::{HeaderMap, header, request::Parts},
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::{Path as Place, Segment};
use tg_core::wire::FieldError;

use super::error::ApiError;

/// Ids of the path. What cannot be an id names nothing, so it is not found.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(ids)) => Ok(Self(ids)),
            Err(_) => Err(ApiError::missing("object", parts.uri.path())),
        }
    }
}

/// The query. Unknown names are refused by the type (`deny_unknown_fields`).
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let pairs = form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let reader = serde_urlencoded::Deserializer::new(pairs);
        match serde_path_to_error::deserialize(reader) {
            Ok(query) => Ok(Self(query)),
            Err(error) => {
                Err(ApiError::Invalid(vec![field("query", error.path(), &error.inner().to_string())]))
            }
        }
    }
}

/// A JSON body that must be there.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = says_json(request.headers());
        let body = whole(request, state).await?;
        if !is_json {
            return Err(ApiError::MediaType);
        }
        read(&body).map(Self)
    }
}

/// A JSON body that may be left out.
pub struct MaybeJson<T>(pub T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for MaybeJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let is_json = says_json(request.headers());
        let body = whole(request, state).await?;
        if body.is_empty() {
            return Ok(Self(T::default()));
        }
        if !is_json {
            return Err(ApiError::MediaType);
        }
        read(&body).map(Self)
    }
}

/// The gate has read the body already, within its limits.
async fn whole<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, state).await.map_err(|_| ApiError::TooLarge)
}

fn says_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // Every body is an object; a list would be taken for its fields in order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(ApiError::Invalid(vec![field_at(
            vec!["body".into()],
            "invalid type: a list, expected an object",
        )]));
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| ApiError::Invalid(vec![field("body", error.path(), &error.inner().to_string())]))?;
    reader
        .end()
        .map_err(|error| ApiError::Invalid(vec![field_at(vec!["body".into()], &error.to_string())]))?;
    Ok(value)
}

/// The place of an error as keys and indices, with its text.
fn field(part: &str, place: &Place, message: &str) -> FieldError {
    let mut loc: Vec<Value> = vec![part.into()];
    for segment in place {
        match segment {
            Segment::Seq { index } => loc.push((*index).into()),
            Segment::Map { key } => loc.push(key.as_str().into()),
            Segment::Enum { variant } => loc.push(variant.as_str().into()),
            Segment::Unknown => {}
        }
    }
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split('`').next());
    if let Some(name) = named
        && loc.last().and_then(Value::as_str) != Some(name)
    {
        loc.push(name.into());
    }
    field_at(loc, message)
}

fn field_at(loc: Vec<Value>, message: &str) -> FieldError {
    let kind = if message.starts_with("missing field") {
        "missing"
    } else if message.starts_with("unknown field") {
        "unknown_field"
    } else if message.starts_with("invalid type") {
        "type"
    } else if message.starts_with("unknown variant") {
        "choice"
    } else {
        "value"
    };
    FieldError { loc, msg: message.to_owned(), kind: kind.to_owned() }
}
