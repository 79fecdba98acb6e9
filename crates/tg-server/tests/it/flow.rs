//! `advance` from end to end, on both databases: statuses, events, jobs and leases in one transaction.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value, json};
use tg_core::{
    ids::{RunId, StepId},
    job::{ErrorCategory, Job, JobStatus},
    lifecycle::{Decision, Executed, Failure, PlannedStep, Refused, Signal, Source},
    scope::Scope,
    status::ProtocolStatus,
    step::{StepStatus, StepType},
};
use tg_server::{
    app::App,
    db::Db,
    flow::{self, Cause, FlowError},
    queue::{self, Lease},
    store::{self, StoreError, event::Filter},
};

use crate::database::{self, TestDatabase, on_both, raw};

const LEASE: Duration = Duration::from_secs(30);

fn planned(index: i64, name: &str, policy: Option<Value>) -> PlannedStep {
    PlannedStep {
        index,
        name: name.to_owned(),
        step_type: StepType::Work,
        engine_id: None,
        model: None,
        summary: None,
        policy,
    }
}

fn plan_ready(steps: Vec<PlannedStep>) -> Signal {
    Signal::PlanReady { steps, detail: Map::new(), events: vec![] }
}

/// A person's signal, committed when it is not refused.
async fn send(app: &App, run: RunId, signal: Signal) -> Result<Vec<Decision>, FlowError> {
    let mut tx = app.db.begin().await.unwrap();
    let cause = Cause { actor: Some("ada"), request_id: Some("req-1"), lease: None };
    let decisions = flow::advance(app, &mut tx, run, signal, &cause).await?;
    tx.commit().await.unwrap();
    Ok(decisions)
}

/// A job's answer: the signal and the end of the job in one transaction.
async fn answer(app: &App, run: RunId, lease: &Lease, signal: Signal) -> Result<(), FlowError> {
    let mut tx = app.db.begin().await.unwrap();
    let cause = Cause { lease: Some(lease), ..Cause::default() };
    flow::advance(app, &mut tx, run, signal, &cause).await?;
    queue::finish(&mut tx, lease).await?;
    tx.commit().await.unwrap();
    Ok(())
}

async fn claimed(db: &Db) -> Option<Lease> {
    let mut tx = db.begin().await.unwrap();
    let lease = queue::claim(&mut tx, "worker-a", LEASE, 9).await.unwrap();
    tx.commit().await.unwrap();
    lease
}

async fn statuses(db: &Db, run: RunId) -> (ProtocolStatus, Vec<StepStatus>) {
    let mut tx = db.read().await.unwrap();
    let stored = store::protocol::load(&mut tx, &Scope::All, run).await.unwrap();
    let steps = store::step::list(&mut tx, &Scope::All, run).await.unwrap();
    (stored.status, steps.into_iter().map(|step| step.status).collect())
}

async fn step_ids(db: &Db, run: RunId) -> Vec<StepId> {
    let mut tx = db.read().await.unwrap();
    let steps = store::step::list(&mut tx, &Scope::All, run).await.unwrap();
    steps.into_iter().map(|step| step.id).collect()
}

/// Events of everything, oldest first, after the invariants were checked: gapless, chained, and the
/// transitions folded give the rows.
async fn timeline(db: &Db, run: RunId) -> Vec<store::event::StoredEvent> {
    let mut tx = db.read().await.unwrap();
    let mut events = store::event::list(&mut tx, &Scope::All, &Filter::default(), 1000).await.unwrap();
    events.reverse();
    let order: Vec<_> = events.iter().map(|event| event.project_seq).collect();
    assert!(order.iter().copied().eq((1_i64..).take(order.len())), "gapless: {order:?}");
    let verified = store::event::verify(&mut tx, None).await.unwrap();
    let checked = usize::try_from(verified.checked).unwrap();
    assert_eq!((checked, verified.first_bad), (events.len(), None));

    let mut folded: BTreeMap<(String, i64), String> = BTreeMap::new();
    for event in &events {
        for change in event.metadata["transitions"].as_array().into_iter().flatten() {
            let word = |key: &str| change[key].as_str().unwrap().to_owned();
            let key = (word("entity"), change["id"].as_i64().unwrap());
            let before = folded.insert(key.clone(), word("to")).unwrap_or_else(|| "pending".to_owned());
            assert_eq!(before, word("from"), "{key:?} at event {}", event.seq);
        }
    }
    let stored = store::protocol::load(&mut tx, &Scope::All, run).await.unwrap();
    let mut rows = vec![(("protocol_run".to_owned(), run.0), stored.status.as_str())];
    for step in store::step::list(&mut tx, &Scope::All, run).await.unwrap() {
        rows.push((("step_run".to_owned(), step.id.0), step.status.as_str()));
    }
    for (key, status) in rows {
        assert_eq!(folded.get(&key).map_or("pending", String::as_str), status, "{key:?}");
    }
    events
}

fn kinds(events: &[store::event::StoredEvent]) -> Vec<&str> {
    events.iter().map(|event| event.event_type.as_str()).collect()
}

/// A run that is planned with these steps, its first step queued by `auto_advance`.
async fn running(test: &TestDatabase, steps: Vec<PlannedStep>) -> (App, RunId) {
    let (_, run) = database::seeded(&test.db).await;
    let app = test.app();
    send(&app, run, Signal::Start).await.unwrap();
    let lease = claimed(&test.db).await.unwrap();
    answer(&app, run, &lease, plan_ready(steps)).await.unwrap();
    (app, run)
}

fn executed(step: StepId) -> Signal {
    Signal::Executed {
        step,
        outcome: Executed::NeedsQa,
        sha: Some(format!("sha-{step}")),
        detail: Map::new(),
        verdict: Map::new(),
        push_failed: None,
    }
}

fn gave_up(lease: &Lease) -> Signal {
    let failure = Failure {
        reason: None,
        category: ErrorCategory::Codex,
        error_type: "engine".to_owned(),
        message: "it broke".to_owned(),
        attempts: lease.attempt,
        job_id: Some(lease.job_id.clone()),
        detail: Map::new(),
    };
    Signal::GaveUp { job: lease.job.clone(), failure }
}

async fn a_whole_run_is_carried_by_its_jobs(test: TestDatabase) {
    let (_, run) = database::seeded(&test.db).await;
    let app = test.app();
    send(&app, run, Signal::Start).await.unwrap();
    assert_eq!(statuses(&test.db, run).await, (ProtocolStatus::Planning, vec![]));
    let mut jobs = Vec::new();
    while let Some(lease) = claimed(&test.db).await {
        assert!(jobs.len() < 20, "the run does not come to an end: {jobs:?}");
        jobs.push(lease.job.run_kind());
        let signal = match &lease.job {
            Job::PlanProtocol { .. } => {
                plan_ready(vec![planned(0, "01-one.md", None), planned(1, "02-two.md", None)])
            }
            Job::ExecuteStep { step_run_id } => {
                let mut tx = test.db.begin().await.unwrap();
                store::step::set_started(&mut tx, &lease, *step_run_id, "base", 5).await.unwrap();
                tx.commit().await.unwrap();
                executed(*step_run_id)
            }
            Job::CheckQuality { step_run_id } => {
                Signal::Judged { step: *step_run_id, passed: true, detail: Map::new() }
            }
            Job::OpenPullRequest { .. } => Signal::PushDone { sha: None, events: vec![] },
            Job::Maintenance => panic!("nobody queued it"),
        };
        answer(&app, run, &lease, signal).await.unwrap();
    }
    assert_eq!(jobs, ["plan", "exec", "qa", "exec", "qa"]);
    assert_eq!(statuses(&test.db, run).await, (ProtocolStatus::Completed, vec![StepStatus::Completed; 2]));
    let events = timeline(&test.db, run).await;
    assert_eq!(kinds(&events).first(), Some(&"planning_enqueued"));
    assert_eq!(kinds(&events).last(), Some(&"protocol_completed"));
    assert_eq!(
        (events[0].actor.as_deref(), &events[0].metadata["request_id"]),
        (Some("ada"), &json!("req-1"))
    );

    let mut tx = test.db.read().await.unwrap();
    let rows = queue::list(&mut tx, None, 99).await.unwrap();
    assert!(rows.iter().all(|row| row.status == JobStatus::Finished));
    let plan = rows.iter().find(|row| row.job.run_kind() == "plan").unwrap();
    assert_eq!(events[0].metadata["job_id"], plan.id.to_string(), "the event names the job it queued");
    let step = &store::step::list(&mut tx, &Scope::All, run).await.unwrap()[0];
    assert_eq!(step.head_sha, Some(format!("sha-{}", step.id)));
    assert_eq!((step.started_at, step.finished_at.is_some()), (Some(5), true));
}

async fn eight_requests_for_one_step_have_one_winner(test: TestDatabase) {
    let (app, run) = running(&test, vec![planned(0, "01-one.md", None)]).await;
    let step = step_ids(&test.db, run).await[0];
    let lease = claimed(&test.db).await.unwrap();
    answer(&app, run, &lease, gave_up(&lease)).await.unwrap();
    assert_eq!(statuses(&test.db, run).await, (ProtocolStatus::Blocked, vec![StepStatus::Failed]));
    let before = timeline(&test.db, run).await.len();
    for _ in 0..5 {
        let requests: Vec<_> = (0..8)
            .map(|_| {
                let app = app.clone();
                tokio::spawn(
                    async move { send(&app, run, Signal::RunStep { step, source: Source::Api }).await },
                )
            })
            .collect();
        let (mut won, mut refused) = (0, 0);
        for request in requests {
            match request.await.unwrap() {
                Ok(_) => won += 1,
                Err(FlowError::Refused(
                    Refused::IllegalTransition { .. } | Refused::StepAlreadyActive { .. },
                )) => {
                    refused += 1;
                }
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!((won, refused), (1, 7));
        let lease = claimed(&test.db).await.expect("one job");
        assert_eq!(claimed(&test.db).await, None, "and no second one");
        answer(&app, run, &lease, gave_up(&lease)).await.unwrap();
    }
    assert!(timeline(&test.db, run).await.len() > before);
}

async fn a_late_answer_after_a_rescue_changes_nothing(test: TestDatabase) {
    let (app, run) = running(&test, vec![planned(0, "01-one.md", None), planned(1, "02-two.md", None)]).await;
    let step = step_ids(&test.db, run).await[0];
    let zombie = claimed(&test.db).await.unwrap();
    raw(&test.db, "UPDATE jobs SET lease_until = 1 WHERE state = 'started'").await;
    let mut tx = test.db.begin().await.unwrap();
    assert_eq!(queue::rescue(&mut tx, 9).await.unwrap().len(), 1);
    tx.commit().await.unwrap();
    let holder = claimed(&test.db).await.unwrap();
    assert_eq!((holder.attempt, &holder.job_id), (2, &zombie.job_id));
    let before = (statuses(&test.db, run).await, timeline(&test.db, run).await);

    let late = answer(&app, run, &zombie, executed(step)).await;
    assert!(matches!(late, Err(FlowError::Store(StoreError::FencedOut(_)))), "{late:?}");
    // The lease is looked at before anything is decided or written.
    let mut tx = test.db.begin().await.unwrap();
    let cause = Cause { lease: Some(&zombie), ..Cause::default() };
    let late = flow::advance(&app, &mut tx, run, executed(step), &cause).await;
    assert!(matches!(late, Err(FlowError::Store(StoreError::FencedOut(_)))), "{late:?}");
    tx.commit().await.unwrap();
    assert_eq!((statuses(&test.db, run).await, timeline(&test.db, run).await), before);
    // Also when the lease is lost between the decision and the end of the job.
    let mut tx = test.db.begin().await.unwrap();
    flow::advance(&app, &mut tx, run, executed(step), &Cause::default()).await.unwrap();
    let late = queue::finish(&mut tx, &zombie).await;
    assert!(matches!(late, Err(StoreError::FencedOut(_))), "{late:?}");
    drop(tx);
    assert_eq!((statuses(&test.db, run).await, timeline(&test.db, run).await), before);

    answer(&app, run, &holder, executed(step)).await.unwrap();
    assert_eq!(statuses(&test.db, run).await.1, [StepStatus::NeedsQa, StepStatus::Pending]);
    timeline(&test.db, run).await;
}

async fn a_job_that_died_for_good_blocks_its_run(test: TestDatabase) {
    let (app, run) = running(&test, vec![planned(0, "01-one.md", None)]).await;
    for attempt in 1..=3 {
        assert_eq!(claimed(&test.db).await.unwrap().attempt, attempt);
        raw(&test.db, "UPDATE jobs SET lease_until = 1 WHERE state = 'started'").await;
        let mut tx = test.db.begin().await.unwrap();
        let rescued = queue::rescue(&mut tx, 9).await.unwrap();
        if rescued[0].status == JobStatus::Failed {
            let failure = Failure {
                reason: None,
                category: ErrorCategory::Runtime,
                error_type: "worker_died".to_owned(),
                message: "the worker died three times".to_owned(),
                attempts: rescued[0].attempts,
                job_id: Some(rescued[0].job_id.clone()),
                detail: Map::new(),
            };
            let signal = Signal::GaveUp { job: rescued[0].job.clone(), failure };
            flow::advance(&app, &mut tx, run, signal, &Cause::default()).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
    assert_eq!(claimed(&test.db).await, None);
    assert_eq!(statuses(&test.db, run).await, (ProtocolStatus::Blocked, vec![StepStatus::Failed]));
    timeline(&test.db, run).await;
}

async fn a_refused_signal_writes_nothing(test: TestDatabase) {
    let (app, run) = running(&test, vec![planned(0, "01-one.md", None)]).await;
    let before = (statuses(&test.db, run).await, timeline(&test.db, run).await);
    let refused = send(&app, run, Signal::Start).await;
    assert!(matches!(refused, Err(FlowError::Refused(Refused::IllegalTransition { .. }))), "{refused:?}");
    assert_eq!((statuses(&test.db, run).await, timeline(&test.db, run).await), before);
}

async fn an_empty_decision_writes_nothing(test: TestDatabase) {
    let (app, run) = running(&test, vec![planned(0, "01-one.md", None)]).await;
    send(&app, run, Signal::Pause { reason: None }).await.unwrap();
    let before = timeline(&test.db, run).await;
    let again = send(&app, run, Signal::Pause { reason: None }).await.unwrap();
    assert!(again[0].events.is_empty() && again[0].run.is_none());
    assert_eq!(timeline(&test.db, run).await, before);
}

async fn pausing_holds_the_next_job_and_cancelling_fences_the_worker(test: TestDatabase) {
    let (app, run) = running(&test, vec![planned(0, "01-one.md", None)]).await;
    send(&app, run, Signal::Pause { reason: None }).await.unwrap();
    assert_eq!(claimed(&test.db).await, None, "held while paused");
    send(&app, run, Signal::Resume { reason: None }).await.unwrap();
    let lease = claimed(&test.db).await.expect("released by resume");
    send(&app, run, Signal::Cancel { reason: None }).await.unwrap();
    assert_eq!(statuses(&test.db, run).await, (ProtocolStatus::Cancelled, vec![StepStatus::Cancelled]));
    let mut tx = test.db.begin().await.unwrap();
    assert_eq!(
        queue::renew(&mut tx, "worker-a", LEASE).await.unwrap(),
        vec![],
        "so the worker stops its agent"
    );
    drop(tx);
    let step = step_ids(&test.db, run).await[0];
    let late = answer(&app, run, &lease, executed(step)).await;
    assert!(matches!(late, Err(FlowError::Store(StoreError::FencedOut(_)))), "{late:?}");
    assert_eq!(claimed(&test.db).await, None);
    timeline(&test.db, run).await;
}

async fn a_step_that_loops_to_itself_is_queued_again(test: TestDatabase) {
    let again = json!([{ "module_id": "again", "behavior": "loop", "action": "stepBack", "max_iterations": 1,
                         "target_step": "01-one.md" }]);
    let (app, run) = running(&test, vec![planned(0, "01-one.md", Some(again))]).await;
    let first = claimed(&test.db).await.unwrap();
    answer(&app, run, &first, gave_up(&first)).await.unwrap();
    let second = claimed(&test.db).await.expect("the same work is queued anew, not met as its own twin");
    assert_eq!(second.job, first.job);
    assert_ne!(second.job_id, first.job_id);
    assert_eq!(statuses(&test.db, run).await, (ProtocolStatus::Running, vec![StepStatus::Running]));
    timeline(&test.db, run).await;
}

/// Resolves when some transaction of this database waits for a lock.
async fn somebody_waits(db: &Db) {
    let Db::Postgres { pool, .. } = db else { return };
    for _ in 0..2000 {
        let text = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        if sqlx::query_scalar::<_, i64>(text).fetch_one(pool).await.unwrap() > 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nobody waits");
}

async fn answers_and_a_persons_signals_never_wait_in_a_circle(test: TestDatabase) {
    let (app, run) = running(&test, vec![planned(0, "01-one.md", None)]).await;
    let lease = claimed(&test.db).await.unwrap();
    let mut tx = test.db.begin().await.unwrap();
    queue::check(&mut tx, &lease).await.unwrap();
    // A person cancels run and job while the job's answer is half written.
    let person = {
        let app = app.clone();
        tokio::spawn(async move { send(&app, run, Signal::Cancel { reason: None }).await.map(drop) })
    };
    somebody_waits(&test.db).await;
    let cause = Cause { lease: Some(&lease), ..Cause::default() };
    flow::advance(&app, &mut tx, run, gave_up(&lease), &cause).await.unwrap();
    queue::finish(&mut tx, &lease).await.unwrap();
    tx.commit().await.unwrap();
    person.await.unwrap().unwrap();
    assert_eq!(statuses(&test.db, run).await.0, ProtocolStatus::Cancelled);
    timeline(&test.db, run).await;
}

mod both {
    use super::on_both;
    on_both!(
        a_whole_run_is_carried_by_its_jobs,
        eight_requests_for_one_step_have_one_winner,
        a_late_answer_after_a_rescue_changes_nothing,
        a_job_that_died_for_good_blocks_its_run,
        a_refused_signal_writes_nothing,
        an_empty_decision_writes_nothing,
        pausing_holds_the_next_job_and_cancelling_fences_the_worker,
        a_step_that_loops_to_itself_is_queued_again,
        answers_and_a_persons_signals_never_wait_in_a_circle,
    );
}
