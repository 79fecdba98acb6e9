//! Claims jobs, renews before it starts them, runs them, and writes their answers.
//! Never inside a transaction while a job runs; knows nothing of what a job does.

pub mod answer;
pub mod heartbeat;
pub mod scheduler;
mod told;

use std::time::{Duration, Instant};

use tg_core::job::ErrorCategory;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use self::heartbeat::{Held, Slot};
use crate::{
    app::App,
    failpoint,
    jobs::{self, Answer, JobError},
    queue::{self, Lease},
    store::StoreError,
};

/// Backstop for a lost hint.
const POLL: Duration = Duration::from_secs(1);

/// What running jobs get to end by themselves after a stop was asked for.
const DRAIN: Duration = Duration::from_secs(25);

/// A new owner: leases of an earlier process are never taken for ours.
pub fn new_owner() -> String {
    format!("{}:{}", name(), uuid::Uuid::now_v7())
}

/// What workers of this process call themselves: `host:pid`.
pub fn name() -> String {
    format!("{}:{}", host(), std::process::id())
}

fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Works until `stop` is cancelled, then drains: running jobs get some time to end, the rest is
/// stopped and handed back.
pub async fn run(app: App, stop: CancellationToken) -> Result<(), StoreError> {
    run_with(app, stop, DRAIN).await
}

/// As `run`, with the time that running jobs get to end.
pub async fn run_with(app: App, stop: CancellationToken, patience: Duration) -> Result<(), StoreError> {
    let owner = new_owner();
    let held = Held::default();
    let _heart = heartbeat::start(&app, &owner, held.clone())?;
    let scheduler = tokio::spawn(scheduler::run(app.clone(), stop.clone()));
    let mut work = JoinSet::new();
    while !stop.is_cancelled() {
        let hint = app.wake.listen();
        tokio::pin!(hint);
        hint.as_mut().enable();
        while work.len() < app.config.worker_concurrency && !stop.is_cancelled() {
            match take(&app, &owner, &held).await {
                Ok(Some((lease, slot))) => {
                    let (app, held) = (app.clone(), held.clone());
                    work.spawn(async move { carry(app, held, lease, slot).await });
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "cannot claim a job; trying again");
                    break;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = hint => {}
            Some(_) = work.join_next(), if !work.is_empty() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
    drain(&mut work, &held, patience).await;
    if let Err(error) = scheduler.await {
        tracing::error!(%error, "the scheduler ended badly");
    }
    Ok(())
}

/// Claims one job and renews its lease once; without that first renewal nothing starts.
pub async fn take(app: &App, owner: &str, held: &Held) -> Result<Option<(Lease, Slot)>, StoreError> {
    let asked = Instant::now();
    let mut tx = app.db.begin().await?;
    let cap = app.config.project_concurrency;
    let Some(lease) = queue::claim(&mut tx, owner, app.config.lease, cap).await? else {
        return Ok(None);
    };
    tx.commit().await?;
    failpoint::pass(app.config.failpoint.as_deref(), "job.claimed");
    let slot = held.add(&lease, asked + heartbeat::usable(app.config.lease));
    let renewed = heartbeat::beat(&app.db, owner, app.config.lease, held).await;
    if let Err(error) = renewed {
        held.remove(&lease);
        return Err(error);
    }
    if slot.cancel.is_cancelled() {
        // Lost or cancelled between claim and first renewal: nothing was started, nothing is written.
        held.remove(&lease);
        answer::settle(app, &lease, slot.why(), Err(JobError::cancelled())).await?;
        return Ok(None);
    }
    failpoint::pass(app.config.failpoint.as_deref(), "job.renewed");
    Ok(Some((lease, slot)))
}

/// Runs one job to its end and writes its answer.
pub async fn carry(app: App, held: Held, lease: Lease, slot: Slot) {
    let (job_app, job_lease, cancel) = (app.clone(), lease.clone(), slot.cancel.clone());
    carry_out(app, held, lease, slot, async move { jobs::run(&job_app, &job_lease, &cancel).await }).await;
}

/// As `carry`, with the work given. A panic is a failure of that job alone.
pub async fn carry_out<Work>(app: App, held: Held, lease: Lease, slot: Slot, work: Work)
where
    Work: Future<Output = Result<Option<Answer>, JobError>> + Send + 'static,
{
    let (span, began) = (told::span(&lease), Instant::now());
    let ended = tokio::spawn(work.instrument(span.clone())).await;
    let outcome: Result<Option<Answer>, JobError> = ended.unwrap_or_else(|error| {
        tracing::error!(job_id = %lease.job_id, %error, "a job panicked");
        Err(JobError::retry(ErrorCategory::Runtime, "panic", format!("the job broke off: {error}")))
    });
    told::ended(&span, outcome.as_ref().err(), began.elapsed());
    if let Err(error) = answer::settle(&app, &lease, slot.why(), outcome).instrument(span).await {
        // The lease runs out and the job is offered again.
        tracing::error!(job_id = %lease.job_id, %error, "cannot write down how a job ended");
    }
    held.remove(&lease);
}

async fn drain(work: &mut JoinSet<()>, held: &Held, patience: Duration) {
    let ended = tokio::time::timeout(patience, async { while work.join_next().await.is_some() {} }).await;
    if ended.is_err() {
        held.stop_all();
        while work.join_next().await.is_some() {}
    }
}
