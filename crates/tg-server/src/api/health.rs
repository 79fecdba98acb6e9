//! `/health` answers while the process lives; `/ready` says whether work can be done here.
//! Neither starts a process: engines are looked at by whoever serves and handed in.

use std::{
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, Instant},
};

use axum::{Json, extract::State, http::StatusCode};
use tg_core::wire::{
    DatabaseCheck, DiskCheck, EngineCheck, EngineOut, Health, QueueCheck, Readiness, Ready, ReadyChecks,
};
use utoipa_axum::routes;

use super::{Door, metrics::LastLook, route::Routes};
use crate::{
    app::App,
    queue::depth::{self, Depth},
    store::StoreError,
};

/// What the process knows of itself; cheap to clone, shared with whoever refreshes it.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    known: Arc<RwLock<Known>>,
    last_look: LastLook,
}

#[derive(Debug, Default)]
struct Known {
    engines: Vec<KnownEngine>,
    workers: i64,
    worker_name: String,
}

/// An engine as it was found at the last look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownEngine {
    /// As people are told.
    pub engine: EngineOut,
    /// What it says of its version.
    pub version: Option<String>,
}

impl Facts {
    /// Replaces what is known of the engines.
    pub fn set_engines(&self, engines: Vec<KnownEngine>) {
        self.known.write().unwrap_or_else(PoisonError::into_inner).engines = engines;
    }

    /// Says how many workers live in this process, and what they call themselves (`host:pid`).
    pub fn set_workers(&self, workers: i64, name: &str) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.workers = workers;
        name.clone_into(&mut known.worker_name);
    }

    /// What is known of the engines.
    pub(super) fn engines(&self) -> Vec<KnownEngine> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).engines.clone()
    }

    /// Workers of this process, at work or not, and those of others that hold a live lease.
    pub(super) fn workers_alive(&self, depth: &Depth) -> i64 {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let is_other = |name: &&String| known.workers == 0 || **name != known.worker_name;
        let others = depth.workers.iter().filter(is_other).count();
        known.workers + i64::try_from(others).unwrap_or(i64::MAX)
    }

    /// The last look of `/metrics` at the database.
    pub(super) const fn last_look(&self) -> &LastLook {
        &self.last_look
    }
}

/// Below this many free bytes the disk check fails: a run could not write its worktree and log.
pub const DISK_LEAST: u64 = 100 * 1024 * 1024;

/// A check that takes longer has failed.
const CHECK_LIMIT: Duration = Duration::from_secs(2);

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
    let began = Instant::now();
    let depth = match tokio::time::timeout(CHECK_LIMIT, look(&door.app)).await {
        Ok(Ok(depth)) => Some(depth),
        Ok(Err(error)) => {
            tracing::error!(%error, "the queue cannot be read");
            None
        }
        Err(_) => {
            tracing::error!("the queue cannot be read: the database does not answer");
            None
        }
    };
    let is_read = depth.is_some();
    let depth = depth.unwrap_or_default();
    let engines = door.facts.engines().into_iter().map(|found| EngineCheck {
        id: found.engine.id,
        available: found.engine.available,
        version: found.version,
    });
    let latency_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let free_bytes = free_bytes(&door.app.config.home.root);
    let checks = ReadyChecks {
        db: DatabaseCheck { ok: is_read, latency_ms },
        queue: QueueCheck {
            ok: is_read,
            waiting: depth.queued,
            oldest_seconds: depth.oldest_seconds,
            workers: door.facts.workers_alive(&depth),
        },
        redis: None,
        engines: engines.collect(),
        disk: DiskCheck { ok: free_bytes >= DISK_LEAST, free_bytes },
    };
    let ready = checks.into_ready();
    let status = match ready.status {
        Readiness::Ready | Readiness::Degraded => StatusCode::OK,
        Readiness::NotReady => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(ready))
}

async fn look(app: &App) -> Result<Depth, StoreError> {
    let mut tx = app.db.read().await?;
    depth::depth(&mut tx).await
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
