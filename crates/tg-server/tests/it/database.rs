//! Databases for tests, each test its own: SQLite in a temporary directory, and Postgres where the
//! fixture finds one. Also what every story starts with: a project, a run, an application.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicI64},
};

use tempfile::TempDir;
use tg_core::{
    ids::{CallId, RunId},
    project::{ModelDefaults, Project},
    protocol::ProtocolRun,
};
use tg_server::{
    app::{App, Clock},
    config::{Config, Inputs},
    db::{Db, Tx},
    engine::sandbox::Sandbox,
    feed::Feed,
    seal::Seal,
    store::{call::NewCall, project::NewProject, protocol::NewRun},
    wake::Wake,
};

/// A migrated database that lives as long as this value.
pub struct TestDatabase {
    pub db: Db,
    pub url: String,
    folder: TempDir,
}

impl TestDatabase {
    /// SQLite in a file.
    pub async fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("temporary directory");
        let url = format!("sqlite:{}", folder.path().join("test.db").display());
        Self::migrated(url, folder).await
    }

    /// Postgres, or `None` (said aloud) where there is none and nobody insists.
    pub async fn postgres() -> Option<Self> {
        let url = tg_server::testing::postgres::database().await.expect("postgres")?;
        let folder = tempfile::tempdir().expect("temporary directory");
        Some(Self::migrated(url, folder).await)
    }

    async fn migrated(url: String, folder: TempDir) -> Self {
        let db = Db::open(&url, 8).await.expect("the database opens");
        db.migrate().await.expect("the schema applies");
        Self { db, url, folder }
    }

    /// An application on this database with a clock that stands still.
    pub fn app(&self) -> App {
        let environment = BTreeMap::from([
            ("TASKSGODZILLA_HOME".to_owned(), self.folder.path().display().to_string()),
            ("HOME".to_owned(), self.folder.path().display().to_string()),
        ]);
        let inputs = Inputs { environment, directory: self.folder.path().to_owned(), ..Inputs::default() };
        let config = Config::resolve(&inputs).expect("defaults are valid");
        App {
            seal: Seal::new(&config),
            config: Arc::new(config),
            db: self.db.clone(),
            clock: Clock::Fixed(Arc::new(AtomicI64::new(NOW))),
            wake: Wake::default(),
            feed: Feed::default(),
            sandbox: Arc::new(Sandbox::Unavailable("not needed here".to_owned())),
        }
    }
}

/// The time of the application's clock.
pub const NOW: i64 = 1_800_000_000_000;

/// Runs a story on both databases, as two tests.
macro_rules! on_both {
    ($($story:ident),* $(,)?) => {$(
        mod $story {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                super::super::$story(crate::database::TestDatabase::sqlite().await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                if let Some(test) = crate::database::TestDatabase::postgres().await {
                    super::super::$story(test).await;
                }
            }
        }
    )*};
}
pub(crate) use on_both;

pub async fn project(tx: &mut Tx, name: &str) -> Project {
    let new = NewProject {
        name: name.to_owned(),
        git_url: format!("https://example.test/{name}.git"),
        local_path: None,
        base_branch: "main".to_owned(),
        ci_provider: None,
        default_models: ModelDefaults { planning: Some("big".to_owned()), ..ModelDefaults::default() },
    };
    tg_server::store::project::insert(tx, &new, NOW).await.expect("a project is inserted")
}

/// A run before it has an id.
pub fn new_run(project: &Project, name: &str) -> NewRun {
    NewRun {
        project_id: project.id,
        protocol_name: name.to_owned(),
        status: tg_core::status::FirstStatus::Pending,
        auto_advance: true,
        engine: None,
        models: ModelDefaults::default(),
        base_branch: Some("main".to_owned()),
        description: Some("Say hello".to_owned()),
        sandbox_off: false,
    }
}

pub async fn run(tx: &mut Tx, project: &Project, name: &str) -> ProtocolRun {
    tg_server::store::protocol::insert(tx, &tg_core::scope::Scope::All, &new_run(project, name), NOW)
        .await
        .expect("a run is inserted")
}

/// A project and a run of it, committed.
pub async fn seeded(db: &Db) -> (Project, RunId) {
    let mut tx = db.begin().await.expect("begins");
    let project = project(&mut tx, "demo").await;
    let run = run(&mut tx, &project, "0001-hello").await.id;
    tx.commit().await.expect("commits");
    (project, run)
}

/// A call that begins.
pub fn call(id: &str, run: Option<RunId>) -> NewCall {
    NewCall {
        id: CallId(id.to_owned()),
        run_kind: "exec".to_owned(),
        run,
        step: None,
        prompt_version: Some("0123456789ab".to_owned()),
        params: serde_json::json!({ "engine": "dummy" }),
        has_log: true,
    }
}

/// Runs a statement past the store, as an accident or an attacker would. Gives the rows it touched.
pub async fn raw(db: &Db, text: &str) -> u64 {
    try_raw(db, text).await.unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// As `raw`, for statements that the schema should refuse.
pub async fn try_raw(db: &Db, text: &str) -> Result<u64, sqlx::Error> {
    let text = sqlx::AssertSqlSafe(text.to_owned());
    Ok(match db {
        Db::Sqlite { write, .. } => sqlx::query(text).execute(write).await?.rows_affected(),
        Db::Postgres { pool, .. } => sqlx::query(text).execute(pool).await?.rows_affected(),
    })
}
