//! The statements of the jobs table. Text only.

use crate::db::dialect::statements;

/// The first due job under the caps whose run is not paused. `$1` now, `$2` cap of
/// a project, `$3` owner, `$4` end of the lease.
macro_rules! claim {
    ($lock:literal) => {
        concat!(
            "WITH pick AS MATERIALIZED (SELECT j.id FROM jobs j ",
            "WHERE j.queue = 'default' AND j.state = 'queued' AND j.run_at <= $1 ",
            "AND (j.concurrency_key IS NULL OR ",
            "(SELECT COUNT(*) FROM jobs r WHERE r.concurrency_key = j.concurrency_key AND r.state = 'started') ",
            "< COALESCE((SELECT l.max_running FROM job_limits l WHERE l.concurrency_key = j.concurrency_key), ",
            "CAST($2 AS BIGINT))) ",
            "AND NOT EXISTS (SELECT 1 FROM protocol_runs p WHERE p.id = j.protocol_run_id AND p.status = 'paused') ",
            "ORDER BY j.priority DESC, j.run_at, j.id LIMIT 1",
            $lock,
            ") UPDATE jobs SET state = 'started', attempts = attempts + 1, fence = fence + 1, lease_owner = $3, ",
            "lease_until = $4, started_at = $1 WHERE id IN (SELECT id FROM pick) AND state = 'queued' ",
            "RETURNING id, kind, payload, run_at, attempts, max_attempts, fence, project_id, protocol_run_id, request_id, trace_ctx"
        )
    };
}

/// Only a started job has an end of its lease; the schema says so, and the index holds these alone.
macro_rules! expired {
    ($lock:literal) => {
        concat!(
            "SELECT id, kind, payload, attempts, max_attempts, fence, project_id, protocol_run_id, cancel_requested ",
            "FROM jobs WHERE lease_until < $1 ORDER BY lease_until LIMIT $2",
            $lock
        )
    };
}

macro_rules! held {
    ($lock:literal) => {
        concat!("SELECT id FROM jobs WHERE id = $1 AND fence = $2 AND state = 'started'", $lock)
    };
}

/// A job as it is shown; what came out and who did it are told by its newest attempt, and there by its
/// first call, which is what the job is about.
macro_rules! list {
    ($($filter:literal),+ $(,)?) => {
        concat!(
            "SELECT id, kind, payload, state, priority, run_at, attempts, max_attempts, last_error, project_id, ",
            "protocol_run_id, created_at, started_at, finished_at, queue, request_id, lease_owner, ",
            "(SELECT c.result FROM codex_runs c WHERE c.job_id = jobs.id ORDER BY c.attempt DESC, c.seq LIMIT 1) AS result, ",
            "(SELECT c.worker_id FROM codex_runs c WHERE c.job_id = jobs.id ORDER BY c.attempt DESC, c.seq LIMIT 1) AS worker_id ",
            "FROM jobs WHERE ",
            $($filter),+
        )
    };
}

/// Live jobs are few. `$1` state, `$2` due until, `$3` due after, `$4` kind, `$5` before, `$6` limit.
macro_rules! live {
    ($own:literal) => {
        list!(
            "state = $1 AND state IN ('queued', 'started') ",
            $own,
            "AND (CAST($2 AS BIGINT) IS NULL OR run_at <= $2) AND (CAST($3 AS BIGINT) IS NULL OR run_at > $3) ",
            "AND (CAST($4 AS TEXT) IS NULL OR kind = $4) AND id < $5 ORDER BY id DESC LIMIT $6"
        )
    };
}

/// Ended jobs that were not added up yet. The states are named for the index: without them SQLite walks
/// through all that ever ended.
macro_rules! uncounted {
    () => {
        "state IN ('finished', 'failed', 'cancelled') AND finished_at IS NOT NULL AND counted = 0"
    };
}

macro_rules! ended {
    ($state:literal, $jobs:literal, $told:literal) => {
        concat!(
            "(SELECT CAST(COALESCE(SUM(ended), 0) AS BIGINT) FROM job_counts WHERE state = '",
            $state,
            "'",
            $told,
            ") + ",
            "(SELECT COUNT(*) FROM jobs WHERE finished_at IS NOT NULL AND counted = 0 AND state = '",
            $state,
            "'",
            $jobs,
            ")"
        )
    };
}

/// Counts by status in one look; `$1` now. Live jobs are few; ended ones were counted, but for the
/// newest. A column each, because grouping would sort.
macro_rules! counts {
    ($jobs:literal, $told:literal) => {
        concat!(
            "SELECT (SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND run_at <= $1",
            $jobs,
            ") AS queued, ",
            "(SELECT COUNT(*) FROM jobs WHERE state = 'queued' AND run_at > $1",
            $jobs,
            ") AS scheduled, ",
            "(SELECT COUNT(*) FROM jobs WHERE state = 'started'",
            $jobs,
            ") AS started, ",
            ended!("finished", $jobs, $told),
            " AS finished, ",
            ended!("failed", $jobs, $told),
            " AS failed, ",
            ended!("cancelled", $jobs, $told),
            " AS cancelled"
        )
    };
}

statements! {
    PROJECT_OF_RUN = "SELECT id, project_id FROM protocol_runs WHERE id = $1";
    PROJECT_OF_STEP = "SELECT p.id, p.project_id FROM step_runs s JOIN protocol_runs p ON p.id = s.protocol_run_id \
                       WHERE s.id = $1";
    ENQUEUE = "INSERT INTO jobs (id, kind, payload, state, priority, run_at, max_attempts, unique_key, concurrency_key, \
               request_id, project_id, protocol_run_id, step_run_id, created_at, trace_ctx) \
               VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
               ON CONFLICT (unique_key) WHERE state IN ('queued', 'started') DO NOTHING RETURNING id";
    TWIN = "SELECT id FROM jobs WHERE unique_key = $1 AND state IN ('queued', 'started')";
    CLAIM_SQLITE = claim!("");
    CLAIM_POSTGRES = claim!(" FOR UPDATE SKIP LOCKED");
    RENEW = "UPDATE jobs SET lease_until = $1 WHERE lease_owner = $2 AND state = 'started' \
             RETURNING id, fence, cancel_requested";
    HELD = "SELECT id, fence, cancel_requested FROM jobs WHERE lease_owner = $1 AND state = 'started'";
    LOCK_RUN_POSTGRES = "SELECT id FROM protocol_runs WHERE id = (SELECT protocol_run_id FROM jobs WHERE id = $1) \
                         FOR NO KEY UPDATE";
    LOCK_POSTGRES = "SELECT id FROM jobs WHERE id = $1 FOR UPDATE";
    CHECK = held!("");
    CHECK_POSTGRES = held!(" FOR UPDATE");
    END = "UPDATE jobs SET state = $1, last_error = COALESCE(CAST($2 AS TEXT), last_error), finished_at = $3, \
           lease_owner = NULL, lease_until = NULL WHERE id = $4 AND fence = $5 AND state = 'started' \
           RETURNING id, started_at";
    RETRY = "UPDATE jobs SET state = 'queued', run_at = $1, last_error = $2, lease_owner = NULL, lease_until = NULL \
             WHERE id = $3 AND fence = $4 AND state = 'started' RETURNING id, started_at";
    RELEASE = "UPDATE jobs SET state = 'queued', attempts = attempts - 1, lease_owner = NULL, lease_until = NULL \
               WHERE id = $1 AND fence = $2 AND state = 'started'";
    YIELD_KEY = "UPDATE jobs SET unique_key = id WHERE id = $1 AND fence = $2 AND state = 'started'";
    LOCK_EXPIRED_RUNS_POSTGRES = "SELECT id FROM protocol_runs WHERE id IN (SELECT protocol_run_id FROM jobs \
                                  WHERE lease_until < $1 ORDER BY lease_until LIMIT $2) \
                                  ORDER BY id FOR NO KEY UPDATE";
    EXPIRED_SQLITE = expired!("");
    EXPIRED_POSTGRES = expired!(" FOR UPDATE SKIP LOCKED");
    CANCEL = "UPDATE jobs SET state = 'cancelled', cancel_requested = 1, finished_at = $1, lease_owner = NULL, \
              lease_until = NULL WHERE unique_key = $2 AND state IN ('queued', 'started') RETURNING id";
    NEWER_OF_STEP = "SELECT id FROM jobs WHERE step_run_id = $1 AND id > $2 LIMIT 1";
    LOAD = list!("id = $1 AND (CAST($2 AS BIGINT) IS NULL OR project_id = $2)");
    LIST = list!("id < $1 ORDER BY id DESC LIMIT $2");
    LIST_KIND = list!("kind = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    LIST_PROJECT = list!("project_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3");
    LIST_PROJECT_KIND = list!("project_id = $1 AND kind = $2 AND id < $3 ORDER BY id DESC LIMIT $4");
    LIST_ENDED = list!("state = $1 AND finished_at IS NOT NULL AND id < $2 ORDER BY id DESC LIMIT $3");
    LIST_ENDED_KIND =
        list!("kind = $1 AND state = $2 AND finished_at IS NOT NULL AND id < $3 ORDER BY id DESC LIMIT $4");
    LIST_ENDED_PROJECT =
        list!("project_id = $1 AND state = $2 AND finished_at IS NOT NULL AND id < $3 ORDER BY id DESC LIMIT $4");
    LIST_ENDED_PROJECT_KIND = list!(
        "project_id = $1 AND kind = $2 AND state = $3 AND finished_at IS NOT NULL AND id < $4 ",
        "ORDER BY id DESC LIMIT $5"
    );
    LIST_LIVE = live!("");
    LIST_LIVE_PROJECT = live!("AND project_id = $7 ");
    COUNTS = counts!("", "");
    COUNTS_PROJECT = counts!(" AND project_id = $2", " AND project_id = $2");
    MANY_UNCOUNTED = concat!("SELECT state FROM jobs WHERE ", uncounted!(), " LIMIT 1 OFFSET $1");
    COUNT_IN = concat!(
        "UPDATE jobs SET counted = 1 WHERE counted = 0 AND id IN (SELECT id FROM jobs WHERE ",
        uncounted!(),
        " LIMIT $1) RETURNING state, project_id"
    );
    ADD_COUNT = "INSERT INTO job_counts (state, project_id, ended) VALUES ($1, $2, $3) \
                 ON CONFLICT (state, project_id) DO UPDATE SET ended = job_counts.ended + excluded.ended";
    PRUNE = "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE finished_at IS NOT NULL AND finished_at < $1 \
             ORDER BY finished_at LIMIT $2) RETURNING state, project_id, counted";
}
