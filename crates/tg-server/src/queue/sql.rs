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
            "RETURNING id, kind, payload, attempts, max_attempts, fence, project_id, protocol_run_id, request_id"
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

macro_rules! list {
    ($filter:literal) => {
        concat!(
            "SELECT id, kind, payload, state, priority, run_at, attempts, max_attempts, last_error, project_id, ",
            "created_at, started_at, finished_at FROM jobs WHERE ",
            $filter
        )
    };
}

statements! {
    PROJECT_OF_RUN = "SELECT id, project_id FROM protocol_runs WHERE id = $1";
    PROJECT_OF_STEP = "SELECT p.id, p.project_id FROM step_runs s JOIN protocol_runs p ON p.id = s.protocol_run_id \
                       WHERE s.id = $1";
    ENQUEUE = "INSERT INTO jobs (id, kind, payload, state, priority, run_at, max_attempts, unique_key, concurrency_key, \
               request_id, project_id, protocol_run_id, step_run_id, created_at) \
               VALUES ($1, $2, $3, 'queued', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
               ON CONFLICT (unique_key) WHERE state IN ('queued', 'started') DO NOTHING RETURNING id";
    TWIN = "SELECT id FROM jobs WHERE unique_key = $1 AND state IN ('queued', 'started')";
    CLAIM_SQLITE = claim!("");
    CLAIM_POSTGRES = claim!(" FOR UPDATE SKIP LOCKED");
    RENEW = "UPDATE jobs SET lease_until = $1 WHERE lease_owner = $2 AND state = 'started' \
             RETURNING id, fence, cancel_requested";
    HELD = "SELECT id, fence, cancel_requested FROM jobs WHERE lease_owner = $1 AND state = 'started'";
    LOCK_RUN_POSTGRES = "SELECT id FROM protocol_runs WHERE id = (SELECT protocol_run_id FROM jobs WHERE id = $1) \
                         FOR NO KEY UPDATE";
    CHECK = held!("");
    CHECK_POSTGRES = held!(" FOR UPDATE");
    END = "UPDATE jobs SET state = $1, last_error = COALESCE(CAST($2 AS TEXT), last_error), finished_at = $3, \
           lease_owner = NULL, lease_until = NULL WHERE id = $4 AND fence = $5 AND state = 'started'";
    RETRY = "UPDATE jobs SET state = 'queued', run_at = $1, last_error = $2, lease_owner = NULL, lease_until = NULL \
             WHERE id = $3 AND fence = $4 AND state = 'started'";
    RELEASE = "UPDATE jobs SET state = 'queued', attempts = attempts - 1, lease_owner = NULL, lease_until = NULL \
               WHERE id = $1 AND fence = $2 AND state = 'started'";
    YIELD_KEY = "UPDATE jobs SET unique_key = id WHERE id = $1 AND fence = $2 AND state = 'started'";
    LOCK_EXPIRED_RUNS_POSTGRES = "SELECT id FROM protocol_runs WHERE id IN (SELECT protocol_run_id FROM jobs \
                                  WHERE lease_until < $1 ORDER BY lease_until LIMIT $2) \
                                  ORDER BY id FOR NO KEY UPDATE";
    EXPIRED_SQLITE = expired!("");
    EXPIRED_POSTGRES = expired!(" FOR UPDATE SKIP LOCKED");
    CANCEL = "UPDATE jobs SET state = 'cancelled', cancel_requested = 1, finished_at = $1, lease_owner = NULL, \
              lease_until = NULL WHERE unique_key = $2 AND state IN ('queued', 'started')";
    LIST = list!("id > '' ORDER BY id DESC LIMIT $1");
    LIST_IN_STATE = list!("state = $1 ORDER BY id DESC LIMIT $2");
    LIST_DUE = list!("state = 'queued' AND run_at <= $1 ORDER BY id DESC LIMIT $2");
    LIST_SCHEDULED = list!("state = 'queued' AND run_at > $1 ORDER BY id DESC LIMIT $2");
    PRUNE = "DELETE FROM jobs WHERE id IN (SELECT id FROM jobs WHERE finished_at IS NOT NULL AND finished_at < $1 \
             ORDER BY finished_at LIMIT $2)";
}
