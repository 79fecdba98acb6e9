//! Repairs what was missed: expired leases, hand-overs, stuck steps, lost plans, orphan processes.
//! Every process with workers runs it; it queues only what `advance` would have queued.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use tg_core::{
    ids::RunId,
    job::{ErrorCategory, Job, JobStatus, Priority},
    lifecycle::{self, Decision, Enqueue, Failure, Flow, Signal, Source},
    status::ReasonCode,
};
use tokio_util::sync::CancellationToken;

use super::answer::run_of;
use crate::{
    app::App,
    db::Tx,
    engine::supervise,
    flow::{self, Cause, FlowError, watchdog},
    metrics::family::SCHEDULER_ACTIONS,
    queue::{self, Rescued},
    store::{self, StoreError},
};

/// Jobs and runs looked at in one beat.
const SLICE: i64 = 200;

/// Ended jobs added up in one transaction, and how many such in one beat.
const COUNTED: i64 = 1000;
const MOST_COUNTED: usize = 10;

/// Between two rounds of house-keeping.
const MAINTENANCE: Duration = Duration::from_hours(1);

/// Beats until `stop`. The first beat comes at once: it takes back what a crash left.
pub async fn run(app: App, stop: CancellationToken) {
    let mut kept_house: Option<Instant> = None;
    let mut is_first = true;
    while !stop.is_cancelled() {
        if let Err(error) = beat(&app, is_first).await {
            tracing::error!(%error, "a beat of the scheduler failed; trying again");
        } else {
            is_first = false;
        }
        if kept_house.is_none_or(|last| last.elapsed() >= MAINTENANCE) {
            match queue_maintenance(&app).await {
                Ok(()) => kept_house = Some(Instant::now()),
                Err(error) => tracing::error!(%error, "cannot queue house-keeping; trying again"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(app.config.scheduler_interval) => {}
        }
    }
}

/// One beat. `reap` also looks for processes of calls that nobody holds any more.
pub async fn beat(app: &App, reap: bool) -> Result<(), StoreError> {
    let rescued = rescue(app).await?;
    if reap || rescued > 0 {
        reap_orphans(app).await?;
    }
    count_jobs(app).await?;
    let mut tx = app.db.read().await?;
    let runs = store::protocol::open_runs(&mut tx, SLICE).await?;
    drop(tx);
    for run in runs {
        if let Err(error) = look_at(app, run).await {
            tracing::error!(protocol_run_id = %run, %error, "cannot look after a run");
        }
    }
    Ok(())
}

/// Takes back jobs whose holder died. Those out of attempts move their run in the same transaction.
pub async fn rescue(app: &App) -> Result<usize, StoreError> {
    let mut tx = app.db.begin().await?;
    let rescued = queue::rescue(&mut tx, SLICE).await?;
    for found in &rescued {
        store::call::abandon(&mut tx, &found.job_id, "the worker died during this call", app.clock.now())
            .await?;
        let action = if found.status == JobStatus::Failed {
            give_up(app, &mut tx, found).await?;
            "give_up"
        } else {
            "take_back"
        };
        acted(&mut tx, action);
        tracing::warn!(job_id = %found.job_id, status = %found.status, "took back a job whose worker died");
    }
    store::call::settle_unheld(&mut tx, "its job was taken away while it was at work", app.clock.now())
        .await?;
    tx.commit().await?;
    if !rescued.is_empty() {
        app.wake.notify();
    }
    Ok(rescued.len())
}

/// Adds up ended jobs, so that counting them stays cheap.
async fn count_jobs(app: &App) -> Result<(), StoreError> {
    for _ in 0..MOST_COUNTED {
        let mut tx = app.db.read().await?;
        if !queue::counting_is_due(&mut tx).await? {
            return Ok(());
        }
        drop(tx);
        let mut tx = app.db.begin().await?;
        queue::count_in(&mut tx, COUNTED).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn give_up(app: &App, tx: &mut Tx, found: &Rescued) -> Result<(), StoreError> {
    let Some(run) = run_of(tx, &found.job).await? else { return Ok(()) };
    let failure = Failure {
        reason: Some(ReasonCode::JobLost),
        category: ErrorCategory::Runtime,
        error_type: "job_lost".to_owned(),
        message: format!(
            "the worker died {} times during this job; see its log, then try again",
            found.attempts
        ),
        attempts: found.attempts,
        job_id: Some(found.job_id.clone()),
        detail: serde_json::Map::new(),
    };
    signal(app, tx, run, Signal::GaveUp { job: found.job.clone(), failure }).await?;
    Ok(())
}

/// Counts a repair in the transaction that makes it.
fn acted(tx: &mut Tx, action: &'static str) {
    tx.count(&SCHEDULER_ACTIONS, &[("action", action)], 1);
}

/// Sends a signal; says whether anything followed from it.
async fn signal(app: &App, tx: &mut Tx, run: RunId, signal: Signal) -> Result<bool, StoreError> {
    match flow::advance(app, tx, run, signal, &Cause::default()).await {
        Ok(decisions) => Ok(decisions.iter().any(|decision| !is_empty(decision))),
        Err(FlowError::Refused(refused)) => {
            tracing::debug!(protocol_run_id = %run, %refused, "nothing to repair");
            Ok(false)
        }
        Err(FlowError::Store(error)) => Err(error),
    }
}

/// Watchdog and missed hand-over of one run.
async fn look_at(app: &App, run: RunId) -> Result<(), StoreError> {
    let walk = Signal::WalkOn { source: Source::Scheduler };
    let mut tx = app.db.read().await?;
    let seen = store::protocol::flow(&mut tx, run, flow::settings(app), None).await?;
    let overdue = watchdog::overdue(app, &mut tx, &seen).await?;
    drop(tx);
    // Nearly always nothing was missed; then nobody is kept from writing.
    if overdue.is_empty() && follows_nothing(&seen, &walk) {
        return Ok(());
    }
    let mut tx = app.db.begin().await?;
    for lost in overdue {
        let action = if matches!(lost, Signal::PlanLost { .. }) { "plan_lost" } else { "step_stuck" };
        if signal(app, &mut tx, run, lost).await? {
            acted(&mut tx, action);
        }
    }
    if signal(app, &mut tx, run, walk).await? {
        acted(&mut tx, "walk_on");
    }
    tx.commit().await?;
    app.wake.notify();
    Ok(())
}

/// Only a look: what is written is decided again under the lock.
fn follows_nothing(flow: &Flow, signal: &Signal) -> bool {
    lifecycle::decide(flow, signal).is_ok_and(|decision| is_empty(&decision))
}

const fn is_empty(decision: &Decision) -> bool {
    decision.run.is_none()
        && decision.steps.is_empty()
        && decision.events.is_empty()
        && decision.enqueue.is_empty()
        && decision.cancel.is_empty()
        && decision.then.is_none()
}

async fn queue_maintenance(app: &App) -> Result<(), StoreError> {
    let mut tx = app.db.begin().await?;
    let what = Enqueue { job: Job::Maintenance, priority: Priority::Automatic };
    queue::enqueue(&mut tx, &what, None, Duration::ZERO, None).await?;
    acted(&mut tx, "maintenance");
    tx.commit().await?;
    app.wake.notify();
    Ok(())
}

/// Ends processes of calls that no live lease covers.
async fn reap_orphans(app: &App) -> Result<(), StoreError> {
    let mut tx = app.db.read().await?;
    let live: BTreeSet<String> = store::call::held(&mut tx).await?.into_iter().map(|call| call.0).collect();
    drop(tx);
    let home = app.config.home.root.clone();
    let reaped =
        tokio::task::spawn_blocking(move || supervise::reap_orphans(&home, &|call| live.contains(call)))
            .await;
    match reaped {
        Ok(Ok(0)) => {}
        Ok(Ok(ended)) => tracing::warn!(ended, "ended processes that a dead worker left"),
        Ok(Err(error)) => tracing::error!(%error, "cannot look for orphan processes"),
        Err(error) => tracing::error!(%error, "looking for orphan processes broke off"),
    }
    Ok(())
}
