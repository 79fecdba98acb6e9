//! `advance` from end to end, on both databases: statuses, events, jobs and leases in one transaction.

use std::time::Duration;

use tg_core::{lifecycle::Signal, scope::Scope, status::ProtocolStatus};
use tg_server::{
    flow::{self, Cause},
    queue, store,
};

use crate::database::{self, TestDatabase, on_both};

async fn a_run_starts(test: TestDatabase) {
    let (_, run) = database::seeded(&test.db).await;
    let app = test.app();
    let mut tx = test.db.begin().await.unwrap();
    flow::advance(&app, &mut tx, run, Signal::Start, &Cause::default()).await.unwrap();
    tx.commit().await.unwrap();
    let mut tx = test.db.begin().await.unwrap();
    let lease = queue::claim(&mut tx, "me", Duration::from_secs(30), 4).await.unwrap().unwrap();
    assert_eq!(lease.attempt, 1);
    tx.commit().await.unwrap();
    let mut tx = test.db.read().await.unwrap();
    assert_eq!(
        store::protocol::load(&mut tx, &Scope::All, run).await.unwrap().status,
        ProtocolStatus::Planning
    );
    let found = store::event::verify(&mut tx, None).await.unwrap();
    assert_eq!((found.checked, found.first_bad), (1, None));
}

mod both {
    use super::on_both;
    on_both!(a_run_starts);
}
