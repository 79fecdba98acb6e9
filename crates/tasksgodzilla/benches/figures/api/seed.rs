//! Databases with a history: projects, runs, calls, jobs and as many events as are asked for. Rows are
//! written by the database itself; their hashes are none, because nothing here looks at the chain.

use std::path::{Path, PathBuf};

use anyhow::bail;
use sqlx::{AssertSqlSafe, Executor as _};
use tg_server::{db::Db, queue};

/// Projects of a seeded database.
pub const PROJECTS: i64 = 100;
/// Events of the one run whose timeline is read.
pub const OF_RUN: i64 = 1000;

/// A state directory with this many events in its database.
pub async fn home(folder: &Path, events: i64) -> anyhow::Result<PathBuf> {
    let home = folder.join(format!("home-{events}"));
    std::fs::create_dir_all(&home)?;
    let db = Db::open(&format!("sqlite:{}", home.join("tasksgodzilla.sqlite").display()), 2).await?;
    db.migrate().await?;
    let Db::Sqlite { write, .. } = &db else { bail!("the seed is for SQLite") };
    for text in rows(events) {
        // Safe: the text is made of numbers.
        write.execute(AssertSqlSafe(text)).await?;
    }
    count_jobs(&db).await?;
    db.close().await;
    Ok(home)
}

/// Adds up ended jobs as the scheduler of a working server does at every beat; the measured one works
/// nothing.
async fn count_jobs(db: &Db) -> anyhow::Result<()> {
    let mut tx = db.read().await?;
    let mut is_due = queue::counting_is_due(&mut tx).await?;
    drop(tx);
    while is_due {
        let mut tx = db.begin().await?;
        queue::count_in(&mut tx, 1000).await?;
        is_due = queue::counting_is_due(&mut tx).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// The statements that fill a database.
fn rows(events: i64) -> Vec<String> {
    let count = |last: i64| {
        format!("WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {last})")
    };
    let runs = events / OF_RUN;
    let time = "1800000000000 + i";
    vec![
        format!(
            "{} INSERT INTO projects (name, git_url, base_branch, default_models, created_at, updated_at) \
             SELECT 'project ' || i, 'https://forge.example/team/repository-' || i || '.git', 'main', '{{}}', \
             {time}, {time} FROM n",
            count(PROJECTS)
        ),
        format!(
            "{} INSERT INTO protocol_runs (project_id, protocol_name, status, auto_advance, models, base_branch, \
             description, sandbox_off, created_at, updated_at) \
             SELECT 1 + i % {PROJECTS}, printf('%04d-task', i), 'pending', 0, '{{}}', 'main', \
             'Add the thing and test it', 0, {time}, {time} FROM n",
            count(runs.max(150))
        ),
        format!(
            "{} INSERT INTO events (chain, project_seq, project_id, protocol_run_id, event_type, kind, message, \
             metadata, actor, created_at, hash) \
             SELECT 1 + run % {PROJECTS}, i, 1 + run % {PROJECTS}, run, 'step_enqueued', 'step', \
             'Step 01-implement.md queued by api', \
             '{{\"job_id\":\"019ab000-0000-7000-8000-000000000000\",\"source\":\"api\",\"step_name\":\"01-implement.md\",\
             \"transitions\":[{{\"entity\":\"step_run\",\"id\":7,\"from\":\"pending\",\"to\":\"running\"}}]}}', \
             'admin', 1800000000000 + i, printf('%064d', i) \
             FROM (SELECT i, 1 + (i - 1) / {OF_RUN} AS run FROM n)",
            count(events)
        ),
        format!(
            "{} INSERT INTO codex_runs (id, seq, job_type, run_kind, status, project_id, protocol_run_id, attempt, \
             has_log, started_at, created_at, updated_at) \
             SELECT printf('019ab000-0000-7000-8000-%012d', i), printf('019ab000-0000-7000-8000-%012d', i), \
             'execute_step_job', 'exec', 'running', \
             1 + i % {PROJECTS}, 1, 1, 1, {time}, {time}, {time} FROM n",
            count((events / 10).max(150))
        ),
        format!(
            "{} INSERT INTO jobs (id, kind, payload, state, run_at, max_attempts, unique_key, project_id, \
             created_at, finished_at) \
             SELECT printf('019ab000-0000-7000-8000-%012d', i), 'plan_protocol_job', \
             '{{\"job_type\":\"plan_protocol_job\",\"protocol_run_id\":1}}', 'finished', {time}, 3, 'k' || i, \
             1 + i % {PROJECTS}, {time}, {time} FROM n",
            count((events / 10).max(150))
        ),
    ]
}
