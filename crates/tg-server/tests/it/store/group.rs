//! Callers that share a commit: all of it or none of it, each only its own, and nobody left waiting.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use tg_core::{
    event::{Event, EventKind},
    ids::RunId,
    scope::Scope,
    step::{FirstStepStatus, StepType},
};
use tg_server::{
    db::{Db, DbError, Tx},
    store::{self, event::Context},
};
use tokio::{task::JoinHandle, time::timeout};

use crate::database::{self, NOW, TestDatabase, raw};

mod both {
    use crate::database::on_both;

    on_both!(
        who_waits_shares_the_commit,
        a_dropped_turn_takes_back_its_own,
        a_waiter_that_leaves_holds_nobody_up,
        a_caller_that_leaves_its_commit_has_committed,
        a_failed_statement_is_no_commit,
        a_failed_commit_is_told_to_all,
        many_writers_lose_nothing,
    );
}

/// No wait in here is longer.
async fn soon<F: Future>(future: F) -> F::Output {
    timeout(Duration::from_secs(20), future).await.expect("it comes to an end")
}

/// Lets a future come as far as it can.
async fn is_pending<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

/// Names of all committed projects, sorted.
async fn names(db: &Db) -> Vec<String> {
    let mut tx = db.read().await.unwrap();
    let filter = store::project::Filter::default();
    let all = store::project::list(&mut tx, &Scope::All, filter, 999).await.unwrap();
    let mut names: Vec<_> = all.into_iter().map(|project| project.name).collect();
    names.sort();
    names
}

/// What a commit comes to.
type Outcome = JoinHandle<Result<(), DbError>>;

/// A caller that has made project `name` and wants it committed, and one that has the turn behind it in
/// the same transaction. A transaction that got too old for another caller is tried again.
async fn two(db: &Db, name: &str) -> (Outcome, Tx) {
    for number in 0..99 {
        let name = format!("{name}-{number}");
        let mut first = soon(db.begin_together()).await.unwrap();
        let mut second = pin!(db.begin_together());
        assert!(is_pending(second.as_mut()).await, "one at a time");
        database::project(&mut first, &name).await;
        store::event::append(&mut first, &Context::default(), &Event::run(EventKind::UnknownJob), NOW);
        let outcome = tokio::spawn(first.commit());
        let second = soon(second).await.unwrap();
        if !names(db).await.contains(&name) {
            return (outcome, second);
        }
        drop(second);
        soon(outcome).await.unwrap().unwrap();
        raw(db, &format!("DELETE FROM projects WHERE name = '{name}'")).await;
    }
    panic!("no transaction was shared");
}

async fn who_waits_shares_the_commit(test: TestDatabase) {
    let (first, mut second) = two(&test.db, "first").await;
    database::project(&mut second, "second").await;
    assert!(!first.is_finished(), "nothing is told before it is committed");
    assert_eq!(names(&test.db).await, Vec::<String>::new());
    soon(second.commit()).await.unwrap();
    soon(first).await.unwrap().unwrap();
    assert_eq!(names(&test.db).await.len(), 2);
}

async fn a_dropped_turn_takes_back_its_own(test: TestDatabase) {
    let (first, mut second) = two(&test.db, "first").await;
    database::project(&mut second, "second").await;
    store::event::append(&mut second, &Context::default(), &Event::run(EventKind::UnknownJob), NOW);
    drop(second);
    soon(first).await.unwrap().unwrap();
    let names = names(&test.db).await;
    assert!(names.len() == 1 && names[0].starts_with("first"), "{names:?}");
    let mut tx = test.db.begin().await.unwrap();
    database::project(&mut tx, "third").await;
    drop(tx);
    soon(test.db.settled(test.db.failures())).await.unwrap();
    assert_eq!(self::names(&test.db).await, names, "one that is alone takes everything back");
}

async fn a_waiter_that_leaves_holds_nobody_up(test: TestDatabase) {
    for number in 0..200 {
        let mut first = soon(test.db.begin_together()).await.unwrap();
        let mut second = Box::pin(test.db.begin_together());
        assert!(is_pending(second.as_mut()).await);
        database::project(&mut first, &format!("number-{number}")).await;
        let first = tokio::spawn(first.commit());
        for _ in 0..number % 20 {
            tokio::task::yield_now().await;
        }
        drop(second);
        soon(first).await.unwrap().unwrap();
    }
    assert_eq!(names(&test.db).await.len(), 200);
}

async fn a_caller_that_leaves_its_commit_has_committed(test: TestDatabase) {
    let mut tx = soon(test.db.begin_together()).await.unwrap();
    database::project(&mut tx, "kept").await;
    let mut commit = Box::pin(tx.commit());
    // It may be through already.
    is_pending(commit.as_mut()).await;
    drop(commit);
    soon(test.db.settled(test.db.failures())).await.unwrap();
    assert_eq!(names(&test.db).await, ["kept"]);
}

async fn a_failed_statement_is_no_commit(test: TestDatabase) {
    let (first, mut second) = two(&test.db, "first").await;
    let made = store::step::load(&mut second, &Scope::All, tg_core::ids::StepId(1)).await;
    assert!(made.is_err(), "no such step, which is no failure of a statement");
    database::project(&mut second, "second").await;
    let nowhere = store::step::NewStep {
        protocol_run_id: RunId(999_999),
        step_index: 0,
        step_name: "01-x.md",
        step_type: StepType::Work,
        status: FirstStepStatus::Pending,
        with: store::step::ByHand { model: None, summary: None, engine_id: None, policy: None },
    };
    store::step::insert(&mut second, &nowhere, NOW).await.unwrap_err();
    let is_postgres = matches!(test.db, Db::Postgres { .. });
    let told = soon(second.commit()).await;
    // SQLite undoes the statement alone, and the caller chose to go on.
    assert_eq!(matches!(told, Err(DbError::Undone)), is_postgres, "{told:?}");
    soon(first).await.unwrap().unwrap();
    assert_eq!(names(&test.db).await.len(), if is_postgres { 1 } else { 2 });
}

async fn a_failed_commit_is_told_to_all(test: TestDatabase) {
    let before = test.db.failures();
    raw(&test.db, "ALTER TABLE event_chains RENAME TO elsewhere").await;
    let mut first = soon(test.db.begin_together()).await.unwrap();
    let mut second = pin!(test.db.begin_together());
    assert!(is_pending(second.as_mut()).await);
    database::project(&mut first, "first").await;
    store::event::append(&mut first, &Context::default(), &Event::run(EventKind::UnknownJob), NOW);
    let first = tokio::spawn(first.commit());
    let mut second = soon(second).await.unwrap();
    database::project(&mut second, "second").await;
    store::event::append(&mut second, &Context::default(), &Event::run(EventKind::UnknownJob), NOW);
    soon(second.commit()).await.unwrap_err();
    soon(first).await.unwrap().unwrap_err();
    soon(test.db.settled(before)).await.unwrap_err();
    assert_eq!(names(&test.db).await, Vec::<String>::new());
    raw(&test.db, "ALTER TABLE elsewhere RENAME TO event_chains").await;
    let mut third = soon(test.db.begin_together()).await.unwrap();
    database::project(&mut third, "third").await;
    soon(third.commit()).await.unwrap();
    assert_eq!(names(&test.db).await, ["third"], "the next one begins anew");
    soon(test.db.settled(test.db.failures())).await.unwrap();
}

async fn many_writers_lose_nothing(test: TestDatabase) {
    let writers: Vec<_> = (0..8_i64)
        .map(|writer| {
            let db = test.db.clone();
            tokio::spawn(async move {
                let mut kept = Vec::new();
                for number in 0..30 {
                    let name = format!("{writer}-{number:02}");
                    let mut tx = soon(db.begin_together()).await.unwrap();
                    database::project(&mut tx, &name).await;
                    let event = Event::run(EventKind::UnknownJob).with("name", name.as_str());
                    store::event::append(&mut tx, &Context::default(), &event, NOW);
                    if (writer + number) % 3 != 0 {
                        soon(tx.commit()).await.unwrap();
                        kept.push(name);
                    }
                }
                kept
            })
        })
        .collect();
    let mut kept = Vec::new();
    for writer in writers {
        kept.extend(soon(writer).await.unwrap());
    }
    kept.sort();
    soon(test.db.settled(test.db.failures())).await.unwrap();
    assert_eq!(names(&test.db).await, kept);
    let mut tx = test.db.read().await.unwrap();
    let verified = store::event::verify(&mut tx, None).await.unwrap();
    assert_eq!((verified.checked, verified.first_bad), (kept.len() as u64, None));
}
