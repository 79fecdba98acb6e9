//! Life of a job, on both databases. Time is moved by writing to the rows, because the database's own
//! clock judges due times and leases.

use std::{collections::BTreeSet, time::Duration};

use tg_core::{
    ids::{JobId, ProjectId, RunId},
    job::{Job, JobStatus, Priority},
    lifecycle::Enqueue,
    scope::Scope,
};
use tg_server::{
    db::{Db, Tx},
    queue::{self, Lease},
    store::{self, StoreError},
};

use crate::database::{self, TestDatabase, on_both, raw};

const LEASE: Duration = Duration::from_secs(30);
const CAP: i64 = 1000;

fn automatic(job: Job) -> Enqueue {
    Enqueue { job, priority: Priority::Automatic }
}

async fn push(tx: &mut Tx, job: Job) -> JobId {
    queue::enqueue(tx, &automatic(job), None, Duration::ZERO, Some("req-1")).await.unwrap()
}

async fn pushed(db: &Db, job: Job) -> JobId {
    let mut tx = db.begin().await.unwrap();
    let id = push(&mut tx, job).await;
    tx.commit().await.unwrap();
    id
}

async fn claimed(db: &Db, cap: i64) -> Option<Lease> {
    let mut tx = db.begin().await.unwrap();
    let lease = queue::claim(&mut tx, "worker-a", LEASE, cap).await.unwrap();
    tx.commit().await.unwrap();
    lease
}

async fn row(db: &Db, id: &JobId) -> queue::JobRow {
    let mut tx = db.read().await.unwrap();
    let rows = queue::list(&mut tx, None, 10_000).await.unwrap();
    rows.into_iter().find(|row| row.id == *id).expect("the job is listed")
}

/// A project with `count` pending runs, so that there are that many different jobs.
async fn runs(db: &Db, name: &str, count: usize) -> (ProjectId, Vec<Job>) {
    let mut tx = db.begin().await.unwrap();
    let project = database::project(&mut tx, name).await;
    let mut jobs = Vec::new();
    for number in 0..count {
        let run = database::run(&mut tx, &project, &format!("{number:04}-task")).await;
        jobs.push(Job::PlanProtocol { protocol_run_id: run.id });
    }
    tx.commit().await.unwrap();
    (project.id, jobs)
}

async fn lose(db: &Db, id: &JobId) {
    assert_eq!(raw(db, &format!("UPDATE jobs SET lease_until = 1 WHERE id = '{id}'")).await, 1);
}

async fn rescued(db: &Db) -> Vec<queue::Rescued> {
    let mut tx = db.begin().await.unwrap();
    let rescued = queue::rescue(&mut tx, 100).await.unwrap();
    tx.commit().await.unwrap();
    rescued
}

async fn a_job_knows_its_subject(test: TestDatabase) {
    let (project, jobs) = runs(&test.db, "demo", 1).await;
    let id = pushed(&test.db, jobs[0].clone()).await;
    let lease = claimed(&test.db, CAP).await.unwrap();
    assert_eq!((&lease.job_id, &lease.job, lease.attempt, lease.max_attempts), (&id, &jobs[0], 1, 3));
    assert_eq!((lease.project, lease.request_id.as_deref()), (Some(project), Some("req-1")));
    let listed = row(&test.db, &id).await;
    assert_eq!((listed.status, listed.project_id, listed.attempts), (JobStatus::Started, Some(project), 1));

    let mut tx = test.db.begin().await.unwrap();
    let missing = Job::ExecuteStep { step_run_id: tg_core::ids::StepId(77) };
    let refused = queue::enqueue(&mut tx, &automatic(missing), None, Duration::ZERO, None).await;
    assert!(matches!(refused, Err(StoreError::NotFound { table: "step_runs", .. })), "{refused:?}");
}

async fn a_live_twin_is_met_and_the_key_is_free_afterwards(test: TestDatabase) {
    let (_, jobs) = runs(&test.db, "demo", 1).await;
    let first = pushed(&test.db, jobs[0].clone()).await;
    assert_eq!(pushed(&test.db, jobs[0].clone()).await, first, "while queued");
    let lease = claimed(&test.db, CAP).await.unwrap();
    assert_eq!(pushed(&test.db, jobs[0].clone()).await, first, "while started");
    let mut tx = test.db.begin().await.unwrap();
    queue::finish(&mut tx, &lease).await.unwrap();
    tx.commit().await.unwrap();
    assert_ne!(pushed(&test.db, jobs[0].clone()).await, first, "after the end");
}

async fn eight_requests_make_one_job(test: TestDatabase) {
    let (_, jobs) = runs(&test.db, "demo", 1).await;
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (db, job) = (test.db.clone(), jobs[0].clone());
            tokio::spawn(async move { pushed(&db, job).await })
        })
        .collect();
    let mut ids = BTreeSet::new();
    for task in tasks {
        ids.insert(task.await.unwrap());
    }
    assert_eq!(ids.len(), 1);
}

async fn a_rolled_back_transaction_leaves_no_job(test: TestDatabase) {
    let (_, jobs) = runs(&test.db, "demo", 1).await;
    let mut tx = test.db.begin().await.unwrap();
    push(&mut tx, jobs[0].clone()).await;
    drop(tx);
    assert_eq!(claimed(&test.db, CAP).await, None);
    let mut tx = test.db.read().await.unwrap();
    assert_eq!(queue::list(&mut tx, None, 10).await.unwrap(), vec![]);
}

async fn eight_claimers_keep_the_cap_and_take_each_job_once(test: TestDatabase) {
    let (_, jobs) = runs(&test.db, "demo", 24).await;
    for job in jobs {
        pushed(&test.db, job).await;
    }
    let claimers: Vec<_> = (0..8)
        .map(|_| {
            let db = test.db.clone();
            tokio::spawn(async move {
                let mut taken = Vec::new();
                let mut misses = 0;
                while misses < 3 {
                    let Some(lease) = claimed(&db, 2).await else {
                        misses += 1;
                        tokio::task::yield_now().await;
                        continue;
                    };
                    let mut tx = db.read().await.unwrap();
                    let running = queue::list(&mut tx, Some(JobStatus::Started), 100).await.unwrap().len();
                    drop(tx);
                    let mut tx = db.begin().await.unwrap();
                    queue::finish(&mut tx, &lease).await.unwrap();
                    tx.commit().await.unwrap();
                    taken.push((lease.job_id, running));
                }
                taken
            })
        })
        .collect();
    let mut ids = BTreeSet::new();
    let mut count = 0;
    for claimer in claimers {
        for (id, running) in claimer.await.unwrap() {
            assert!(running <= 2, "{running} jobs of one project at once");
            count += 1;
            ids.insert(id);
        }
    }
    assert_eq!(ids.len(), count, "no job was taken twice");
    // Whoever saw a full cap went home; the rest is still there and can be claimed.
    while let Some(lease) = claimed(&test.db, 2).await {
        let mut tx = test.db.begin().await.unwrap();
        queue::finish(&mut tx, &lease).await.unwrap();
        tx.commit().await.unwrap();
        count += 1;
    }
    assert_eq!(count, 24);
}

async fn a_cap_of_one_project_leaves_another_alone(test: TestDatabase) {
    let (first, jobs) = runs(&test.db, "first", 3).await;
    let (_, others) = runs(&test.db, "second", 1).await;
    for job in jobs.iter().chain(&others) {
        pushed(&test.db, job.clone()).await;
    }
    assert_eq!(claimed(&test.db, 1).await.unwrap().job, jobs[0]);
    assert_eq!(claimed(&test.db, 1).await.unwrap().job, others[0], "the first project is full");
    assert_eq!(claimed(&test.db, 1).await, None);
    raw(&test.db, &format!("INSERT INTO job_limits VALUES ('project:{first}', 2)")).await;
    assert_eq!(claimed(&test.db, 1).await.unwrap().job, jobs[1], "its own limit wins");
    assert_eq!(claimed(&test.db, 1).await, None);
}

async fn order_is_priority_then_time_then_age(test: TestDatabase) {
    let (_, jobs) = runs(&test.db, "demo", 4).await;
    let mut tx = test.db.begin().await.unwrap();
    push(&mut tx, jobs[0].clone()).await;
    push(&mut tx, jobs[1].clone()).await;
    let urgent = Enqueue { job: jobs[2].clone(), priority: Priority::User };
    queue::enqueue(&mut tx, &urgent, None, Duration::ZERO, None).await.unwrap();
    let later = automatic(jobs[3].clone());
    let delayed = queue::enqueue(&mut tx, &later, None, Duration::from_mins(1), None).await.unwrap();
    tx.commit().await.unwrap();
    let mut order = Vec::new();
    while let Some(lease) = claimed(&test.db, CAP).await {
        order.push(lease.job);
    }
    assert_eq!(order, [jobs[2].clone(), jobs[0].clone(), jobs[1].clone()]);

    assert_eq!(row(&test.db, &delayed).await.status, JobStatus::Scheduled);
    let mut tx = test.db.read().await.unwrap();
    let scheduled = queue::list(&mut tx, Some(JobStatus::Scheduled), 10).await.unwrap();
    assert_eq!(scheduled.iter().map(|row| &row.id).collect::<Vec<_>>(), [&delayed]);
    assert_eq!(queue::list(&mut tx, Some(JobStatus::Queued), 10).await.unwrap(), vec![]);
    drop(tx);
    raw(&test.db, "UPDATE jobs SET run_at = 1 WHERE state = 'queued'").await;
    assert_eq!(claimed(&test.db, CAP).await.unwrap().job, jobs[3]);
}

async fn a_dead_workers_job_comes_back_and_its_late_answer_is_refused(test: TestDatabase) {
    let (_, jobs) = runs(&test.db, "demo", 1).await;
    let id = pushed(&test.db, jobs[0].clone()).await;
    let dead = claimed(&test.db, CAP).await.unwrap();
    assert_eq!(rescued(&test.db).await, vec![], "a live lease is left alone");
    lose(&test.db, &id).await;
    let found = rescued(&test.db).await;
    assert_eq!((found.len(), found[0].status, found[0].attempts), (1, JobStatus::Queued, 1));
    refused_everywhere(&test.db, &dead).await;

    let next = claimed(&test.db, CAP).await.expect("due at once");
    assert_eq!((&next.job_id, next.attempt), (&id, 2));
    assert!(next.fence > dead.fence);
    refused_everywhere(&test.db, &dead).await;
    assert_eq!(row(&test.db, &id).await.status, JobStatus::Started, "the late answers changed nothing");

    let mut tx = test.db.begin().await.unwrap();
    queue::finish(&mut tx, &next).await.unwrap();
    tx.commit().await.unwrap();
    refused_everywhere(&test.db, &next).await;
}

/// Each write of a lost lease fails, and fails as `FencedOut`.
async fn refused_everywhere(db: &Db, lost: &Lease) {
    for write in ["check", "finish", "retry", "fail", "cancelled", "release", "key", "heads", "call"] {
        let mut tx = db.begin().await.unwrap();
        let outcome = match write {
            "check" => queue::check(&mut tx, lost).await,
            "finish" => queue::finish(&mut tx, lost).await,
            "retry" => queue::retry(&mut tx, lost, Duration::ZERO, "late").await,
            "fail" => queue::fail(&mut tx, lost, "late").await,
            "cancelled" => queue::cancelled(&mut tx, lost).await,
            "release" => queue::release(&mut tx, lost).await,
            "key" => queue::yield_key(&mut tx, lost).await,
            "heads" => store::protocol::set_heads(&mut tx, lost, RunId(1), "late", None, 1).await,
            _ => store::call::start(&mut tx, lost, &database::call("late", None), 1).await,
        };
        assert!(matches!(outcome, Err(StoreError::FencedOut(_))), "{write}: {outcome:?}");
        tx.commit().await.unwrap();
    }
}

async fn a_job_that_kills_its_worker_is_tried_three_times(test: TestDatabase) {
    let (_, jobs) = runs(&test.db, "demo", 1).await;
    let id = pushed(&test.db, jobs[0].clone()).await;
    let mut outcomes = Vec::new();
    let mut expected = 1..;
    while let Some(lease) = claimed(&test.db, CAP).await {
        assert_eq!(Some(lease.attempt), expected.next(), "each claim counts");
        lose(&test.db, &id).await;
        outcomes.extend(rescued(&test.db).await.into_iter().map(|found| found.status));
    }
    assert_eq!(outcomes, [JobStatus::Queued, JobStatus::Queued, JobStatus::Failed]);
    let last = row(&test.db, &id).await;
    assert_eq!((last.status, last.attempts), (JobStatus::Failed, 3));
    assert!(last.last_error.unwrap().contains("worker died") && last.finished_at.is_some());
}

async fn a_retry_waits_and_the_last_attempt_has_none(test: TestDatabase) {
    let (_, jobs) = runs(&test.db, "demo", 1).await;
    let id = pushed(&test.db, jobs[0].clone()).await;
    for attempt in 1..=3 {
        let lease = claimed(&test.db, CAP).await.unwrap();
        assert_eq!(lease.attempt, attempt);
        let mut tx = test.db.begin().await.unwrap();
        let before = queue::now(&mut tx).await.unwrap();
        let outcome = queue::retry(&mut tx, &lease, Duration::from_secs(8), "it broke").await;
        if attempt == 3 {
            assert!(matches!(outcome, Err(StoreError::Conflict(_))), "{outcome:?}");
            queue::fail(&mut tx, &lease, "it broke for good").await.unwrap();
            tx.commit().await.unwrap();
            break;
        }
        outcome.unwrap();
        tx.commit().await.unwrap();
        let waiting = row(&test.db, &id).await;
        assert_eq!((waiting.status, waiting.last_error.as_deref()), (JobStatus::Scheduled, Some("it broke")));
        assert!((8_000..30_000).contains(&(waiting.run_at - before)), "{}", waiting.run_at - before);
        assert_eq!(claimed(&test.db, CAP).await, None, "not before its time");
        raw(&test.db, "UPDATE jobs SET run_at = 1").await;
    }
    let last = row(&test.db, &id).await;
    assert_eq!((last.status, last.last_error.as_deref()), (JobStatus::Failed, Some("it broke for good")));
}

async fn a_released_job_does_not_count_and_keeps_its_fence(test: TestDatabase) {
    let (_, jobs) = runs(&test.db, "demo", 1).await;
    pushed(&test.db, jobs[0].clone()).await;
    let first = claimed(&test.db, CAP).await.unwrap();
    let mut tx = test.db.begin().await.unwrap();
    queue::release(&mut tx, &first).await.unwrap();
    tx.commit().await.unwrap();
    let second = claimed(&test.db, CAP).await.unwrap();
    assert_eq!(second.attempt, 1);
    assert_eq!(second.fence.0, first.fence.0 + 1, "the token of the first claim is worth nothing now");
    let mut tx = test.db.begin().await.unwrap();
    assert!(matches!(queue::check(&mut tx, &first).await, Err(StoreError::FencedOut(_))));
    queue::check(&mut tx, &second).await.unwrap();
}

async fn renewal_finds_what_is_still_held(test: TestDatabase) {
    let (_, jobs) = runs(&test.db, "demo", 3).await;
    for job in &jobs {
        pushed(&test.db, job.clone()).await;
    }
    let mut held = Vec::new();
    while let Some(lease) = claimed(&test.db, CAP).await {
        held.push(lease);
    }
    lose(&test.db, &held[0].job_id).await;
    let mut tx = test.db.begin().await.unwrap();
    queue::cancel(&mut tx, &jobs[1]).await.unwrap();
    let mut found = queue::renew(&mut tx, "worker-a", LEASE).await.unwrap();
    tx.commit().await.unwrap();
    found.sort_by_key(|renewed| renewed.job_id.clone());
    let expected: Vec<_> = [&held[0], &held[2]]
        .map(|lease| queue::Renewed {
            job_id: lease.job_id.clone(),
            fence: lease.fence,
            cancel_requested: false,
        })
        .into();
    assert_eq!(found, expected, "late but not yet taken back is renewed, cancelled is lost");
    assert_eq!(rescued(&test.db).await, vec![]);
    let mut tx = test.db.begin().await.unwrap();
    assert_eq!(queue::renew(&mut tx, "worker-b", LEASE).await.unwrap(), vec![]);
}

async fn cancelling_ends_queued_and_started_jobs_and_no_others(test: TestDatabase) {
    let (_, jobs) = runs(&test.db, "demo", 3).await;
    let mut ids = Vec::new();
    for job in &jobs {
        ids.push(pushed(&test.db, job.clone()).await);
    }
    let started = claimed(&test.db, CAP).await.unwrap();
    let finished = claimed(&test.db, CAP).await.unwrap();
    let mut tx = test.db.begin().await.unwrap();
    queue::finish(&mut tx, &finished).await.unwrap();
    for job in jobs.iter().chain(&jobs) {
        queue::cancel(&mut tx, job).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut statuses = Vec::new();
    for id in &ids {
        statuses.push(row(&test.db, id).await.status);
    }
    assert_eq!(statuses, [JobStatus::Cancelled, JobStatus::Finished, JobStatus::Cancelled]);
    refused_everywhere(&test.db, &started).await;
    assert_eq!(claimed(&test.db, CAP).await, None);
}

async fn jobs_of_a_paused_run_wait(test: TestDatabase) {
    let (_, jobs) = runs(&test.db, "demo", 2).await;
    for job in &jobs {
        pushed(&test.db, job.clone()).await;
    }
    let paused = "UPDATE protocol_runs SET status = 'paused', paused_from = 'pending' WHERE protocol_name = '0000-task'";
    assert_eq!(raw(&test.db, paused).await, 1);
    assert_eq!(claimed(&test.db, CAP).await.unwrap().job, jobs[1]);
    assert_eq!(claimed(&test.db, CAP).await, None);
    raw(&test.db, "UPDATE protocol_runs SET status = 'pending', paused_from = NULL").await;
    assert_eq!(claimed(&test.db, CAP).await.unwrap().job, jobs[0]);
}

async fn an_unknown_job_is_failed_and_told_and_the_next_one_taken(test: TestDatabase) {
    let (_, jobs) = runs(&test.db, "demo", 2).await;
    let strange = pushed(&test.db, jobs[0].clone()).await;
    pushed(&test.db, jobs[1].clone()).await;
    raw(
        &test.db,
        &format!("UPDATE jobs SET payload = '{{\"job_type\":\"brew_tea_job\"}}' WHERE id = '{strange}'"),
    )
    .await;
    assert_eq!(claimed(&test.db, CAP).await.unwrap().job, jobs[1]);
    let mut tx = test.db.read().await.unwrap();
    let filter = store::event::Filter { event_type: Some("unknown_job".to_owned()), ..Default::default() };
    let told = store::event::list(&mut tx, &Scope::All, &filter, 10).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].metadata["job_id"], strange.to_string());
    assert_eq!(queue::list(&mut tx, Some(JobStatus::Failed), 10).await.unwrap(), vec![]);
    drop(tx);
    raw(&test.db, "UPDATE jobs SET payload = '{}' WHERE state = 'started'").await;
    let mut tx = test.db.read().await.unwrap();
    let listed = queue::list(&mut tx, None, 10).await;
    assert!(matches!(listed, Err(StoreError::Corrupt { column: "payload", .. })), "{listed:?}");
}

async fn ended_jobs_are_pruned_in_slices(test: TestDatabase) {
    let (_, jobs) = runs(&test.db, "demo", 5).await;
    for job in &jobs {
        pushed(&test.db, job.clone()).await;
    }
    let live = claimed(&test.db, CAP).await.unwrap();
    for _ in 0..3 {
        let lease = claimed(&test.db, CAP).await.unwrap();
        let mut tx = test.db.begin().await.unwrap();
        queue::finish(&mut tx, &lease).await.unwrap();
        tx.commit().await.unwrap();
    }
    let mut tx = test.db.begin().await.unwrap();
    assert_eq!(queue::prune(&mut tx, 1, 100).await.unwrap(), 0, "too young");
    assert_eq!(queue::prune(&mut tx, i64::MAX, 2).await.unwrap(), 2);
    assert_eq!(queue::prune(&mut tx, i64::MAX, 2).await.unwrap(), 1);
    assert_eq!(queue::prune(&mut tx, i64::MAX, 2).await.unwrap(), 0);
    let left: Vec<_> =
        queue::list(&mut tx, None, 10).await.unwrap().into_iter().map(|row| row.status).collect();
    assert_eq!(left, [JobStatus::Queued, JobStatus::Started]);
    queue::check(&mut tx, &live).await.unwrap();
}

async fn a_backlog_is_worked_off(test: TestDatabase) {
    const BACKLOG: usize = 600;
    let (_, jobs) = runs(&test.db, "demo", BACKLOG).await;
    let mut tx = test.db.begin().await.unwrap();
    for job in jobs {
        push(&mut tx, job).await;
    }
    tx.commit().await.unwrap();
    let mut seen = BTreeSet::new();
    let mut tx = test.db.begin().await.unwrap();
    while let Some(lease) = queue::claim(&mut tx, "worker-a", LEASE, 1).await.unwrap() {
        queue::finish(&mut tx, &lease).await.unwrap();
        seen.insert(lease.job_id);
    }
    tx.commit().await.unwrap();
    assert_eq!(seen.len(), BACKLOG);
}

mod both {
    use super::on_both;
    on_both!(
        a_job_knows_its_subject,
        a_live_twin_is_met_and_the_key_is_free_afterwards,
        eight_requests_make_one_job,
        a_rolled_back_transaction_leaves_no_job,
        eight_claimers_keep_the_cap_and_take_each_job_once,
        a_cap_of_one_project_leaves_another_alone,
        order_is_priority_then_time_then_age,
        a_dead_workers_job_comes_back_and_its_late_answer_is_refused,
        a_job_that_kills_its_worker_is_tried_three_times,
        a_retry_waits_and_the_last_attempt_has_none,
        a_released_job_does_not_count_and_keeps_its_fence,
        renewal_finds_what_is_still_held,
        cancelling_ends_queued_and_started_jobs_and_no_others,
        jobs_of_a_paused_run_wait,
        an_unknown_job_is_failed_and_told_and_the_next_one_taken,
        ended_jobs_are_pruned_in_slices,
        a_backlog_is_worked_off,
    );
}
