//! Renews leases from a thread of its own, so that busy jobs never starve it, and fences this worker by
//! the monotonic clock: a lease that could not be renewed in time kills its job before it ends.
//! Writes nothing but renewals.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tg_core::ids::{Fence, JobId};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    app::App,
    db::Db,
    queue::{self, Lease},
    store::StoreError,
};

/// Why a job was told to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Somebody asked to cancel it.
    Cancelled,
    /// Its lease is gone or about to end: it must write nothing more.
    Lost,
    /// The worker stops; the job goes back to the queue.
    Drained,
}

/// A job at work.
#[derive(Debug, Clone)]
pub struct Slot {
    fence: Fence,
    /// Stops the job and kills its process tree.
    pub cancel: CancellationToken,
    why: Arc<OnceLock<Stop>>,
    deadline: Instant,
}

impl Slot {
    /// Why the job was told to stop, if it was.
    pub fn why(&self) -> Option<Stop> {
        self.why.get().copied()
    }

    /// Stops the job; the first reason stands.
    fn stop(&self, why: Stop) {
        self.why.get_or_init(|| why);
        self.cancel.cancel();
    }
}

/// The jobs this worker holds.
#[derive(Debug, Clone, Default)]
pub struct Held(Arc<Mutex<BTreeMap<JobId, Slot>>>);

impl Held {
    /// Adds a claimed job; without a renewal it is stopped at `deadline`.
    pub fn add(&self, lease: &Lease, deadline: Instant) -> Slot {
        let slot =
            Slot { fence: lease.fence, cancel: CancellationToken::new(), why: Arc::default(), deadline };
        self.slots().insert(lease.job_id.clone(), slot.clone());
        slot
    }

    /// Forgets an ended job.
    pub fn remove(&self, lease: &Lease) {
        let mut slots = self.slots();
        if slots.get(&lease.job_id).is_some_and(|slot| slot.fence == lease.fence) {
            slots.remove(&lease.job_id);
        }
    }

    /// Stops every job; each goes back to the queue.
    pub fn stop_all(&self) {
        self.slots().values().for_each(|slot| slot.stop(Stop::Drained));
    }

    /// Stops every job whose lease may have ended by now.
    pub fn fence(&self, now: Instant) {
        self.slots().values().filter(|slot| now >= slot.deadline).for_each(|slot| slot.stop(Stop::Lost));
    }

    fn snapshot(&self) -> BTreeMap<JobId, Fence> {
        self.slots().iter().map(|(job, slot)| (job.clone(), slot.fence)).collect()
    }

    /// Compares what the database says with the jobs held when it was asked; `deadline` is the new one
    /// after a renewal. A job that is not there was cancelled or given to somebody else.
    fn compare(&self, before: &BTreeMap<JobId, Fence>, found: &[queue::Renewed], deadline: Option<Instant>) {
        let mut slots = self.slots();
        for (job, fence) in before {
            let Some(slot) = slots.get_mut(job).filter(|slot| slot.fence == *fence) else { continue };
            match found.iter().find(|renewed| renewed.job_id == *job && renewed.fence == *fence) {
                Some(renewed) => {
                    slot.deadline = deadline.unwrap_or(slot.deadline);
                    if renewed.cancel_requested {
                        slot.stop(Stop::Cancelled);
                    }
                }
                None => slot.stop(Stop::Lost),
            }
        }
    }

    fn slots(&self) -> MutexGuard<'_, BTreeMap<JobId, Slot>> {
        // A poisoned map is whole: every change is one insert, remove or field.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The part of a lease a job may use: the rest is for killing its process tree.
pub fn usable(lease: Duration) -> Duration {
    lease.saturating_sub(lease / 5)
}

/// Renews once, now.
pub async fn beat(db: &Db, owner: &str, lease: Duration, held: &Held) -> Result<(), StoreError> {
    let before = held.snapshot();
    if before.is_empty() {
        return Ok(());
    }
    let asked = Instant::now();
    let mut tx = db.begin().await?;
    let found = queue::renew(&mut tx, owner, lease).await?;
    tx.commit().await?;
    held.compare(&before, &found, Some(asked + usable(lease)));
    Ok(())
}

/// Looks for jobs that were cancelled, without renewing.
async fn look(db: &Db, owner: &str, held: &Held) -> Result<(), StoreError> {
    let before = held.snapshot();
    if before.is_empty() {
        return Ok(());
    }
    let mut tx = db.read().await?;
    let found = queue::held(&mut tx, owner).await?;
    drop(tx);
    held.compare(&before, &found, None);
    Ok(())
}

/// A running heartbeat; ends when dropped.
#[derive(Debug)]
pub struct Heart {
    _stop: DropGuard,
}

/// Starts the heartbeat on a thread and a database connection of its own.
///
/// # Errors
/// When the system gives no thread.
pub fn start(app: &App, owner: &str, held: Held) -> Result<Heart, StoreError> {
    let stop = CancellationToken::new();
    let (app, owner, token) = (app.clone(), owner.to_owned(), stop.clone());
    std::thread::Builder::new()
        .name("heartbeat".to_owned())
        .spawn(move || match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(keep(app, owner, held, token)),
            Err(error) => {
                tracing::error!(%error, "no heartbeat: every job is stopped");
                held.stop_all();
            }
        })
        .map_err(|error| StoreError::Conflict(format!("cannot start the heartbeat: {error}")))?;
    Ok(Heart { _stop: stop.drop_guard() })
}

/// Longest time until a cancelled job is noticed without a hint.
const LOOK: Duration = Duration::from_millis(700);

/// Renews at a third of the lease, looks for cancelled jobs and at the deadlines in between. A database
/// that hangs does not keep the deadlines from being looked at.
async fn keep(app: App, owner: String, held: Held, stop: CancellationToken) {
    let lease = app.config.lease;
    let pause = (lease / 20).clamp(Duration::from_millis(10), LOOK);
    let mut own: Option<Db> = None;
    let mut due = Instant::now() + lease / 3;
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => return,
            () = app.wake.listen() => {}
            () = tokio::time::sleep(pause) => {}
        }
        held.fence(Instant::now());
        let renews = Instant::now() >= due;
        let asked = async {
            let db = match &own {
                Some(db) => db,
                None => own.insert(Db::open(app.config.database_url.expose(), 1).await?),
            };
            if renews { beat(db, &owner, lease, &held).await } else { look(db, &owner, &held).await }
        };
        tokio::pin!(asked);
        let ended = loop {
            tokio::select! {
                ended = &mut asked => break ended,
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => held.fence(Instant::now()),
            }
        };
        match ended {
            Ok(()) if renews => due = Instant::now() + lease / 3,
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "cannot renew leases; trying again"),
        }
    }
}
