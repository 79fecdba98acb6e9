//! The statements of the run registry. Text only.
//!
//! A list has one text for each combination of filters, so that each reads one index to its end; within
//! a run or step, which hold few calls, the rest is filtered.

use crate::db::dialect::statements;

macro_rules! select {
    ($($rest:literal),+ $(,)?) => {
        concat!(
            "SELECT id, job_id, job_type, run_kind, status, project_id, protocol_run_id, step_run_id, queue, attempt, ",
            "worker_id, prompt_version, params, result, error, has_log, usage_reported, input_tokens, ",
            "cache_read_tokens, cache_write_tokens, output_tokens, reasoning_tokens, cost_usd, cost_tokens, ",
            "cost_cents, seq, started_at, finished_at, created_at, updated_at FROM codex_runs WHERE ",
            $($rest),+
        )
    };
}

/// What is left to filter within a run or step; `$1` kind, `$2` type of job, `$3` status, `$4` project.
macro_rules! few {
    ($own:literal) => {
        select!(
            $own,
            " AND (CAST($1 AS TEXT) IS NULL OR run_kind = $1) AND (CAST($2 AS TEXT) IS NULL OR job_type = $2) ",
            "AND (CAST($3 AS TEXT) IS NULL OR status = $3) AND (CAST($4 AS BIGINT) IS NULL OR project_id = $4) ",
            "AND seq < $5 ORDER BY seq DESC LIMIT $6"
        )
    };
}

statements! {
    START = "INSERT INTO codex_runs (id, job_id, job_type, run_kind, status, project_id, protocol_run_id, \
             step_run_id, attempt, worker_id, prompt_version, params, has_log, started_at, created_at, updated_at, seq) \
             VALUES ($1, $2, $3, $4, 'running', $5, $6, $7, $8, $9, $10, $11, $12, $13, $13, $13, $14)";
    FINISH = "UPDATE codex_runs SET status = $1, result = $2, error = $3, usage_reported = $4, \
              input_tokens = $5, cache_read_tokens = $6, cache_write_tokens = $7, output_tokens = $8, \
              reasoning_tokens = $9, cost_usd = $10, cost_cents = $11, finished_at = $12, updated_at = $12 \
              WHERE id = $13 AND job_id = $14 AND status = 'running' RETURNING id, run_kind, project_id, params";
    ABANDON = "UPDATE codex_runs SET status = 'failed', error = $1, finished_at = $2, updated_at = $2 \
               WHERE job_id = $3 AND finished_at IS NULL";
    STOP = "UPDATE codex_runs SET status = $1, error = $2, finished_at = $3, updated_at = $3 \
            WHERE id = $4 AND status = 'running'";
    SETTLE_UNHELD = "UPDATE codex_runs SET status = CASE WHEN EXISTS (SELECT 1 FROM jobs j \
                     WHERE j.id = codex_runs.job_id AND j.state = 'cancelled') THEN 'cancelled' ELSE 'failed' END, \
                     error = $1, finished_at = $2, updated_at = $2 WHERE finished_at IS NULL AND status = 'running' \
                     AND job_id IS NOT NULL AND NOT EXISTS \
                     (SELECT 1 FROM jobs j WHERE j.id = codex_runs.job_id AND j.state = 'started')";
    HELD = "SELECT c.id FROM codex_runs c JOIN jobs j ON j.id = c.job_id \
            WHERE c.finished_at IS NULL AND c.status = 'running' AND j.state = 'started'";
    LOAD = select!("id = $1 AND (CAST($2 AS BIGINT) IS NULL OR project_id = $2)");
    NEWEST_OF_JOB = select!(
        "job_id = $1 AND (CAST($2 AS BIGINT) IS NULL OR project_id = $2) ORDER BY attempt DESC, seq LIMIT 1"
    );
    REGISTER = "INSERT INTO codex_runs (id, job_type, run_kind, status, project_id, protocol_run_id, step_run_id, \
                queue, attempt, worker_id, prompt_version, params, has_log, cost_tokens, cost_cents, started_at, \
                created_at, updated_at, seq) VALUES ($1, $2, $3, 'running', $4, $5, $6, $7, $8, $9, $10, $11, 1, $12, \
                $13, $14, $14, $14, $15) ON CONFLICT (id) DO NOTHING";
    OF_A_JOB = "SELECT 1 FROM codex_runs WHERE job_id = $1 LIMIT 1";
    A_JOB = "SELECT 1 FROM jobs WHERE id = $1";
    APPEND_TO = "UPDATE codex_runs SET updated_at = $1 WHERE id = $2 AND job_id IS NULL AND status = 'running'";
    END_OUTSIDE = "UPDATE codex_runs SET status = $1, result = $2, error = $3, \
                   cost_tokens = COALESCE(CAST($4 AS BIGINT), cost_tokens), \
                   cost_cents = COALESCE(CAST($5 AS BIGINT), cost_cents), finished_at = $6, updated_at = $6 \
                   WHERE id = $7 AND job_id IS NULL AND status = 'running'";
    LIST_OF_RUN = few!("protocol_run_id = $7");
    LIST_OF_STEP = few!("step_run_id = $7 AND (CAST($8 AS BIGINT) IS NULL OR protocol_run_id = $8)");
    LIST = select!("seq < $1 ORDER BY seq DESC LIMIT $2");
    LIST_KIND = select!("run_kind = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3");
    LIST_TYPE = select!("job_type = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3");
    LIST_KIND_TYPE = select!("run_kind = $1 AND job_type = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4");
    LIST_STATUS = select!("status = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3");
    LIST_KIND_STATUS = select!("run_kind = $1 AND status = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4");
    LIST_TYPE_STATUS = select!("job_type = $1 AND status = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4");
    LIST_KIND_TYPE_STATUS = select!("run_kind = $1 AND job_type = $2 AND status = $3 AND seq < $4 ORDER BY seq DESC LIMIT $5");
    LIST_PROJECT = select!("project_id = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3");
    LIST_PROJECT_KIND = select!("project_id = $1 AND run_kind = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4");
    LIST_PROJECT_TYPE = select!("project_id = $1 AND job_type = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4");
    LIST_PROJECT_KIND_TYPE = select!("project_id = $1 AND run_kind = $2 AND job_type = $3 AND seq < $4 ORDER BY seq DESC LIMIT $5");
    LIST_PROJECT_STATUS = select!("project_id = $1 AND status = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4");
    LIST_PROJECT_KIND_STATUS = select!("project_id = $1 AND run_kind = $2 AND status = $3 AND seq < $4 ORDER BY seq DESC LIMIT $5");
    LIST_PROJECT_TYPE_STATUS = select!("project_id = $1 AND job_type = $2 AND status = $3 AND seq < $4 ORDER BY seq DESC LIMIT $5");
    LIST_PROJECT_KIND_TYPE_STATUS = select!("project_id = $1 AND run_kind = $2 AND job_type = $3 AND status = $4 AND seq < $5 ORDER BY seq DESC LIMIT $6");
}

/// Lists of everything, by which filters are set: 1 kind, 2 type of job, 4 status.
pub(super) const OF_ALL: [&str; 8] = [
    LIST,
    LIST_KIND,
    LIST_TYPE,
    LIST_KIND_TYPE,
    LIST_STATUS,
    LIST_KIND_STATUS,
    LIST_TYPE_STATUS,
    LIST_KIND_TYPE_STATUS,
];
/// As `OF_ALL`, within a project.
pub(super) const OF_PROJECT: [&str; 8] = [
    LIST_PROJECT,
    LIST_PROJECT_KIND,
    LIST_PROJECT_TYPE,
    LIST_PROJECT_KIND_TYPE,
    LIST_PROJECT_STATUS,
    LIST_PROJECT_KIND_STATUS,
    LIST_PROJECT_TYPE_STATUS,
    LIST_PROJECT_KIND_TYPE_STATUS,
];
