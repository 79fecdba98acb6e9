//! `/metrics`: totals of the fleet from the database, what is live there, and the series of this
//! process. Counts no history, and asks the database at most once a second however often it is scraped.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    http::header,
    response::{IntoResponse, Response},
};
use tokio::sync::Mutex;
use utoipa_axum::routes;

use super::{
    Door,
    auth::{self, Knock},
    caller::Caller,
    route::Routes,
};
use crate::{
    app::App,
    db::tally::OTHER,
    metrics::{
        self,
        family::{self, Family, Kind},
        text::{CONTENT_TYPE, Text},
    },
    queue::depth::{self, Depth},
    store::{
        StoreError,
        tally::{self, Tally},
    },
};

/// How long one look at the database serves.
const FRESH: Duration = Duration::from_secs(1);
/// A database that takes longer is left out of the answer.
const LIMIT: Duration = Duration::from_secs(2);

/// The labels that only the admin is shown: what is in them belongs to a project.
const PROJECT: &str = "project_id";
const MODEL: &str = "model";

/// What the database said, and when.
type Seen = Option<(Instant, Arc<Fleet>)>;

/// The last look at the database, shared by all scrapes.
#[derive(Debug, Clone, Default)]
pub struct LastLook(Arc<Mutex<Seen>>);

#[derive(Debug)]
struct Fleet {
    tallies: Vec<Tally>,
    depth: Depth,
}

/// Labels of a series, by name.
type Labels = Vec<(String, String)>;

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new().open(routes!(show))
}

/// Shows the metrics of the fleet and of this process.
///
/// Prometheus text, version 0.0.4. Open unless `TASKSGODZILLA_METRICS_AUTH` is on; then the admin's token
/// is asked for. Ids of projects, and models that only a project names, are shown to the admin alone.
#[utoipa::path(get, path = "/metrics", tag = "meta", responses(
    (status = 200, description = "Metrics", body = String, content_type = "text/plain")))]
async fn show(State(door): State<Door>, request: Request) -> Response {
    let sees_projects = sees_projects(&door, request).await;
    let mut text = Text::default();
    match tokio::time::timeout(LIMIT, door.facts.last_look().fleet(&door.app)).await {
        Ok(Ok(fleet)) => write(&mut text, &door, &fleet, sees_projects),
        Ok(Err(error)) => {
            tracing::error!(%error, "the totals of the fleet cannot be read");
            text.note("the database failed: totals of the fleet are missing");
        }
        Err(_) => text.note("the database does not answer: totals of the fleet are missing"),
    }
    metrics::write(&mut text);
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], text.into_string()).into_response()
}

/// Only the admin sees what belongs to projects. Where the page is open, anybody sees the rest.
async fn sees_projects(door: &Door, request: Request) -> bool {
    let (parts, _) = request.into_parts();
    if let Some(caller) = parts.extensions.get::<Caller>() {
        return caller.called().principal.is_admin();
    }
    if !parts.headers.contains_key(header::AUTHORIZATION) {
        return false;
    }
    let visitor = auth::bearer(door, Knock::of_parts(&parts)).await;
    matches!(visitor, Ok(Some(visitor)) if visitor.principal.is_admin())
}

impl LastLook {
    /// What the database says; one look serves everybody who asks within a second.
    async fn fleet(&self, app: &App) -> Result<Arc<Fleet>, StoreError> {
        let mut last = self.0.lock().await;
        if let Some((_, fleet)) = last.as_ref().filter(|(when, _)| when.elapsed() < FRESH) {
            return Ok(fleet.clone());
        }
        let mut tx = app.db.read().await?;
        let fleet =
            Arc::new(Fleet { tallies: tally::list(&mut tx).await?, depth: depth::depth(&mut tx).await? });
        *last = Some((Instant::now(), fleet.clone()));
        Ok(fleet)
    }
}

fn write(text: &mut Text, door: &Door, fleet: &Fleet, sees_projects: bool) {
    let public = public_models(door);
    let shown = |labels: &Labels| {
        if sees_projects { labels.clone() } else { without_projects(labels, &public) }
    };
    for family in family::TALLIED {
        let own = fleet.tallies.iter().filter(|tally| tally.name == family.name);
        match family.kind {
            Kind::Counter | Kind::Gauge => counter(text, family, own, &shown),
            Kind::Histogram => histogram(text, family, own, &shown),
        }
    }
    let waiting = [("queued", fleet.depth.queued), ("scheduled", fleet.depth.scheduled)];
    text.family(&family::JOBS_WAITING);
    for (status, count) in waiting.into_iter().chain([("started", fleet.depth.started)]) {
        text.sample(family::JOBS_WAITING.name, &[("queue", "default"), ("status", status)], count);
    }
    text.family(&family::JOBS_OLDEST_WAITING);
    text.sample(family::JOBS_OLDEST_WAITING.name, &[("queue", "default")], fleet.depth.oldest_seconds);
    text.family(&family::WORKERS_ALIVE);
    text.sample::<&str>(family::WORKERS_ALIVE.name, &[], door.facts.workers_alive(&fleet.depth));
}

fn counter<'a>(
    text: &mut Text,
    family: &Family,
    own: impl Iterator<Item = &'a Tally>,
    shown: &impl Fn(&Labels) -> Labels,
) {
    let mut sums: BTreeMap<Labels, i64> = BTreeMap::new();
    for tally in own {
        *sums.entry(shown(&tally.labels)).or_default() += tally.total;
    }
    text.family(family);
    if sums.is_empty() && family.name == family::LEASES_LOST.name {
        // Has no labels, so it is there from the start.
        sums.insert(Labels::new(), 0);
    }
    for (labels, sum) in &sums {
        text.sample(family.name, &borrowed(labels), sum);
    }
}

/// A histogram, and before it the counter that the lengths of jobs make.
fn histogram<'a>(
    text: &mut Text,
    family: &Family,
    own: impl Iterator<Item = &'a Tally>,
    shown: &impl Fn(&Labels) -> Labels,
) {
    let mut series: BTreeMap<Labels, (Vec<u64>, i64, i64)> = BTreeMap::new();
    for tally in own {
        let (buckets, millis, count) =
            series.entry(shown(&tally.labels)).or_insert_with(|| (vec![0; family.bounds.len() + 1], 0, 0));
        *count += tally.count;
        *millis += tally.total;
        if !tally.bucket.is_empty() {
            let slot = family.bounds.iter().position(|(_, word)| *word == tally.bucket);
            let slot = slot.unwrap_or(family.bounds.len());
            buckets[slot] += u64::try_from(tally.count).unwrap_or_default();
        }
    }
    if family.name == family::JOB_DURATION.name {
        text.family(&family::JOBS_PROCESSED);
        for (labels, (_, _, count)) in &series {
            text.sample(family::JOBS_PROCESSED.name, &borrowed(labels), count);
        }
    }
    text.family(family);
    for (labels, (buckets, millis, _)) in &series {
        if buckets.iter().any(|count| *count > 0) {
            #[expect(clippy::cast_precision_loss, reason = "a sum of seconds needs no last digit")]
            text.histogram(family, &borrowed(labels), buckets, *millis as f64 / 1000.0);
        }
    }
}

fn borrowed(labels: &Labels) -> Vec<(&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// Models that the operator or an engine names; any other name is a project's own.
fn public_models(door: &Door) -> Vec<String> {
    let models = &door.app.config.models;
    let set = [&models.planning, &models.decompose, &models.exec, &models.qa];
    let set = set.into_iter().flatten().flat_map(|list| list.split(',')).map(str::to_owned);
    let defaults = door.facts.engines().into_iter().filter_map(|found| found.engine.default_model);
    set.chain(defaults).chain([tally::model(None).to_owned()]).collect()
}

/// Labels that say nothing of a project.
fn without_projects(labels: &Labels, public: &[String]) -> Labels {
    let kept = labels.iter().filter(|(name, _)| name != PROJECT);
    kept.map(|(name, value)| {
        let is_private = name == MODEL && !public.contains(value);
        (name.clone(), if is_private { OTHER.to_owned() } else { value.clone() })
    })
    .collect()
}
