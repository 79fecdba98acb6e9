//! What the store promises, on both databases.

use tg_core::scope::Scope;
use tg_server::store::{self, StoreError};

use crate::database::{self, TestDatabase, on_both};

async fn rows_come_back_as_they_were_written(test: TestDatabase) {
    let (project, run) = database::seeded(&test.db).await;
    let mut tx = test.db.read().await.unwrap();
    assert_eq!(store::project::load(&mut tx, &Scope::All, project.id).await.unwrap(), project);
    let stored = store::protocol::load(&mut tx, &Scope::All, run).await.unwrap();
    assert_eq!(stored.protocol_name, "0001-hello");
}

mod both {
    use super::on_both;
    on_both!(rows_come_back_as_they_were_written);
}
