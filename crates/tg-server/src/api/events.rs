//! Routes of the timeline: lists, and the check of its chain.

use std::io;

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use serde::Deserialize;
use tg_core::{
    event::{Category, EventKind},
    ids::{ProjectId, RunId, StepId},
    wire::{ChainCheck, EventOut},
};
use utoipa::IntoParams;
use utoipa_axum::routes;

use super::{
    Door, answer,
    caller::Caller,
    error::ApiError,
    extract::{Path, Query},
    page::{self, Page},
    route::Routes,
    tail,
};
use crate::{
    app::App,
    store::{
        self,
        event::{Filter, Key, Walk},
    },
};

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new()
        .member(routes!(list))
        .member(routes!(of_run))
        .member(routes!(of_step))
        .admin(routes!(verify))
}

/// Which events to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListEvents {
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
    /// At most this many; 50 if left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `X-Next-Cursor` of the page before.
    #[param(example = "event-1041")]
    cursor: Option<String>,
}

/// Which page of a run's or step's own events.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ListOwnEvents {
    /// At most this many; 100 if left out.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<i64>,
    /// `X-Next-Cursor` of the page before.
    #[param(example = "event-1041")]
    cursor: Option<String>,
}

/// Which chain to check.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct VerifyEvents {
    /// Of this project; all chains if left out.
    project_id: Option<i64>,
}

/// Lists events, newest first.
///
/// Filters hold together and apply before the limit.
#[utoipa::path(get, path = "/events", operation_id = "list_events", tag = "events", params(ListEvents),
    responses((status = 200, description = "A page", body = [EventOut])))]
async fn list(
    State(door): State<Door>,
    caller: Caller,
    Query(asked): Query<ListEvents>,
) -> Result<Page, ApiError> {
    let filter = Filter {
        project: asked.project_id.map(ProjectId),
        run: asked.protocol_run_id.map(RunId),
        step: asked.step_run_id.map(StepId),
        event_type: asked.event_type.map(|kind| kind.as_str().to_owned()),
        category: asked.kind,
        ..Filter::default()
    };
    page(&door, &caller, filter, page::limit(asked.limit, 50)?, asked.cursor.as_deref()).await
}

/// Lists the events of a run, newest first.
#[utoipa::path(get, path = "/protocols/{id}/events", operation_id = "list_protocol_events", tag = "events",
    params(("id" = i64, Path, description = "Run"), ListOwnEvents),
    responses((status = 200, description = "A page", body = [EventOut])))]
async fn of_run(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(asked): Query<ListOwnEvents>,
) -> Result<Page, ApiError> {
    let filter = Filter { run: Some(RunId(id)), ..Filter::default() };
    page(&door, &caller, filter, page::limit(asked.limit, 100)?, asked.cursor.as_deref()).await
}

/// Lists the events of a step, newest first.
#[utoipa::path(get, path = "/steps/{id}/events", operation_id = "list_step_events", tag = "events",
    params(("id" = i64, Path, description = "Step"), ListOwnEvents),
    responses((status = 200, description = "A page", body = [EventOut])))]
async fn of_step(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    Query(asked): Query<ListOwnEvents>,
) -> Result<Page, ApiError> {
    let filter = Filter { step: Some(StepId(id)), ..Filter::default() };
    page(&door, &caller, filter, page::limit(asked.limit, 100)?, asked.cursor.as_deref()).await
}

/// Name in the cursors of these lists.
const LIST: &str = "event";

/// Which events are on a page is read from the table under the caller's scope; what they look like is
/// kept, because it never changes.
async fn page(
    door: &Door,
    caller: &Caller,
    mut filter: Filter,
    limit: i64,
    cursor: Option<&str>,
) -> Result<Page, ApiError> {
    filter.before = page::before(cursor, LIST)?;
    let mut tx = door.app.db.read().await?;
    store::event::known(&mut tx, caller.scope(), &filter).await?;
    let keys = store::event::keys(&mut tx, caller.scope(), &filter, limit + 1).await?;
    let (keys, next) = page::cut(keys, limit, LIST, |key: &Key| key.seq);
    let named = || keys.iter().map(|key| (key.seq, key.project_name.as_str()));
    let found = door.app.feed.kept().array(named());
    if let Some(body) = found {
        return Ok(Page::written(body, next));
    }
    // The same snapshot, so the same events.
    let events = store::event::list(&mut tx, caller.scope(), &filter, limit).await?;
    let written: Vec<Bytes> = events.iter().map(tail::json).collect();
    let mut kept = door.app.feed.kept();
    for (event, json) in events.iter().zip(&written) {
        kept.put(event.seq, event.project_name.as_deref().unwrap_or_default(), json.clone());
    }
    drop(kept);
    Ok(Page::written(array(&written), next))
}

fn array(items: &[Bytes]) -> Vec<u8> {
    let mut body = Vec::with_capacity(2 + items.iter().map(|item| item.len() + 1).sum::<usize>());
    body.push(b'[');
    body.extend_from_slice(&items.join(&b','));
    body.push(b']');
    body
}

/// Checks the hash chain of the timeline.
///
/// The answer may take long to end: while the walk goes on, white space is sent.
#[utoipa::path(get, path = "/events/verify", operation_id = "verify_events", tag = "events", params(VerifyEvents),
    responses((status = 200, description = "What was found", body = ChainCheck)))]
async fn verify(
    State(door): State<Door>,
    caller: Caller,
    Query(asked): Query<VerifyEvents>,
) -> Result<Response, ApiError> {
    let project = asked.project_id.map(ProjectId);
    let mut tx = door.app.db.read().await?;
    store::event::known(&mut tx, caller.scope(), &Filter { project, ..Filter::default() }).await?;
    drop(tx);
    let walk = Some((door.app.clone(), Walk::new(project)));
    let chunks = futures_util::stream::try_unfold(walk, async |walk| {
        let Some((app, mut walk)) = walk else { return Ok(None) };
        if slice(&app, &mut walk).await? {
            return Ok::<_, io::Error>(Some((Bytes::from_static(b" "), Some((app, walk)))));
        }
        let found = walk.found();
        let first_bad_seq = found.first_bad.map(|(seq, _)| seq);
        let check = ChainCheck { ok: first_bad_seq.is_none(), checked: found.checked, first_bad_seq };
        Ok(Some((answer::json(&check).into(), None)))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// One slice in a transaction of its own: a long walk must hold no snapshot.
async fn slice(app: &App, walk: &mut Walk) -> io::Result<bool> {
    let mut tx = app.db.read().await.map_err(io::Error::other)?;
    walk.step(&mut tx).await.map_err(|error| {
        tracing::error!(%error, "the chain cannot be walked");
        io::Error::other(error)
    })
}
