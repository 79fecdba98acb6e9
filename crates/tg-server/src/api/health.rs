//! `/health` answers while the process lives; `/ready` says whether work can be done here.
//! Neither starts a process: engines are looked at by whoever serves and handed in.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use axum::{Json, extract::State, http::StatusCode};
use tg_core::{
    job::JobStatus,
    wire::{DatabaseCheck, DiskCheck, EngineCheck, Health, QueueCheck, Readiness, Ready, ReadyChecks},
};

use utoipa_axum::routes;

use super::{Door, route::Routes};
use crate::{app::App, queue, store::StoreError};

/// What the process knows of itself; cheap to clone, shared with whoever refreshes it.
#[derive(Debug, Clone, Default)]
pub struct Facts(Arc<RwLock<Known>>);

#[derive(Debug, Default)]
struct Known {
    engines: Vec<EngineCheck>,
    workers: i64,
}

impl Facts {
    /// Replaces what is known of the engines.
    pub fn set_engines(&self, engines: Vec<EngineCheck>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).engines = engines;
    }

    /// Says how many workers live in this process.
    pub fn set_workers(&self, workers: i64) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).workers = workers;
    }

    fn get(&self) -> (Vec<EngineCheck>, i64) {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        (known.engines.clone(), known.workers)
    }
}

/// Below this many free bytes the disk check fails: a run could not write its worktree and log.
pub const DISK_LEAST: u64 = 100 * 1024 * 1024;

/// A check that takes longer has failed.
const CHECK_LIMIT: Duration = Duration::from_secs(5);

/// Jobs looked at for the queue check.
const QUEUE_SAMPLE: i64 = 1000;

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new().open(routes!(health)).open(routes!(ready))
}

/// Says that the process is alive.
#[utoipa::path(get, path = "/health", tag = "meta", responses((status = 200, description = "Alive", body = Health)))]
async fn health() -> Json<Health> {
    Json(Health::ok(env!("CARGO_PKG_VERSION")))
}

/// Says whether work can be done here.
#[utoipa::path(get, path = "/ready", tag = "meta", responses(
    (status = 200, description = "Ready, or degraded", body = Ready),
    (status = 503, description = "Database, queue or disk fails", body = Ready)))]
async fn ready(State(door): State<Door>) -> (StatusCode, Json<Ready>) {
    let (engines, workers) = door.facts.get();
    let began = Instant::now();
    let (db, queue) = match tokio::time::timeout(CHECK_LIMIT, waiting(&door.app)).await {
        Ok(Ok((count, oldest))) => {
            (true, QueueCheck { ok: true, waiting: count, oldest_seconds: oldest, workers })
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the queue cannot be read");
            (false, QueueCheck { ok: false, waiting: 0, oldest_seconds: 0, workers })
        }
        Err(_) => {
            tracing::error!("the queue cannot be read: the database does not answer");
            (false, QueueCheck { ok: false, waiting: 0, oldest_seconds: 0, workers })
        }
    };
    let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let free_bytes = free_bytes(&door.app.config.home.root);
    let checks = ReadyChecks {
        db: DatabaseCheck { ok: db, latency_ms },
        queue,
        redis: None,
        engines,
        disk: DiskCheck { ok: free_bytes >= DISK_LEAST, free_bytes },
    };
    let ready = checks.into_ready();
    let status = match ready.status {
        Readiness::Ready | Readiness::Degraded => StatusCode::OK,
        Readiness::NotReady => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(ready))
}

/// Jobs that are due, and for how many seconds the oldest has been.
async fn waiting(app: &App) -> Result<(i64, i64), StoreError> {
    let mut tx = app.db.read().await?;
    let jobs = queue::list(&mut tx, Some(JobStatus::Queued), QUEUE_SAMPLE).await?;
    let now = queue::now(&mut tx).await?;
    let oldest = jobs.iter().map(|job| (now - job.run_at).max(0) / 1000).max().unwrap_or(0);
    Ok((i64::try_from(jobs.len()).unwrap_or(i64::MAX), oldest))
}

/// Bytes an unprivileged process may still write below this directory; 0 when it cannot be asked.
pub fn free_bytes(directory: &std::path::Path) -> u64 {
    match rustix::fs::statvfs(directory) {
        Ok(space) => space.f_bavail.saturating_mul(space.f_frsize),
        Err(error) => {
            tracing::error!(%error, directory = %directory.display(), "free space cannot be read");
            0
        }
    }
}
