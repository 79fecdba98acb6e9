//! Comments: who sees them, which travel with an attempt, and that no step of a person is undone.

use tg_core::{
    ids::{CallId, RunId},
    protocol::CallStatus,
    review::{CommentState, ReviewComment, Side},
    scope::Scope,
};
use tg_server::{
    db::{Db, Tx},
    queue::Lease,
    store::{self, StoreError, call::CallEnd, review::NewComment},
};

use super::lease;
use crate::database::{self, NOW, TestDatabase, on_both, raw, try_raw};

fn new(run: RunId, body: &str) -> NewComment {
    NewComment {
        run,
        path: "src/a.rs".to_owned(),
        side: Side::Old,
        line: 7,
        sha: "a".repeat(40),
        body: body.to_owned(),
        author: Some("ada".to_owned()),
    }
}

async fn say(db: &Db, run: RunId, body: &str) -> ReviewComment {
    let mut tx = db.begin().await.unwrap();
    let comment = store::review::insert(&mut tx, &new(run, body), NOW).await.unwrap();
    tx.commit().await.unwrap();
    comment
}

async fn state(db: &Db, comment: &ReviewComment) -> CommentState {
    let mut tx = db.read().await.unwrap();
    store::review::load(&mut tx, &Scope::All, comment.id).await.unwrap().state
}

async fn begin(db: &Db, lease: &Lease, run: RunId, id: &str, comments: &[ReviewComment]) {
    let mut tx = db.begin().await.unwrap();
    store::call::start(&mut tx, lease, &database::call(id, Some(run)), NOW).await.unwrap();
    store::review::set_sent(&mut tx, lease, &CallId(id.to_owned()), comments, NOW + 1).await.unwrap();
    tx.commit().await.unwrap();
}

async fn end(db: &Db, lease: &Lease, id: &str, status: CallStatus) {
    let mut tx = db.begin().await.unwrap();
    let end = CallEnd { status, result: None, error: None, usage: None, cost_cents: None };
    store::call::finish(&mut tx, lease, &CallId(id.to_owned()), &end, NOW).await.unwrap();
    tx.commit().await.unwrap();
}

async fn bodies(tx: &mut Tx, lease: &Lease, run: RunId, is_repeated: bool) -> Vec<String> {
    let comments = store::review::to_send(tx, Some(&lease.job_id), run, is_repeated).await.unwrap();
    comments.into_iter().map(|comment| comment.body).collect()
}

async fn travels(db: &Db, lease: &Lease, run: RunId, is_repeated: bool) -> Vec<String> {
    bodies(&mut db.read().await.unwrap(), lease, run, is_repeated).await
}

async fn comments_come_back_as_written_within_their_scope(test: TestDatabase) {
    let (project, run) = database::seeded(&test.db).await;
    let mut tx = test.db.begin().await.unwrap();
    let second = database::project(&mut tx, "second").await;
    let other = database::run(&mut tx, &second, "0001-other").await.id;
    tx.commit().await.unwrap();
    let first = say(&test.db, run, "first\nline").await;
    let elsewhere = say(&test.db, other, "not here").await;
    let last = say(&test.db, run, "last ☂").await;
    assert_eq!((first.path.as_str(), first.side, first.line), ("src/a.rs", Side::Old, 7));
    assert_eq!((first.state, first.author.as_deref()), (CommentState::Open, Some("ada")));
    assert_eq!((first.created_at, first.updated_at), (NOW, NOW));

    let own = Scope::Project(project.id);
    let mut tx = test.db.read().await.unwrap();
    let list = store::review::list(&mut tx, &own, run, None, 10).await.unwrap();
    assert_eq!(list, [last.clone(), first.clone()], "newest first");
    let page = store::review::list(&mut tx, &own, run, Some(last.id.0), 10).await.unwrap();
    assert_eq!(page, std::slice::from_ref(&first));
    assert_eq!(store::review::list(&mut tx, &own, run, None, 1).await.unwrap(), [last]);
    assert_eq!(store::review::list(&mut tx, &own, other, None, 10).await.unwrap(), []);
    assert_eq!(store::review::load(&mut tx, &own, first.id).await.unwrap(), first);
    let hidden = store::review::load(&mut tx, &own, elsewhere.id).await;
    assert!(matches!(hidden, Err(StoreError::NotFound { table: "review_comments", .. })), "{hidden:?}");
}

async fn a_person_changes_what_they_looked_at_and_nothing_else(test: TestDatabase) {
    let (_, run) = database::seeded(&test.db).await;
    let comment = say(&test.db, run, "text").await;
    let mut tx = test.db.begin().await.unwrap();
    store::review::set(&mut tx, &comment, CommentState::Resolved, "text", NOW + 5).await.unwrap();
    let stale = store::review::set(&mut tx, &comment, CommentState::Open, "other", NOW + 6).await;
    assert!(matches!(stale, Err(StoreError::Conflict(_))), "{stale:?}");
    let stored = store::review::load(&mut tx, &Scope::All, comment.id).await.unwrap();
    assert_eq!((stored.state, stored.updated_at), (CommentState::Resolved, NOW + 5));
    store::review::remove(&mut tx, comment.id).await.unwrap();
    let gone = store::review::remove(&mut tx, comment.id).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
}

async fn a_comment_travels_until_a_call_that_carried_it_succeeds(test: TestDatabase) {
    let (_, run) = database::seeded(&test.db).await;
    let lease = lease(&test.db, run).await;
    let db = &test.db;
    let one = say(db, run, "one").await;
    assert_eq!(travels(db, &lease, run, false).await, Vec::<String>::new(), "a rule began it");
    assert_eq!(travels(db, &lease, run, true).await, ["one"]);
    raw(db, "UPDATE jobs SET priority = 10").await;
    assert_eq!(travels(db, &lease, run, false).await, ["one"], "a person asked for it");
    raw(db, "UPDATE jobs SET priority = 0").await;

    begin(db, &lease, run, "call-1", std::slice::from_ref(&one)).await;
    assert_eq!(state(db, &one).await, CommentState::Sent);
    assert_eq!(travels(db, &lease, run, false).await, ["one"], "the same job gets it again");
    let elsewhere = Lease { job_id: tg_core::ids::JobId("other".to_owned()), ..lease.clone() };
    end(db, &lease, "call-1", CallStatus::Failed).await;
    assert_eq!(travels(db, &elsewhere, run, false).await, Vec::<String>::new());
    assert_eq!(travels(db, &elsewhere, run, true).await, ["one"], "its call failed");
    begin(db, &lease, run, "call-2", std::slice::from_ref(&one)).await;
    end(db, &lease, "call-2", CallStatus::Succeeded).await;
    assert_eq!(travels(db, &elsewhere, run, true).await, Vec::<String>::new(), "it was heard");
    let two = say(db, run, "two").await;
    assert_eq!(travels(db, &elsewhere, run, true).await, ["two"]);
    assert_eq!(travels(db, &lease, run, true).await, ["one", "two"], "oldest first");

    let mut tx = db.begin().await.unwrap();
    store::review::set_outdated(&mut tx, &lease, &[one.id, two.id], NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        (state(db, &one).await, state(db, &two).await),
        (CommentState::Outdated, CommentState::Outdated)
    );
    assert_eq!(travels(db, &lease, run, true).await, Vec::<String>::new());
}

async fn what_a_person_did_meanwhile_stays(test: TestDatabase) {
    let (_, run) = database::seeded(&test.db).await;
    let lease = lease(&test.db, run).await;
    let (settled, rewritten) = (say(&test.db, run, "a").await, say(&test.db, run, "b").await);
    let mut tx = test.db.begin().await.unwrap();
    store::review::set(&mut tx, &settled, CommentState::Resolved, "a", NOW).await.unwrap();
    store::review::set(&mut tx, &rewritten, CommentState::Open, "better", NOW).await.unwrap();
    tx.commit().await.unwrap();
    begin(&test.db, &lease, run, "call-1", &[settled.clone(), rewritten.clone()]).await;
    assert_eq!(state(&test.db, &settled).await, CommentState::Resolved);
    assert_eq!(state(&test.db, &rewritten).await, CommentState::Open, "its new words were not sent");
    let mut tx = test.db.begin().await.unwrap();
    store::review::set_outdated(&mut tx, &lease, &[settled.id], NOW).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(state(&test.db, &settled).await, CommentState::Resolved);

    raw(&test.db, "UPDATE jobs SET fence = fence + 1").await;
    let mut tx = test.db.begin().await.unwrap();
    for late in [
        store::review::set_sent(&mut tx, &lease, &CallId("call-1".to_owned()), &[], NOW).await,
        store::review::set_outdated(&mut tx, &lease, &[rewritten.id], NOW).await,
    ] {
        assert!(matches!(late, Err(StoreError::FencedOut(_))), "{late:?}");
    }
}

async fn comments_are_bounded_and_wrong_rows_refused(test: TestDatabase) {
    let (_, run) = database::seeded(&test.db).await;
    let mut tx = test.db.begin().await.unwrap();
    for _ in 0..store::review::UNSETTLED_CAP {
        store::review::insert(&mut tx, &new(run, "x"), NOW).await.unwrap();
    }
    let full = store::review::insert(&mut tx, &new(run, "x"), NOW).await;
    assert!(matches!(&full, Err(StoreError::Conflict(why)) if why.contains("resolve or delete")), "{full:?}");
    tx.commit().await.unwrap();
    for wrong in [
        "UPDATE review_comments SET side = 'left'",
        "UPDATE review_comments SET state = 'done'",
        "UPDATE review_comments SET state = 'sent'",
        "UPDATE review_comments SET sent_job = 'x'",
        "UPDATE review_comments SET line = 0",
        "UPDATE review_comments SET protocol_run_id = 99",
    ] {
        assert!(try_raw(&test.db, wrong).await.is_err(), "accepted: {wrong}");
    }
    for state in CommentState::ALL {
        let text = format!("UPDATE review_comments SET state = '{state}', sent_job = 'j', sent_call = 'c'");
        raw(&test.db, &text).await;
    }
    for side in Side::ALL {
        raw(&test.db, &format!("UPDATE review_comments SET side = '{side}'")).await;
    }
}

mod both {
    use super::on_both;
    on_both!(
        comments_come_back_as_written_within_their_scope,
        a_person_changes_what_they_looked_at_and_nothing_else,
        a_comment_travels_until_a_call_that_carried_it_succeeds,
        what_a_person_did_meanwhile_stays,
        comments_are_bounded_and_wrong_rows_refused,
    );
}
