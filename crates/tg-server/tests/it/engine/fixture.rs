//! One call of an engine in a scratch state directory.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;
use tg_core::ids::CallId;
use tg_server::{
    config::{Config, Inputs},
    engine::{
        Engine, Progress, Request, Role, find,
        sandbox::{Grant, Sandbox},
        supervise::{self, Ended, Limits, Program, Watch},
    },
    process::Wrap,
    redact::Redactor,
    secret::Secret,
    testing::require,
};
use tokio_util::sync::CancellationToken;

/// Our own binary, as far as these tests are concerned.
pub const SHIM: &str = env!("CARGO_BIN_EXE_tg-shim");

pub struct Fixture {
    pub config: Config,
    pub request: Request,
    pub limits: Limits,
    pub wrap: Wrap,
    pub redactor: Redactor,
    pub cancel: CancellationToken,
    pub program: Option<Program>,
    /// A confined call keeps the network.
    pub network: bool,
    engine: &'static dyn Engine,
    seen: Arc<Mutex<Vec<Progress>>>,
    folder: TempDir,
}

impl Fixture {
    pub fn new(role: Role, scenario: &str) -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), role, scenario)
    }

    /// The real codex and a scripted provider; `None` when this machine has none and may lack it.
    /// Its home is not below the temporary directory, where codex would not sandbox.
    pub fn codex(role: Role, base_url: &str) -> Option<Self> {
        let binary = require::codex()?;
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut fixture = Self::in_folder(folder, role, "mock-model");
        fixture.config.engine_binaries = BTreeMap::from([("codex".to_owned(), binary)]);
        fixture.engine = find("codex").unwrap();
        let provider = format!(
            "model_providers.mock={{name=\"mock\",base_url=\"{base_url}\",wire_api=\"responses\",env_key=\"MOCK_KEY\",\
             request_max_retries=1,stream_max_retries=1,stream_idle_timeout_ms=5000,supports_websockets=false}}"
        );
        fixture.request.arguments =
            ["-c", "model_provider=mock", "-c", &provider].map(str::to_owned).to_vec();
        fixture.request.environment.push(("MOCK_KEY".to_owned(), Secret::new("key-of-the-mock".to_owned())));
        fixture.network = true;
        Some(fixture)
    }

    fn in_folder(folder: TempDir, role: Role, scenario: &str) -> Self {
        let home = folder.path().join("home");
        let directory = folder.path().join("tree");
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::create_dir_all(&home).unwrap();
        let environment = [
            ("TASKSGODZILLA_HOME", home.display().to_string()),
            ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
            ("HOME", home.display().to_string()),
        ];
        let inputs = Inputs {
            environment: environment.map(|(name, value)| (name.to_owned(), value)).into(),
            own_binary: PathBuf::from(SHIM),
            directory: folder.path().to_owned(),
            ..Inputs::default()
        };
        let config = Config::resolve(&inputs).unwrap();
        let call =
            CallId(format!("call-{}-{}", std::process::id(), folder.path().file_name().unwrap().display()));
        let request = Request {
            role,
            step: "01-work.md".to_owned(),
            attempt: 1,
            directory,
            prompt: "<<<BEGIN task 12>>>\nAdd a greeting\n<<<END task 12>>>\n".to_owned(),
            model: Some(scenario.to_owned()),
            schema: None,
            resume: None,
            home: home.join("engines/1/dummy"),
            login: None,
            call_dir: config.home.call_dir(&call),
            unconfined: true,
            environment: Vec::new(),
            arguments: Vec::new(),
            call,
        };
        std::fs::create_dir_all(&request.call_dir).unwrap();
        Self {
            config,
            request,
            limits: Limits {
                wall: Duration::from_mins(1),
                idle: Duration::from_secs(30),
                grace: Duration::from_secs(3),
                log_bytes: 1024 * 1024,
            },
            wrap: Wrap::None,
            redactor: Redactor::default(),
            cancel: CancellationToken::new(),
            program: None,
            network: false,
            engine: find("dummy").unwrap(),
            seen: Arc::default(),
            folder,
        }
    }

    /// A shell script in the place of codex.
    pub fn script(text: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let mut fixture = Self::new(Role::Execute, "any");
        let path = fixture.folder.path().join("codex");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        fixture.config.engine_binaries = BTreeMap::from([("codex".to_owned(), path)]);
        fixture.engine = find("codex").unwrap();
        fixture
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// Confines the call; `None` when this machine has no sandbox and may lack it.
    pub async fn confined(mut self) -> Option<Self> {
        let sandbox = sandbox().await?;
        let program = supervise::resolve(&self.config, self.engine).unwrap();
        let grant = Grant {
            worktree: self.request.directory.clone(),
            role: self.request.role,
            home: self.request.home.clone(),
            login: self.request.login.clone(),
            call_dir: self.request.call_dir.clone(),
            read_only: program.roots,
            network: self.network,
        };
        self.wrap = sandbox.wrap(&grant).unwrap();
        self.request.unconfined = false;
        Some(self)
    }

    pub async fn run(&self) -> Ended {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => supervise::resolve(&self.config, self.engine).unwrap(),
        };
        let seen = self.seen.clone();
        let watch: Watch = Arc::new(move |item| seen.lock().unwrap().push(item.clone()));
        supervise::call(
            &self.config,
            self.engine,
            &program,
            &self.request,
            &self.wrap,
            self.limits,
            &self.redactor,
            &self.cancel,
            watch,
        )
        .await
    }

    pub fn seen(&self) -> Vec<Progress> {
        self.seen.lock().unwrap().clone()
    }

    /// Everything the engine said, a line each.
    pub fn said(&self) -> String {
        let texts = self
            .seen()
            .into_iter()
            .filter_map(|item| if let Progress::Text(text) = item { Some(text) } else { None });
        texts.collect::<Vec<_>>().join("\n")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.request.call_dir.join("logs.txt")).unwrap()
    }

    /// Processes that carry this call's mark.
    pub fn alive(&self) -> Vec<i32> {
        tg_server::process::tree::with_variable(&format!("TASKSGODZILLA_RUN_ID={}", self.request.call.0))
            .unwrap()
    }

    /// Waits until a condition holds, at most ten seconds.
    pub async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < Duration::from_secs(10), "never came true: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The sandbox of this machine. Without one the test is skipped, loudly, unless it is required.
pub async fn sandbox() -> Option<Sandbox> {
    let found = tg_server::engine::sandbox::probe("/usr/local/bin:/usr/bin:/bin").await;
    match &found {
        Sandbox::Bwrap(_) => Some(found),
        Sandbox::Unavailable(why) => {
            require::skip("bwrap", why);
            None
        }
    }
}

/// The planning schema in short.
pub fn plan_schema() -> Value {
    serde_json::from_str(tg_core::plan::SCHEMA).unwrap()
}
