//! What holds for the schema and the connection: migrations, statements, plans, words, refusals.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{Executor as _, Row as _, SqlSafeStr as _};
use tg_core::{
    lifecycle,
    protocol::{CallStatus, Confinement, PullRequestState},
    scope::Scope,
    status::ProtocolStatus,
    step::{StepStatus, StepType},
};
use tg_server::{
    db::{Db, DbError},
    store::{self, project::NewProject},
};

use super::{lease, plan, planned};
use crate::database::{self, NOW, TestDatabase, on_both, raw, try_raw};

async fn wrong_rows_are_refused_by_the_schema(test: TestDatabase) {
    let (_, run) = database::seeded(&test.db).await;
    plan(&test.db, run, vec![planned(0, "01-one.md"), planned(1, "02-two.md")]).await;
    lease(&test.db, run).await;
    for wrong in [
        "UPDATE protocol_runs SET status = 'done'",
        "UPDATE protocol_runs SET status = 'completed'",
        "UPDATE protocol_runs SET finished_at = 1",
        "UPDATE protocol_runs SET status = 'paused'",
        "UPDATE protocol_runs SET project_id = 99",
        "UPDATE step_runs SET status = 'completed'",
        "UPDATE step_runs SET finished_at = 1",
        "UPDATE step_runs SET step_index = 0",
        "UPDATE step_runs SET step_name = 'same'",
        "UPDATE step_runs SET protocol_run_id = 99",
        "UPDATE jobs SET state = 'finished'",
        "UPDATE jobs SET state = 'queued'",
        "UPDATE jobs SET lease_owner = NULL",
        "INSERT INTO jobs (id, kind, payload, state, run_at, max_attempts, unique_key, created_at) \
         SELECT 'twin', kind, payload, 'queued', 1, 3, unique_key, 1 FROM jobs",
    ] {
        assert!(try_raw(&test.db, wrong).await.is_err(), "accepted: {wrong}");
    }
}

async fn every_statement_prepares(test: TestDatabase) {
    for (name, text) in store::statements() {
        let outcome = match &test.db {
            Db::Sqlite { .. } if name.ends_with("_POSTGRES") => continue,
            Db::Postgres { .. } if name.ends_with("_SQLITE") => continue,
            Db::Sqlite { write, .. } => {
                let mut connection = write.acquire().await.unwrap();
                connection.prepare(text.into_sql_str()).await.map(drop)
            }
            Db::Postgres { pool, .. } => {
                let mut connection = pool.acquire().await.unwrap();
                connection.prepare(text.into_sql_str()).await.map(drop)
            }
        };
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

async fn migrating_again_and_at_once_changes_nothing(test: TestDatabase) {
    let (project, _) = database::seeded(&test.db).await;
    let others: Vec<_> = (0..4)
        .map(|_| {
            let url = test.url.clone();
            tokio::spawn(async move { Db::open(&url, 2).await.unwrap().migrate().await.unwrap() })
        })
        .collect();
    for other in others {
        other.await.unwrap();
    }
    let mut tx = test.db.read().await.unwrap();
    assert_eq!(store::project::load(&mut tx, &Scope::All, project.id).await.unwrap(), project);
    drop(tx);

    raw(
        &test.db,
        "UPDATE _sqlx_migrations SET checksum = CAST('0' AS BYTEA)"
            .replace(
                "BYTEA",
                match test.db {
                    Db::Sqlite { .. } => "BLOB",
                    Db::Postgres { .. } => "BYTEA",
                },
            )
            .as_str(),
    )
    .await;
    let changed = test.db.migrate().await;
    assert!(
        matches!(&changed, Err(DbError::Migrate(error)) if error.to_string().contains("modified")),
        "{changed:?}"
    );
    raw(&test.db, "UPDATE _sqlx_migrations SET version = 9999 WHERE version = 1").await;
    let newer = test.db.migrate().await;
    assert!(matches!(newer, Err(DbError::Newer { found: 9999, known: 9 })), "{newer:?}");
}

async fn a_reading_transaction_cannot_write(test: TestDatabase) {
    let mut tx = test.db.read().await.unwrap();
    let new = NewProject {
        name: "x".to_owned(),
        git_url: "x".to_owned(),
        local_path: None,
        base_branch: "main".to_owned(),
        ci_provider: None,
        default_models: tg_core::project::ModelDefaults::default(),
    };
    assert!(store::project::insert(&mut tx, &new, NOW).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_database_is_migrated_once_by_many_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut urls = vec![format!("sqlite:{}", folder.path().join("deep/new.db").display())];
    urls.extend(tg_server::testing::postgres::database().await.unwrap());
    for url in urls {
        let starts: Vec<_> = (0..4)
            .map(|_| {
                let url = url.clone();
                tokio::spawn(async move { Db::open(&url, 2).await.unwrap().migrate().await })
            })
            .collect();
        for start in starts {
            start.await.unwrap().unwrap();
        }
        let db = Db::open(&url, 2).await.unwrap();
        let (project, _) = database::seeded(&db).await;
        assert_eq!(project.name, "demo");
    }
}

#[tokio::test]
async fn an_unknown_database_is_refused_with_the_remedy_and_without_the_password() {
    for url in ["mysql://me:hunter2@host/db", "/var/lib/x.db", "", "sqlite::memory:", "sqlite:"] {
        let Err(error) = Db::open(url, 1).await else { panic!("accepted {url}") };
        let text = error.to_string();
        assert!(matches!(error, DbError::Url(_)), "{url}: {text}");
        assert!(text.contains("sqlite:<path>") && !text.contains("hunter2"), "{url}: {text}");
    }
}

#[tokio::test]
async fn sqlite_is_durable_and_strict() {
    let test = TestDatabase::sqlite().await;
    let Db::Sqlite { read, write, .. } = &test.db else { panic!("not sqlite") };
    for pool in [read, write] {
        for (pragma, expected) in
            [("foreign_keys", "1"), ("synchronous", "2"), ("journal_mode", "wal"), ("busy_timeout", "10000")]
        {
            let row =
                sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA {pragma}"))).fetch_one(pool).await.unwrap();
            let value = row.try_get_unchecked::<String, _>(0).unwrap();
            assert_eq!(value, expected, "{pragma}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_reads_first_can_still_write_while_another_process_wants_to() {
    let test = TestDatabase::sqlite().await;
    let other = Db::open(&test.url, 1).await.unwrap();
    let mut tx = test.db.begin().await.unwrap();
    assert_eq!(
        store::project::list(&mut tx, &Scope::All, store::project::Filter::default(), 9).await.unwrap(),
        vec![]
    );
    let mut writer = tokio::spawn(async move {
        let mut tx = other.begin().await.unwrap();
        database::project(&mut tx, "second").await;
        tx.commit().await.unwrap();
    });
    let early = tokio::time::timeout(Duration::from_millis(300), &mut writer).await;
    assert!(early.is_err(), "the other process waits for the write lock");
    database::project(&mut tx, "first").await;
    tx.commit().await.unwrap();
    writer.await.unwrap();
}

#[tokio::test]
async fn every_list_reads_one_index() {
    let test = TestDatabase::sqlite().await;
    let Db::Sqlite { write, .. } = &test.db else { panic!("not sqlite") };
    let mut looked = 0;
    for (name, text) in store::statements() {
        let read_whole = name.ends_with("_POSTGRES") || name == "dialect::NOW_SQLITE";
        if read_whole || text.starts_with("INSERT") {
            continue;
        }
        let rows =
            sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {text}"))).fetch_all(write).await;
        let plan: Vec<String> = rows.unwrap().iter().map(|row| row.get::<String, _>("detail")).collect();
        let bad = plan.iter().any(|line| {
            let scan = line.starts_with("SCAN ")
                && !line.contains(" INDEX ")
                && !["SCAN pick", "SCAN CONSTANT ROW"].contains(&line.as_str());
            scan || line.contains("TEMP B-TREE")
        });
        assert!(!bad, "{name}: {plan:#?}");
        // By another index it would walk through all jobs that ever ended.
        let is_short =
            !text.contains("counted = 0") || plan.iter().any(|line| line.contains("jobs_uncounted"));
        assert!(is_short, "{name}: {plan:#?}");
        looked += 1;
    }
    assert!(looked > 40, "only {looked} statements");
}

#[test]
fn words_of_the_schema_are_the_words_of_the_code() {
    let schema = concat!(
        include_str!("../../../src/db/migrations/0001_first_tables.sql"),
        include_str!("../../../src/db/migrations/0003_access.sql")
    );
    let mut table = "";
    let mut compared = 0;
    for line in schema.lines() {
        if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
            table = rest.split(' ').next().unwrap();
        }
        let Some((column, rest)) = line.trim().split_once(' ') else { continue };
        let Some((_, words)) = rest.split_once(&format!("CHECK ({column} IN (")) else { continue };
        let words: BTreeSet<&str> =
            words.split(')').next().unwrap().split(',').map(|word| word.trim().trim_matches('\'')).collect();
        let code: Vec<&str> = match (table, column) {
            ("protocol_runs", "status" | "paused_from") => {
                ProtocolStatus::ALL.iter().map(|w| w.as_str()).collect()
            }
            ("protocol_runs", "kind") => lifecycle::RunKind::ALL.iter().map(|w| w.as_str()).collect(),
            ("protocol_runs", "confinement") => Confinement::ALL.iter().map(|w| w.as_str()).collect(),
            ("protocol_runs", "pr_state") => PullRequestState::ALL.iter().map(|w| w.as_str()).collect(),
            ("step_runs", "status") => StepStatus::ALL.iter().map(|w| w.as_str()).collect(),
            ("step_runs", "step_type") => StepType::ALL.iter().map(|w| w.as_str()).collect(),
            ("codex_runs", "status") => CallStatus::ALL.iter().map(|w| w.as_str()).collect(),
            ("jobs", "state") => tg_core::job::JobStatus::ALL
                .iter()
                .map(|word| word.as_str())
                .filter(|word| *word != "scheduled")
                .collect(),
            ("access_tokens", "scope") => {
                tg_core::wire::TokenScope::ALL.iter().map(|word| word.as_str()).collect()
            }
            ("protocol_runs", "spec_validation_status") => vec!["valid", "invalid", "missing"],
            _ if words == BTreeSet::from(["0", "1"]) => continue,
            _ => panic!("{table}.{column} has words that nothing is compared with"),
        };
        assert_eq!(words, code.into_iter().collect(), "{table}.{column}");
        compared += 1;
    }
    assert_eq!(compared, 11);
}

mod both {
    use super::on_both;
    on_both!(
        every_statement_prepares,
        migrating_again_and_at_once_changes_nothing,
        a_reading_transaction_cannot_write,
        wrong_rows_are_refused_by_the_schema,
    );
}
