//! A log as it grows, as server-sent events: what is there already first, then what comes, then `end`.
//! A piece is read when the one before it was taken, so a reader who is slow costs one piece and no more.

use std::{convert::Infallible, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::Response,
};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;
use utoipa::IntoParams;

use super::{find, logs};
use crate::{
    api::{
        Door, answer,
        error::ApiError,
        extract::{Path, Query},
        pass::Pass,
    },
    metrics,
    store::call::Call,
};

/// Bytes of a piece.
const PIECE: u64 = 65_536;
/// Longest silence.
const SILENCE: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How to follow a log.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Follow {
    /// Byte at which to begin.
    #[param(minimum = 0)]
    offset: Option<i64>,
    /// Time between two looks, in milliseconds.
    #[param(minimum = 200, maximum = 10_000)]
    poll_interval_ms: Option<i64>,
}

/// Follows a log as server-sent events.
///
/// `event: log` carries a piece (as `/logs/tail` gives it) and its `next_offset` as id; a reader that comes
/// back with `Last-Event-ID` goes on there. `event: end` comes once, when the run has ended and everything
/// was sent; the stream ends with it.
#[utoipa::path(get, path = "/runs/{run_id}/logs/stream", tag = "runs",
    params(("run_id" = String, Path, description = "Call run, or job"), Follow),
    responses((status = 200, description = "The log as it grows", body = String,
        content_type = "text/event-stream")))]
pub async fn stream(
    State(door): State<Door>,
    pass: Pass,
    Path(run_id): Path<String>,
    headers: HeaderMap,
    Query(asked): Query<Follow>,
) -> Result<Response, ApiError> {
    let offset = logs::offset(asked.offset)?;
    let poll = match asked.poll_interval_ms {
        None => Duration::from_secs(1),
        Some(ms @ 200..=10_000) => Duration::from_millis(ms.unsigned_abs()),
        Some(_) => {
            return Err(ApiError::invalid(&["query", "poll_interval_ms"], "must be from 200 to 10000"));
        }
    };
    let resumed = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    let offset = resumed.unwrap_or(offset);
    let mut tx = door.app.db.read().await?;
    let call = find(&mut tx, pass.caller().scope(), &run_id).await?;
    drop(tx);
    // A log that cannot be read is a plain 404, not a stream of nothing.
    logs::piece(&door.app.config.home, &call, offset, 1).await?;
    let follower = Follower {
        pass,
        door,
        call,
        offset,
        poll,
        spoke: Instant::now(),
        looked: false,
        ended: false,
        _counted: metrics::Stream::new(),
    };
    let frames = futures_util::stream::unfold(follower, |mut follower| async move {
        let frame = follower.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(frame)), follower))
    });
    let mut response = Response::new(Body::from_stream(frames));
    let head = response.headers_mut();
    head.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    head.insert(BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// One reader of one log.
struct Follower {
    door: Door,
    pass: Pass,
    call: Call,
    offset: u64,
    poll: Duration,
    /// When something was sent last.
    spoke: Instant,
    /// The log was read to its end since the row was.
    looked: bool,
    ended: bool,
    _counted: metrics::Stream,
}

impl Follower {
    /// The next frame, when there is one; `None` after the last.
    async fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        loop {
            if self.looked && !self.call.is_over() {
                let quiet = SILENCE.saturating_sub(self.spoke.elapsed());
                tokio::time::sleep(self.poll.min(quiet)).await;
                if !self.pass.holds(&self.door).await {
                    return None;
                }
                // A database that is away is asked again; a run that is gone breaks the stream off.
                if self.look_again().await.is_err_and(|error| error != ApiError::Unavailable) {
                    return None;
                }
            }
            let read = logs::piece(&self.door.app.config.home, &self.call, self.offset, PIECE).await;
            let piece = read.ok()?;
            self.looked = piece.eof;
            if piece.next > self.offset {
                let next = piece.next;
                let told = logs::told(&self.call, self.offset, piece);
                self.offset = next;
                self.spoke = Instant::now();
                let data = String::from_utf8_lossy(&answer::json(&told)).into_owned();
                return Some(format!("id: {next}\nevent: log\ndata: {data}\n\n"));
            }
            // The row was read before the file: what was over then has no more to say.
            if self.call.is_over() && piece.eof {
                self.ended = true;
                let data = json!({ "run_id": self.call.id.0, "next_offset": self.offset });
                return Some(format!("event: end\ndata: {data}\n\n"));
            }
            if self.spoke.elapsed() >= SILENCE {
                self.spoke = Instant::now();
                return Some(": heartbeat\n\n".to_owned());
            }
        }
    }

    async fn look_again(&mut self) -> Result<(), ApiError> {
        let mut tx = self.door.app.db.read().await?;
        self.call = find(&mut tx, self.pass.caller().scope(), &self.call.id.0).await?;
        Ok(())
    }
}
