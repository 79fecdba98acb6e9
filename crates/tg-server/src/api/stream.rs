//! The live stream of the timeline: first what the reader missed, from the table, then news as they
//! are committed. No gap: it listens before it looks. No repeat: it knows the last event it sent. It
//! buffers nothing for a reader that does not read.

use std::convert::Infallible;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequestParts, State},
    http::{HeaderName, HeaderValue, header, request::Parts},
    response::Response,
};
use futures_util::FutureExt as _;
use serde::Deserialize;
use tg_core::{
    event::{Category, EventKind},
    ids::{ProjectId, RunId, StepId},
    scope::Scope,
    wire::EventOut,
};
use tokio::{
    sync::broadcast::error::{RecvError, TryRecvError},
    time::{Interval, MissedTickBehavior, interval_at},
};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{Door, error::ApiError, extract::Query, pass::Pass, route::Routes, tail};
use crate::{
    feed::{News, Receiver},
    metrics,
    store::{self, StoreError, event::Filter},
};

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new().member(routes!(stream))
}

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Events read from the table at once.
const PAGE: i64 = 200;
/// Bytes after which a chunk is sent.
const CHUNK: usize = 32 * 1024;
/// Says when to come back, in milliseconds.
const RETRY: u32 = 2000;
/// A sign of life.
const BEAT: &[u8] = b": still here\n\n";
/// The reader fell too far behind: its next connection starts where it left off, or anew.
const RESYNC: &[u8] = b"event: resync\ndata: {}\n\n";

/// Which events to stream.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct StreamEvents {
    /// Of this project.
    project_id: Option<i64>,
    /// Of this run.
    protocol_run_id: Option<i64>,
    /// Of this step.
    step_run_id: Option<i64>,
    /// Of this type.
    #[param(inline)]
    event_type: Option<EventKind>,
    /// Of this area of work.
    #[param(inline)]
    kind: Option<Category>,
    /// Begin after the event with this sequence number; `Last-Event-ID` goes before it.
    #[param(minimum = 0)]
    after: Option<i64>,
}

/// Streams events as they are committed (server-sent events).
///
/// `id` is the sequence number, `event` the type, `data` the event as JSON. With `Last-Event-ID` or
/// `after` the stream begins with what came later; without, with what comes from now on. A comment is
/// sent every 15 s. `event: resync` ends a stream whose reader fell too far behind: read the lists
/// anew and connect again.
#[utoipa::path(get, path = "/events/stream", operation_id = "stream_events", tag = "events",
    params(StreamEvents, ("Last-Event-ID" = Option<i64>, Header, description = "Sequence number of the last event seen", example = 1041)),
    responses((status = 200, description = "A stream without end", body = EventOut, content_type = "text/event-stream")))]
async fn stream(
    State(door): State<Door>,
    pass: Pass,
    LastEventId(last_event_id): LastEventId,
    Query(asked): Query<StreamEvents>,
) -> Result<Response, ApiError> {
    let filter = Filter {
        project: asked.project_id.map(ProjectId),
        run: asked.protocol_run_id.map(RunId),
        step: asked.step_run_id.map(StepId),
        event_type: asked.event_type.map(|kind| kind.as_str().to_owned()),
        category: asked.kind,
        ..Filter::default()
    };
    if asked.after.is_some_and(|after| after < 0) {
        return Err(ApiError::invalid(&["query", "after"], "must not be negative"));
    }
    let mut tx = door.app.db.read().await?;
    store::event::known(&mut tx, pass.caller().scope(), &filter).await?;
    // The newest one that this reader may see: other projects' activity shows in no id of this stream.
    let newest = store::event::newest(&mut tx, pass.caller().scope(), &filter).await?;
    drop(tx);
    let last = last_event_id.or(asked.after).map_or(newest, |after| after.min(newest));
    let reader = Reader::new(door, pass, filter, last);
    let chunks = futures_util::stream::unfold(reader, Reader::next);
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    Ok(response)
}

/// `Last-Event-ID`: where a reader that comes back goes on.
struct LastEventId(Option<i64>);

impl<S: Sync> FromRequestParts<S> for LastEventId {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        let id = parts.headers.get(LAST_EVENT_ID).map(|value| {
            let id = value.to_str().ok().and_then(|text| text.trim().parse().ok()).filter(|id| *id >= 0);
            id.ok_or_else(|| {
                ApiError::invalid(&["header", "Last-Event-ID"], "must be an event's sequence number")
            })
        });
        Ok(Self(id.transpose()?))
    }
}

/// One open stream.
struct Reader {
    door: Door,
    pass: Pass,
    filter: Filter,
    /// Everything up to here was sent or is not for this reader.
    last: i64,
    stage: Stage,
    beat: Interval,
    _counted: metrics::Stream,
}

enum Stage {
    /// Nothing was sent yet.
    New,
    /// The table holds more.
    Behind,
    /// Up to date: news come by themselves.
    Live(Receiver),
    /// The last word was said.
    Over,
}

impl Reader {
    fn new(door: Door, pass: Pass, filter: Filter, last: i64) -> Self {
        let period = door.app.feed.pace().heartbeat;
        let mut beat = interval_at(tokio::time::Instant::now() + period, period);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let counted = metrics::Stream::new();
        Self { door, pass, filter, last, stage: Stage::New, beat, _counted: counted }
    }

    /// The next bytes; `None` ends the stream.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        loop {
            let mut chunk = Vec::new();
            let stage = std::mem::replace(&mut self.stage, Stage::Over);
            self.stage = match stage {
                Stage::Over => return None,
                Stage::New => {
                    // An id from the first moment: a reader that is cut off before any event misses none.
                    chunk.extend_from_slice(format!("retry: {RETRY}\nid: {}\n\n", self.last).as_bytes());
                    Stage::Behind
                }
                Stage::Behind => {
                    if self.beat.tick().now_or_never().is_some() {
                        self.show_life(&mut chunk).await?;
                    }
                    match self.read_up(&mut chunk).await {
                        Ok(stage) => stage,
                        Err(error) => {
                            tracing::warn!(%error, "a stream ends: the timeline cannot be read");
                            return None;
                        }
                    }
                }
                Stage::Live(receiver) => self.hear(receiver, &mut chunk).await?,
            };
            if !chunk.is_empty() {
                return Some((Ok(chunk.into()), self));
            }
        }
    }

    /// A sign of life, unless the token no longer holds.
    async fn show_life(&self, chunk: &mut Vec<u8>) -> Option<()> {
        chunk.extend_from_slice(BEAT);
        self.pass.holds(&self.door).await.then_some(())
    }

    /// One page from the table.
    async fn read_up(&mut self, chunk: &mut Vec<u8>) -> Result<Stage, StoreError> {
        // Before the look: what is committed after it then comes by itself.
        let receiver = tail::listen(&self.door.app).await?;
        self.filter.after = Some(self.last);
        let mut tx = self.door.app.db.read().await?;
        let events = store::event::since(&mut tx, self.pass.caller().scope(), &self.filter, PAGE).await?;
        drop(tx);
        for event in &events {
            chunk.extend_from_slice(&tail::frame(event));
            self.last = event.seq;
        }
        let is_full = i64::try_from(events.len()).is_ok_and(|count| count == PAGE);
        Ok(if is_full { Stage::Behind } else { Stage::Live(receiver) })
    }

    /// Waits for news or the time for a sign of life; `None` ends the stream.
    async fn hear(&mut self, mut receiver: Receiver, chunk: &mut Vec<u8>) -> Option<Stage> {
        tokio::select! {
            biased;
            _ = self.beat.tick() => {
                self.show_life(chunk).await?;
                return Some(Stage::Live(receiver));
            }
            heard = receiver.recv() => match heard {
                Ok(news) => self.take(&news, chunk).await?,
                Err(RecvError::Lagged(missed)) => return Some(self.fell_behind(missed, chunk)),
                Err(RecvError::Closed) => return None,
            },
        }
        while chunk.len() < CHUNK {
            match receiver.try_recv() {
                Ok(news) => self.take(&news, chunk).await?,
                Err(TryRecvError::Lagged(missed)) => return Some(self.fell_behind(missed, chunk)),
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        Some(Stage::Live(receiver))
    }

    /// Sends an event that is for this reader; `None` ends the stream.
    async fn take(&mut self, news: &News, chunk: &mut Vec<u8>) -> Option<()> {
        if news.seq <= self.last {
            return Some(());
        }
        // It may be this reader's own token that is gone.
        let is_about_tokens = [EventKind::TokenRevoked, EventKind::ProjectTokenRotated]
            .iter()
            .any(|kind| kind.as_str() == news.event_type);
        if is_about_tokens && !self.pass.holds(&self.door).await {
            return None;
        }
        self.last = news.seq;
        if is_for(self.pass.caller().scope(), &self.filter, news) {
            chunk.extend_from_slice(&news.frame);
        }
        Some(())
    }

    fn fell_behind(&self, missed: u64, chunk: &mut Vec<u8>) -> Stage {
        if missed <= self.door.app.feed.pace().far {
            return Stage::Behind;
        }
        chunk.extend_from_slice(RESYNC);
        Stage::Over
    }
}

/// The filter of the lists, for an event that comes by itself.
fn is_for(scope: &Scope, filter: &Filter, news: &News) -> bool {
    scope.project().is_none_or(|id| news.project == Some(id.0))
        && filter.project.is_none_or(|id| news.project == Some(id.0))
        && filter.run.is_none_or(|id| news.run == Some(id.0))
        && filter.step.is_none_or(|id| news.step == Some(id.0))
        && filter.event_type.as_ref().is_none_or(|kind| *kind == news.event_type)
        && filter.category.is_none_or(|category| category.as_str() == news.category)
}
