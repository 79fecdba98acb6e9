//! Logs of calls, as a whole and piece by piece. A log is text of an agent: it is sent as plain text, and
//! never held in memory as a whole.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tg_core::{layout::Home, wire::LogTail};
use utoipa::IntoParams;

use super::{
    find,
    log_file::{self, Piece},
    ranges::{self, Wanted},
};
use crate::{
    api::{
        Door, answer,
        caller::Caller,
        error::ApiError,
        extract::{Path, Query},
    },
    store::call::Call,
};

/// Bytes read at once.
const CHUNK: u64 = 64 * 1024;
/// Bytes of a piece when nobody says how many.
const PIECE: u64 = 65_536;
/// Fewest and most bytes of a piece.
const PIECE_RANGE: std::ops::RangeInclusive<i64> = 1024..=1_000_000;

/// Reads the log of a call run.
///
/// `Range` with one range of bytes is honoured.
#[utoipa::path(get, path = "/runs/{run_id}/logs", tag = "runs",
    params(("run_id" = String, Path, description = "Call run, or job")),
    responses(
        (status = 200, description = "The log", body = String, content_type = "text/plain"),
        (status = 206, description = "The part that was asked for", body = String, content_type = "text/plain"),
        (status = 416, description = "The log is not that long", body = tg_core::wire::Problem,
            content_type = "application/problem+json")))]
pub async fn whole(
    State(door): State<Door>,
    caller: Caller,
    Path(run_id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let mut tx = door.app.db.read().await?;
    let call = find(&mut tx, caller.scope(), &run_id).await?;
    drop(tx);
    let home = door.app.config.home.clone();
    let id = call.id.clone();
    let opened = log_file::blocking(move || match log_file::open(&home, &id)? {
        Some(file) => Ok(Some((file.metadata()?.len(), file))),
        None => Ok(None),
    });
    let (length, file) = opened.await?.filter(|_| call.has_log).ok_or_else(|| unavailable(&call))?;
    let mut response = part(file, length, &headers);
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    if response.status().is_success() {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    Ok(response)
}

/// A file, or the part of it that was asked for.
pub fn part(file: File, length: u64, headers: &HeaderMap) -> Response {
    let (status, first, count) = match ranges::wanted(headers, length) {
        Wanted::Whole => (StatusCode::OK, 0, length),
        Wanted::Part(first, last) => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Wanted::Nothing => {
            let error = ApiError::Coded {
                status: StatusCode::RANGE_NOT_SATISFIABLE,
                code: "range_not_satisfiable",
                detail: format!("the file has {length} bytes; ask for a range within them"),
            };
            return with(error.into_response(), header::CONTENT_RANGE, &format!("bytes */{length}"));
        }
    };
    let mut response = Response::new(Body::from_stream(chunks(file, first, count)));
    *response.status_mut() = status;
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{length}", first + count - 1);
        response = with(response, header::CONTENT_RANGE, &range);
    }
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    with(response, header::CONTENT_LENGTH, &count.to_string())
}

fn with(mut response: Response, name: header::HeaderName, value: &str) -> Response {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

/// Reads a part of a file chunk by chunk, each when the one before it was taken.
fn chunks(
    file: File,
    first: u64,
    count: u64,
) -> impl futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static {
    futures_util::stream::unfold((file, first, count), |(mut file, at, left)| async move {
        if left == 0 {
            return None;
        }
        let read = tokio::task::spawn_blocking(move || {
            file.seek(SeekFrom::Start(at))?;
            let mut bytes = Vec::new();
            (&mut file).take(left.min(CHUNK)).read_to_end(&mut bytes)?;
            if bytes.is_empty() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
            }
            Ok((file, bytes))
        });
        match read.await.map_err(io::Error::other).and_then(|read| read) {
            Ok((file, bytes)) => {
                let count = u64::try_from(bytes.len()).unwrap_or(left);
                Some((Ok(Bytes::from(bytes)), (file, at + count, left - count)))
            }
            Err(error) => {
                tracing::warn!(%error, "a file of a call cannot be read to its end");
                None
            }
        }
    })
}

/// Which piece of a log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Tail {
    /// Byte at which it begins.
    #[param(minimum = 0, example = 0)]
    offset: Option<i64>,
    /// Most bytes of it.
    #[param(minimum = 1024, maximum = 1_000_000, example = 65_536)]
    max_bytes: Option<i64>,
}

/// Reads a piece of a log.
///
/// Offsets count bytes. A piece ends between two characters, and the next one begins at `next_offset`: no
/// byte is lost or told twice.
#[utoipa::path(get, path = "/runs/{run_id}/logs/tail", tag = "runs",
    params(("run_id" = String, Path, description = "Call run, or job"), Tail),
    responses((status = 200, description = "The piece", body = LogTail)))]
pub async fn tail(
    State(door): State<Door>,
    caller: Caller,
    Path(run_id): Path<String>,
    Query(asked): Query<Tail>,
) -> Result<Response, ApiError> {
    let offset = offset(asked.offset)?;
    let most = match asked.max_bytes {
        None => PIECE,
        Some(most) if PIECE_RANGE.contains(&most) => u64::try_from(most).unwrap_or(PIECE),
        Some(_) => {
            return Err(ApiError::invalid(&["query", "max_bytes"], "must be from 1024 to 1000000"));
        }
    };
    let mut tx = door.app.db.read().await?;
    let call = find(&mut tx, caller.scope(), &run_id).await?;
    drop(tx);
    let piece = piece(&door.app.config.home, &call, offset, most).await?;
    Ok(answer::json_response(answer::json(&told(&call, offset, piece))))
}

/// Byte at which to begin.
pub fn offset(asked: Option<i64>) -> Result<u64, ApiError> {
    u64::try_from(asked.unwrap_or_default())
        .map_err(|_| ApiError::invalid(&["query", "offset"], "must not be negative"))
}

/// Reads a piece. The row was read before the file, so a log of a run that was over then is complete.
pub async fn piece(home: &Home, call: &Call, offset: u64, most: u64) -> Result<Piece, ApiError> {
    let (home, id, is_over) = (home.clone(), call.id.clone(), call.is_over());
    let read = log_file::blocking(move || match log_file::open(&home, &id)? {
        Some(mut file) => log_file::piece(&mut file, offset, most, is_over).map(Some),
        None => Ok(None),
    });
    match read.await? {
        Some(piece) if call.has_log => Ok(piece),
        // Its log is made when its engine starts.
        None if call.has_log && !is_over => Ok(Piece { text: String::new(), next: offset, eof: true }),
        Some(_) | None => Err(unavailable(call)),
    }
}

/// A piece as it is sent.
pub fn told(call: &Call, offset: u64, piece: Piece) -> LogTail {
    LogTail {
        run_id: call.id.0.clone(),
        offset,
        next_offset: piece.next,
        eof: piece.eof,
        finished: call.is_over(),
        chunk: piece.text,
    }
}

fn unavailable(call: &Call) -> ApiError {
    ApiError::Coded {
        status: StatusCode::NOT_FOUND,
        code: "log_unavailable",
        detail: format!("call run {} has no log, or it was pruned with age", call.id),
    }
}
