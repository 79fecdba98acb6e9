//! Keeps house: prunes ended jobs and the logs of calls past their retention, and answers that were kept
//! for repeated requests for a day.
//! Removes nothing of a run itself; worktrees and branches are never touched here.

use std::{
    io,
    path::Path,
    time::{Duration, SystemTime},
};

use crate::{
    app::App,
    jobs::{Answer, JobError},
    queue::{self, Lease},
    store::{StoreError, idempotency},
};

/// Rows and folders removed in one round.
const SLICE: i64 = 1000;
/// Slices of one round; what is left waits for the next one.
const MOST_SLICES: usize = 1000;

/// Does the work.
pub async fn run(app: &App, _lease: &Lease) -> Result<Option<Answer>, JobError> {
    let retention = app.config.run_log_retention;
    let kept = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
    let mut tx = app.db.begin().await?;
    let jobs = queue::prune(&mut tx, app.clock.now().saturating_sub(kept), SLICE).await?;
    tx.commit().await?;
    let answers = prune_answers(app).await?;
    let (runs, now) = (app.config.home.runs.clone(), app.clock.now());
    let logs = tokio::task::spawn_blocking(move || prune_calls(&runs, now, retention)).await;
    match logs {
        Ok(Ok(logs)) => {
            tracing::info!(jobs, answers, logs, "pruned ended jobs, kept answers and old call folders");
        }
        Ok(Err(error)) => tracing::warn!(jobs, answers, %error, "cannot prune old call folders"),
        Err(error) => tracing::error!(%error, "pruning broke off"),
    }
    Ok(None)
}

/// Removes kept answers past their day, slice by slice, so that nobody waits long for the writer.
async fn prune_answers(app: &App) -> Result<u64, StoreError> {
    let mut pruned = 0;
    for _ in 0..MOST_SLICES {
        let mut tx = app.db.begin().await?;
        let slice = idempotency::prune(&mut tx, app.clock.now(), SLICE).await?;
        tx.commit().await?;
        pruned += slice;
        if slice < SLICE.unsigned_abs() {
            break;
        }
    }
    Ok(pruned)
}

/// Removes folders of calls whose log was last written before the retention began.
fn prune_calls(runs: &Path, now: i64, retention: Duration) -> io::Result<u64> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(u64::try_from(now).unwrap_or_default());
    let Some(oldest) = now.checked_sub(retention) else { return Ok(0) };
    let entries = match std::fs::read_dir(runs) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    for entry in entries.take(usize::try_from(SLICE).unwrap_or(usize::MAX)) {
        let folder = entry?.path();
        let is_call = folder
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| uuid::Uuid::parse_str(name).is_ok());
        if !is_call || !folder.symlink_metadata()?.is_dir() {
            continue;
        }
        let log = folder.join("logs.txt");
        let touched = log.symlink_metadata().or_else(|_| folder.symlink_metadata())?.modified()?;
        if touched < oldest {
            std::fs::remove_dir_all(&folder)?;
            removed += 1;
        }
    }
    Ok(removed)
}
