//! Writes down how a job ended: its signal and "this job is finished" in one transaction.
//! Every write is fenced by the lease; a lost lease writes nothing.

use std::time::Duration;

use tg_core::{
    event::{Event, EventKind},
    ids::RunId,
    job::{Job, back_off_seconds},
    lifecycle::{Failure, Signal},
    scope::Scope,
};

use super::heartbeat::Stop;
use crate::{
    app::App,
    db::Tx,
    failpoint,
    flow::{self, Cause, FlowError},
    jobs::{Answer, JobError, Next},
    queue::{self, Lease},
    store::{self, StoreError},
};

/// Tries at a database that is busy or away, before the job is left to its lease.
const TRIES: u32 = 5;

/// Writes down an outcome. A lease that is gone is no error: there is nothing to write then.
pub async fn settle(
    app: &App,
    lease: &Lease,
    stopped: Option<Stop>,
    outcome: Result<Option<Answer>, JobError>,
) -> Result<(), StoreError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match write(app, lease, stopped, &outcome).await {
            Err(StoreError::FencedOut(_)) => {
                tracing::info!(job_id = %lease.job_id, "fenced_out: the lease is gone, the result is discarded");
                return Ok(());
            }
            Err(StoreError::Db(error)) if tries < TRIES => {
                tracing::warn!(job_id = %lease.job_id, %error, "cannot write an answer; trying again");
                tokio::time::sleep(Duration::from_millis(50 << tries)).await;
            }
            ended => return ended,
        }
    }
}

async fn write(
    app: &App,
    lease: &Lease,
    stopped: Option<Stop>,
    outcome: &Result<Option<Answer>, JobError>,
) -> Result<(), StoreError> {
    if stopped == Some(Stop::Lost) {
        return Err(StoreError::FencedOut(lease.job_id.0.clone()));
    }
    let mut tx = app.db.begin().await?;
    match outcome {
        Ok(None) => queue::finish(&mut tx, lease).await?,
        Ok(Some(answer)) => {
            signal(app, &mut tx, lease, answer.run, answer.signal.clone()).await?;
            queue::finish(&mut tx, lease).await?;
        }
        Err(error) => failed(app, &mut tx, lease, stopped, error).await?,
    }
    failpoint::pass(app.config.failpoint.as_deref(), "advance.before_commit");
    tx.commit().await?;
    failpoint::pass(app.config.failpoint.as_deref(), "advance.after_commit");
    app.wake.notify();
    Ok(())
}

/// Hands a signal to `advance`. A refusal of a job's answer changes nothing and is only noted.
async fn signal(app: &App, tx: &mut Tx, lease: &Lease, run: RunId, signal: Signal) -> Result<(), StoreError> {
    let cause = Cause { actor: None, request_id: lease.request_id.as_deref(), lease: Some(lease) };
    match flow::advance(app, tx, run, signal, &cause).await {
        Ok(_) => Ok(()),
        Err(FlowError::Refused(refused)) => {
            tracing::warn!(job_id = %lease.job_id, %refused, "the answer of a job came too late");
            Ok(())
        }
        Err(FlowError::Store(error)) => Err(error),
    }
}

async fn failed(
    app: &App,
    tx: &mut Tx,
    lease: &Lease,
    stopped: Option<Stop>,
    error: &JobError,
) -> Result<(), StoreError> {
    match (error.next, stopped) {
        (Next::Lost, _) => Err(StoreError::FencedOut(lease.job_id.0.clone())),
        (Next::Cancel, Some(Stop::Cancelled)) => queue::cancelled(tx, lease).await,
        (Next::Cancel | Next::Snooze, _) | (Next::Retry { .. }, Some(Stop::Drained)) => {
            queue::release(tx, lease).await
        }
        (Next::Retry { after_seconds }, _) if lease.attempt < lease.max_attempts => {
            again(app, tx, lease, error, after_seconds).await
        }
        (Next::Retry { .. } | Next::Fail, _) => give_up(app, tx, lease, error).await,
    }
}

async fn again(
    app: &App,
    tx: &mut Tx,
    lease: &Lease,
    error: &JobError,
    after_seconds: Option<u64>,
) -> Result<(), StoreError> {
    let back_off = u64::try_from(back_off_seconds(lease.attempt)).unwrap_or_default();
    let delay = after_seconds.map_or(back_off, |named| named.max(back_off));
    queue::check(tx, lease).await?;
    if let Some(run) = run_of(tx, &lease.job).await? {
        let event = Event { step: step_of(&lease.job), ..Event::run(EventKind::JobRetryScheduled) }
            .with("attempt", lease.attempt)
            .with("delay_seconds", delay)
            .with("error_category", error.category.as_str())
            .with("error_type", error.error_type.clone())
            .with("error", error.message.clone())
            .with("job_type", lease.job.kind());
        let context = store::event::Context {
            project: lease.project,
            run: Some(run),
            actor: None,
            request_id: lease.request_id.clone(),
            job_id: Some(lease.job_id.0.clone()),
        };
        store::event::append(tx, &context, &event, app.clock.now());
    }
    queue::retry(tx, lease, Duration::from_secs(delay), &error.message).await
}

async fn give_up(app: &App, tx: &mut Tx, lease: &Lease, error: &JobError) -> Result<(), StoreError> {
    if let Some(run) = run_of(tx, &lease.job).await? {
        let failure = Failure {
            reason: error.reason,
            category: error.category,
            error_type: error.error_type.clone(),
            message: error.message.clone(),
            attempts: lease.attempt,
            job_id: Some(lease.job_id.clone()),
            detail: error.detail.clone(),
        };
        signal(app, tx, lease, run, Signal::GaveUp { job: lease.job.clone(), failure }).await?;
    }
    queue::fail(tx, lease, &error.message).await
}

/// Run a job is about.
pub async fn run_of(tx: &mut Tx, job: &Job) -> Result<Option<RunId>, StoreError> {
    Ok(match job {
        Job::PlanProtocol { protocol_run_id } | Job::OpenPullRequest { protocol_run_id } => {
            Some(*protocol_run_id)
        }
        Job::ExecuteStep { step_run_id } | Job::CheckQuality { step_run_id } => {
            Some(store::step::load(tx, &Scope::All, *step_run_id).await?.protocol_run_id)
        }
        Job::Maintenance => None,
    })
}

/// Step a job is about.
pub const fn step_of(job: &Job) -> Option<tg_core::ids::StepId> {
    match job {
        Job::ExecuteStep { step_run_id } | Job::CheckQuality { step_run_id } => Some(*step_run_id),
        Job::PlanProtocol { .. } | Job::OpenPullRequest { .. } | Job::Maintenance => None,
    }
}
