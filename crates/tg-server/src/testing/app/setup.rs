//! Makes a world: folders, repository, settings, database.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicI64},
};

use serde_json::Value;
use tg_core::project::ModelDefaults;

use super::{NOW, TestApp};
use crate::{
    app::{App, Clock},
    config::{Config, Inputs},
    db::Db,
    engine::sandbox::{self, Sandbox},
    feed::Feed,
    git::sample,
    seal::Seal,
    secret::Secret,
    store::{self, project::NewProject},
    testing::require,
    wake::Wake,
};

/// How a world differs from the usual one.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Binary that knows `__supervise` and `__dummy` (`env!("CARGO_BIN_EXE_tg-shim")`).
    pub shim: PathBuf,
    /// Script of the dummy engine: a list of `{"match": …, "do": […]}`.
    pub script: Value,
    /// The repository has a remote.
    pub has_remote: bool,
    /// Settings by variable.
    pub settings: Vec<(&'static str, String)>,
    /// Another database than SQLite in the world's folder.
    pub database: Option<String>,
    /// What to say of the sandbox instead of looking.
    pub sandbox: Option<Sandbox>,
}

impl Setup {
    /// The usual world: dummy engine without a script, bare remote, SQLite.
    pub fn new(shim: &str) -> Self {
        Self {
            shim: PathBuf::from(shim),
            script: Value::Array(Vec::new()),
            has_remote: true,
            settings: Vec::new(),
            database: None,
            sandbox: None,
        }
    }

    /// Plays this script.
    #[must_use]
    pub fn script(mut self, script: Value) -> Self {
        self.script = script;
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn set(mut self, variable: &'static str, value: &str) -> Self {
        self.settings.push((variable, value.to_owned()));
        self
    }

    /// A repository without a remote.
    #[must_use]
    pub fn without_remote(mut self) -> Self {
        self.has_remote = false;
        self
    }

    /// Makes the world.
    ///
    /// # Panics
    /// When the machine lacks git or a writable target directory.
    pub async fn make(self) -> TestApp {
        let base = self.shim.parent().and_then(Path::parent).expect("the shim lies in target/<profile>");
        // Not the system's temporary directory: agents get one of their own in its place.
        let base = base.join("tmp");
        std::fs::create_dir_all(&base).expect("the target directory is writable");
        let folder =
            tempfile::Builder::new().prefix("world-").tempdir_in(base).expect("a temporary directory");
        let (checkout, remote) = (folder.path().join("checkout"), folder.path().join("remote.git"));
        sample::make(Path::new("git"), &checkout, &remote).await.expect("git makes a sample");
        if !self.has_remote {
            std::fs::write(
                checkout.join(".git/config"),
                "[core]\n\trepositoryformatversion = 0\n\tbare = false\n",
            )
            .expect("the checkout is writable");
        }
        let script = folder.path().join("script.json");
        std::fs::write(&script, self.script.to_string()).expect("the script is written");
        let mut config = self.config(folder.path());
        config.dummy_script = Some(script);
        if let Some(url) = &self.database {
            config.database_url = Secret::new(url.clone());
        }
        for path in [&config.home.root, &config.home.projects, &config.home.runs] {
            std::fs::create_dir_all(path).expect("the state directory is made");
        }
        let db =
            Db::open(config.database_url.expose(), config.database_pool).await.expect("the database opens");
        db.migrate().await.expect("the schema applies");
        let sandbox = match self.sandbox {
            Some(sandbox) => sandbox,
            None => sandbox::probe(&config.search_path).await,
        };
        let clock = Arc::new(AtomicI64::new(NOW));
        let app = App {
            seal: Seal::new(&config),
            config: Arc::new(config),
            db,
            clock: Clock::Fixed(clock.clone()),
            wake: Wake::default(),
            feed: Feed::default(),
            sandbox: Arc::new(sandbox),
        };
        let remote_url = remote.display().to_string();
        let checkout_text = checkout.display().to_string();
        let project = NewProject {
            name: "sample".to_owned(),
            git_url: if self.has_remote { remote_url } else { checkout_text.clone() },
            local_path: Some(checkout_text),
            base_branch: sample::BRANCH.to_owned(),
            ci_provider: None,
            default_models: ModelDefaults::default(),
        };
        let mut tx = app.db.begin().await.expect("begins");
        let project = store::project::insert(&mut tx, &project, NOW).await.expect("a project is inserted");
        tx.commit().await.expect("commits");
        TestApp { app, clock, project, checkout, remote, folder }
    }

    fn config(&self, folder: &Path) -> Config {
        let home = folder.join("state").display().to_string();
        let mut environment = BTreeMap::from([
            ("TASKSGODZILLA_HOME".to_owned(), home),
            ("HOME".to_owned(), folder.display().to_string()),
            ("PATH".to_owned(), require::variable("PATH").unwrap_or_default()),
        ]);
        let own = self.settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        environment.extend(own);
        let inputs = Inputs {
            environment,
            directory: folder.to_owned(),
            own_binary: self.shim.clone(),
            ..Inputs::default()
        };
        Config::resolve(&inputs).expect("the settings of the test are valid")
    }
}
