//! Every metric there is: name, help, kind, buckets (contract §12.1). Holds no value.

/// A metric family.
#[derive(Debug)]
pub struct Family {
    /// Name.
    pub name: &'static str,
    /// What it tells, in a line.
    pub help: &'static str,
    /// Kind.
    pub kind: Kind,
    /// Upper bounds of a histogram, with the way they are written.
    pub bounds: &'static [(f64, &'static str)],
}

/// Kinds of families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts by size.
    Histogram,
}

const fn family(name: &'static str, kind: Kind, help: &'static str) -> Family {
    Family { name, help, kind, bounds: &[] }
}

/// Bounds for what a person waits for.
const REQUEST_BOUNDS: &[(f64, &str)] = &[
    (0.01, "0.01"),
    (0.05, "0.05"),
    (0.1, "0.1"),
    (0.5, "0.5"),
    (1.0, "1"),
    (2.0, "2"),
    (5.0, "5"),
    (10.0, "10"),
];

/// Requests of this process.
pub const REQUESTS: Family =
    family("requests_total", Kind::Counter, "Requests this process answered, by route template.");
/// How long they took.
pub const REQUEST_DURATION: Family = Family {
    name: "requests_duration_seconds",
    help: "Time to the head of the answer, by route template.",
    kind: Kind::Histogram,
    bounds: REQUEST_BOUNDS,
};
/// Streams of this process.
pub const SSE_CLIENTS: Family =
    family("sse_clients", Kind::Gauge, "Event streams that are open at this process.");

/// Bounds for what a job takes or waits.
const JOB_BOUNDS: &[(f64, &str)] = &[
    (0.1, "0.1"),
    (0.5, "0.5"),
    (1.0, "1"),
    (2.0, "2"),
    (5.0, "5"),
    (10.0, "10"),
    (30.0, "30"),
    (60.0, "60"),
    (300.0, "300"),
    (1200.0, "1200"),
];

/// Attempts of jobs that ended; counted with their length.
pub const JOBS_PROCESSED: Family = family(
    "jobs_processed_total",
    Kind::Counter,
    "Attempts of jobs that ended, in the whole fleet: completed, failed, retried or cancelled.",
);
/// How long they took.
pub const JOB_DURATION: Family = Family {
    name: "jobs_duration_seconds",
    help: "Length of attempts of jobs, in the whole fleet. Lost leases and cancelled jobs have none.",
    kind: Kind::Histogram,
    bounds: JOB_BOUNDS,
};
/// How long jobs waited.
pub const JOB_WAIT: Family = Family {
    name: "job_wait_seconds",
    help: "Time from due to claimed, in the whole fleet.",
    kind: Kind::Histogram,
    bounds: JOB_BOUNDS,
};
/// Jobs that wait.
pub const JOBS_WAITING: Family =
    family("jobs_waiting", Kind::Gauge, "Jobs in the queue: due (queued) or due later (scheduled).");
/// Age of the oldest due job.
pub const JOBS_OLDEST_WAITING: Family =
    family("jobs_oldest_waiting_seconds", Kind::Gauge, "Time the oldest due job has waited.");
/// Workers.
pub const WORKERS_ALIVE: Family =
    family("workers_alive", Kind::Gauge, "Workers of this process, and others that hold a live lease.");
/// Tokens of prompts.
pub const TOKENS_ESTIMATED: Family = family(
    "codex_token_estimated_total",
    Kind::Counter,
    "Tokens of prompts as estimated before the call, in the whole fleet.",
);
/// Tokens used.
pub const TOKENS_USED: Family = family(
    "codex_token_used_total",
    Kind::Counter,
    "Tokens of ended calls in the whole fleet, by kind: input, cache_read, cache_write, output.",
);
/// Cost.
pub const COST_CENTS: Family = family(
    "cost_cents_total",
    Kind::Counter,
    "Cost of ended calls in the whole fleet, in cents, by kind: reported or estimated.",
);
/// Failed calls.
pub const ENGINE_ERRORS: Family =
    family("engine_errors_total", Kind::Counter, "Calls of engines that failed, in the whole fleet.");
/// Other models.
pub const MODEL_FALLBACKS: Family = family(
    "model_fallback_total",
    Kind::Counter,
    "Calls that went to another model than the first choice, in the whole fleet.",
);
/// Verdicts.
pub const QA_VERDICTS: Family =
    family("qa_verdict_total", Kind::Counter, "Verdicts of QA in the whole fleet: pass, fail or error.");
/// Lost leases.
pub const LEASES_LOST: Family = family(
    "leases_lost_total",
    Kind::Counter,
    "Leases that ran out while a job was at work, in the whole fleet.",
);
/// Repairs.
pub const SCHEDULER_ACTIONS: Family = family(
    "scheduler_actions_total",
    Kind::Counter,
    "What schedulers repaired or queued, in the whole fleet.",
);

/// Families that are counted in the database, in the order they are shown.
pub const TALLIED: [&Family; 10] = [
    &JOB_DURATION,
    &JOB_WAIT,
    &TOKENS_ESTIMATED,
    &TOKENS_USED,
    &COST_CENTS,
    &ENGINE_ERRORS,
    &MODEL_FALLBACKS,
    &QA_VERDICTS,
    &LEASES_LOST,
    &SCHEDULER_ACTIONS,
];
