//! Pages of lists: newest first, a limit from 1 to 500, and a cursor that names the last item seen.
//! A cursor is only a position; what is listed is decided by the scope of each request.

use std::str::FromStr;

use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::{answer, error::ApiError};

/// Most items of a page.
pub const MOST: i64 = 500;

/// Items of a page: what was asked, or `default`.
pub fn limit(asked: Option<i64>, default: i64) -> Result<i64, ApiError> {
    match asked {
        None => Ok(default),
        Some(limit) if (1..=MOST).contains(&limit) => Ok(limit),
        Some(_) => Err(ApiError::invalid(&["query", "limit"], "must be from 1 to 500")),
    }
}

/// The key after which the page begins. A cursor looks like `event-17`: the list it belongs to and the
/// key of the last item seen.
pub fn before<K: FromStr>(cursor: Option<&str>, list: &str) -> Result<Option<K>, ApiError> {
    let Some(cursor) = cursor else { return Ok(None) };
    let key = cursor.strip_prefix(list).and_then(|rest| rest.strip_prefix('-'));
    match key.and_then(|key| key.parse().ok()) {
        Some(key) => Ok(Some(key)),
        None => Err(ApiError::invalid(
            &["query", "cursor"],
            "is no cursor of this list; take it from X-Next-Cursor of the page before, or leave it out",
        )),
    }
}

/// Cuts what was read (one more than the limit) to the page, and names the next one.
pub fn cut<T, K: std::fmt::Display>(
    mut items: Vec<T>,
    limit: i64,
    list: &str,
    key: impl FnOnce(&T) -> K,
) -> (Vec<T>, Option<String>) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(|last| format!("{list}-{}", key(last)));
    (items, next)
}

/// One page of a list.
pub struct Page {
    body: Vec<u8>,
    next: Option<String>,
}

/// The cursor of the next page; the gate makes the `Link` of it, because it knows the address.
#[derive(Debug, Clone)]
pub struct Next(pub String);

impl Page {
    /// These items, and where the next page begins.
    pub fn new<T: Serialize>(items: &[T], next: Option<String>) -> Self {
        Self { body: answer::json(&items), next }
    }

    /// A page whose JSON array is written already.
    pub const fn written(body: Vec<u8>, next: Option<String>) -> Self {
        Self { body, next }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = answer::json_response(self.body);
        if let Some(next) = self.next {
            response.extensions_mut().insert(Next(next));
        }
        response
    }
}
