//! Works on the jobs of a world, or dies trying.

use std::{sync::atomic::Ordering, time::Duration};

use serde_json::Value;
use tg_core::{
    ids::RunId,
    job::{Job, Priority},
    lifecycle::Enqueue,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::TestApp;
use crate::{
    db::dialect::{Row, args},
    jobs::{self, Answer, JobError},
    queue::{self, Lease},
    store::{StoreError, event::StoredEvent},
    worker::{self, heartbeat::Held, scheduler},
};

impl TestApp {
    /// Works on everything that is due, one job after another, until nothing is. Returns how many.
    ///
    /// # Panics
    /// When jobs follow from jobs without an end.
    #[expect(clippy::panic, reason = "a test that runs in a circle must end")]
    pub async fn run_pending_jobs(&self) -> usize {
        let (held, owner) = (Held::default(), worker::new_owner());
        for count in 0..200 {
            let taken = worker::take(&self.app, &owner, &held).await.expect("a job can be claimed");
            let Some((lease, slot)) = taken else { return count };
            self.clock.fetch_add(1000, Ordering::SeqCst);
            worker::carry(self.app.clone(), held.clone(), lease, slot).await;
        }
        panic!("jobs follow from jobs without an end:\n{}", self.timelines().await);
    }

    /// Works on one due job; `false` when there is none.
    pub async fn run_one_job(&self) -> bool {
        let (held, owner) = (Held::default(), worker::new_owner());
        let taken = worker::take(&self.app, &owner, &held).await.expect("a job can be claimed");
        let Some((lease, slot)) = taken else { return false };
        worker::carry(self.app.clone(), held, lease, slot).await;
        true
    }

    /// Claims one due job and does nothing with it: what a worker holds that is about to die.
    pub async fn take(&self) -> Option<Lease> {
        let (held, owner) = (Held::default(), worker::new_owner());
        let taken = worker::take(&self.app, &owner, &held).await.expect("a job can be claimed");
        taken.map(|(lease, _slot)| lease)
    }

    /// Does the work of a held job and tells nobody: its worker dies before it can answer.
    pub async fn work_and_die(&self) -> Result<Option<Answer>, JobError> {
        let lease = self.take().await.expect("a job is due");
        jobs::run(&self.app, &lease, &CancellationToken::new()).await
    }

    /// Does the work of a held job and writes down how it ended.
    pub async fn finish(&self, lease: Lease) {
        let held = Held::default();
        let slot = held.add(&lease, std::time::Instant::now() + Duration::from_hours(1));
        worker::carry(self.app.clone(), held, lease, slot).await;
    }

    /// Lets time pass on the application's clock.
    pub fn pass(&self, time: Duration) {
        self.clock.fetch_add(i64::try_from(time.as_millis()).expect("a short time"), Ordering::SeqCst);
    }

    /// Loses every queued job, as a mistake of ours would.
    pub async fn forget_queued_jobs(&self) {
        let mut tx = self.app.db.begin().await.expect("begins");
        tx.execute("DELETE FROM jobs WHERE state = 'queued'", args![]).await.expect("jobs are deleted");
        tx.commit().await.expect("commits");
    }

    /// Queues house-keeping and does it.
    pub async fn keep_house(&self) {
        let what = Enqueue { job: Job::Maintenance, priority: Priority::Automatic };
        let mut tx = self.app.db.begin().await.expect("begins");
        queue::enqueue(&mut tx, &what, None, Duration::ZERO, None).await.expect("it is queued");
        tx.commit().await.expect("commits");
        self.run_pending_jobs().await;
    }

    /// Takes back what dead workers held.
    pub async fn rescue(&self) -> usize {
        self.expire_leases().await;
        scheduler::rescue(&self.app).await.expect("jobs can be rescued")
    }

    /// Starts a worker in the background.
    pub fn worker(&self, patience: Duration) -> Worker {
        let stop = CancellationToken::new();
        let task = tokio::spawn(worker::run_with(self.app.clone(), stop.clone(), patience));
        Worker { stop, task }
    }

    /// Waits until something is so.
    ///
    /// # Panics
    /// When it is not so after half a minute.
    pub async fn until<F: Future<Output = bool>>(&self, what: &str, mut is_so: impl FnMut() -> F) {
        let began = std::time::Instant::now();
        while !is_so().await {
            let is_late = began.elapsed() > Duration::from_secs(30);
            assert!(!is_late, "waited in vain: {what}\n{}", self.timelines().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the timeline of a run holds this event (of a step, if one is named).
    pub async fn until_event(&self, run: RunId, kind: &str, step: Option<&str>) {
        self.until(kind, || async {
            let events = self.events(run).await;
            let names = |event: &StoredEvent| event.metadata.get("step_name").cloned();
            events.iter().any(|event| {
                event.event_type == kind && (step.is_none() || names(event) == step.map(Value::from))
            })
        })
        .await;
    }

    /// Lets the time of every back-off pass; returns the delays in seconds, rounded.
    pub async fn skip_back_off(&self) -> Vec<i64> {
        let mut tx = self.app.db.begin().await.expect("begins");
        let now = tx.now().await.expect("the database has a clock");
        let rows = tx
            .all("SELECT run_at FROM jobs WHERE state = 'queued' AND run_at > $1 ORDER BY run_at", args![now])
            .await
            .expect("jobs are listed");
        let delay = |row: &Row| {
            let at = row.int("run_at").expect("a column of the table").expect("never null");
            (at - now + 500) / 1000
        };
        let delays = rows.iter().map(delay).collect();
        tx.execute("UPDATE jobs SET run_at = $1 WHERE state = 'queued'", args![now])
            .await
            .expect("jobs are updated");
        tx.commit().await.expect("commits");
        delays
    }

    /// Lets every lease run out, as if all workers had died.
    pub async fn expire_leases(&self) {
        let mut tx = self.app.db.begin().await.expect("begins");
        tx.execute("UPDATE jobs SET lease_until = 1 WHERE state = 'started'", args![])
            .await
            .expect("jobs are updated");
        tx.commit().await.expect("commits");
    }

    /// Works through back-offs too, until nothing is queued. Returns the delays met.
    pub async fn run_to_rest(&self) -> Vec<i64> {
        let mut delays = Vec::new();
        loop {
            self.run_pending_jobs().await;
            let met = self.skip_back_off().await;
            if met.is_empty() {
                return delays;
            }
            delays.extend(met);
        }
    }
}

/// A worker in the background; stop it before the world ends.
pub struct Worker {
    stop: CancellationToken,
    task: JoinHandle<Result<(), StoreError>>,
}

impl Worker {
    /// Stops it and waits for its end.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("the worker does not panic").expect("the worker ends well");
    }
}
