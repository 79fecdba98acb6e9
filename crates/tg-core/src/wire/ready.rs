//! Bodies of `/health` and `/ready`, and how single checks add up.
//! Nothing is checked here.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `/health`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({ "status": "ok", "version": "1.0.0" })))]
pub struct Health {
    /// Always `ok`: whoever answers is alive.
    pub status: String,
    /// Version of the program.
    pub version: String,
}

impl Health {
    /// The process answers.
    pub fn ok(version: &str) -> Self {
        Self { status: "ok".to_owned(), version: version.to_owned() }
    }
}

/// Body of `/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({
    "status": "ready",
    "checks": {
        "db": { "ok": true, "latency_ms": 1 },
        "queue": { "ok": true, "waiting": 0, "oldest_seconds": 0, "workers": 1 },
        "engines": [{ "id": "codex", "available": true, "version": "0.169.0" }],
        "disk": { "ok": true, "free_bytes": 53_687_091_200u64 }
    }
})))]
pub struct Ready {
    /// Sum of the checks.
    pub status: Readiness,
    /// The checks.
    pub checks: ReadyChecks,
}

crate::status::words! {
    /// Whether work can be done here.
    Readiness {
        /// All well.
        Ready = "ready",
        /// Answers, but an engine or worker is missing.
        Degraded = "degraded",
        /// Database, queue or disk fails: 503.
        NotReady = "not_ready",
    }
}

/// Checks of `/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReadyChecks {
    /// Database.
    pub db: DatabaseCheck,
    /// Queue.
    pub queue: QueueCheck,
    /// Redis, when configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisCheck>,
    /// Engines known.
    pub engines: Vec<EngineCheck>,
    /// Disk of the state directory.
    pub disk: DiskCheck,
}

/// Database check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DatabaseCheck {
    /// It answers.
    pub ok: bool,
    /// Milliseconds it took.
    pub latency_ms: u64,
}

/// Queue check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueCheck {
    /// It answers.
    pub ok: bool,
    /// Jobs due.
    pub waiting: i64,
    /// Seconds the oldest of them has waited.
    pub oldest_seconds: i64,
    /// Live workers.
    pub workers: i64,
}

/// Redis check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RedisCheck {
    /// It answers.
    pub ok: bool,
}

/// Engine check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EngineCheck {
    /// Engine.
    pub id: String,
    /// It can be used.
    pub available: bool,
    /// Version found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Disk check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiskCheck {
    /// Enough is free.
    pub ok: bool,
    /// Bytes free.
    pub free_bytes: u64,
}

impl ReadyChecks {
    /// Database, queue and disk decide; a missing engine or worker degrades.
    pub fn readiness(&self) -> Readiness {
        if !(self.db.ok && self.queue.ok && self.disk.ok) {
            Readiness::NotReady
        } else if self.queue.workers < 1
            || !self.engines.iter().any(|engine| engine.available)
            || self.redis.as_ref().is_some_and(|redis| !redis.ok)
        {
            Readiness::Degraded
        } else {
            Readiness::Ready
        }
    }

    /// The whole body.
    pub fn into_ready(self) -> Ready {
        Ready { status: self.readiness(), checks: self }
    }
}
