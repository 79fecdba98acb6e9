//! All settings, read once: flag, environment, `<home>/config.toml`, default, in that order.
//! The only reader of the environment. A bad value stops the start with its name.
//!
//! Reading is a pure function over `Inputs`, so a test needs no process environment. Settings of
//! features that do not exist yet are not read.

mod access;
mod desktop;
mod lookup;
mod settings;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tg_core::{layout::Home, project::ModelDefaults};

pub use self::access::{Access, CookieSecure, PublicUrl, Rate};
pub use self::desktop::Desktop;
use self::lookup::Lookup;
pub use self::settings::{SETTINGS, Setting, documentation};
use crate::secret::Secret;

/// Variables handed to engines, by engine id.
pub type EngineVariables = BTreeMap<String, Vec<(String, Secret<String>)>>;

/// Settings in force.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each switch is a setting of its own")]
pub struct Config {
    /// State directory and roots.
    pub home: Home,
    /// `sqlite:<path>` or `postgres://…` (holds a password: secret).
    pub database_url: Secret<String>,
    /// Postgres pool size.
    pub database_pool: u32,
    /// Bind address of `serve`.
    pub api_host: IpAddr,
    /// Port of `serve`.
    pub api_port: u16,
    /// Who may come in.
    pub access: Access,
    /// Server that the command line talks to, when it is not the one of the state directory.
    pub api_base: Option<String>,
    /// Token of one project, for the command line.
    pub project_token: Option<Secret<String>>,
    /// Slots of a worker.
    pub worker_concurrency: usize,
    /// Jobs of one project at once.
    pub project_concurrency: i64,
    /// Lease of a claimed job.
    pub lease: Duration,
    /// Beat of the scheduler.
    pub scheduler_interval: Duration,
    /// A running step without a live lease older than this is stuck; `None` = off.
    pub step_stuck: Option<Duration>,
    /// Models asked for by `PROTOCOL_*_MODEL`, where set.
    pub models: ModelDefaults,
    /// Simple steps are not decomposed.
    pub skip_simple_decompose: bool,
    /// QA is queued after execution even without `auto_advance`.
    pub auto_qa_after_exec: bool,
    /// QA is queued when CI turns green.
    pub auto_qa_on_ci: bool,
    /// Cap for loops without a limit of their own.
    pub max_loop_iterations: u32,
    /// Wall limit of an engine call where no spec says otherwise.
    pub engine_timeout: Duration,
    /// No byte from an engine for this long ends the call.
    pub engine_idle: Duration,
    /// Between the first stop signal and the kill.
    pub engine_grace: Duration,
    /// `--sandbox off` / `TASKSGODZILLA_SANDBOX=off`: engines may run unconfined; recorded and shown.
    pub sandbox_off: bool,
    /// Binary of an engine by engine id (`TASKSGODZILLA_CODEX_BIN`, …), else PATH.
    pub engine_binaries: BTreeMap<String, PathBuf>,
    /// Login folders shared with an engine, by engine id (`TASKSGODZILLA_CODEX_LOGIN`); none by default.
    pub engine_logins: BTreeMap<String, PathBuf>,
    /// Extra arguments for the codex command line (`TASKSGODZILLA_CODEX_ARGS`, JSON list): own providers.
    pub codex_arguments: Vec<String>,
    /// Variables handed to an engine by engine id (keys, base URLs); never ours.
    pub engine_environment: EngineVariables,
    /// Script of the dummy engine (`TASKSGODZILLA_DUMMY_SCRIPT`); tests only.
    pub dummy_script: Option<PathBuf>,
    /// Author and committer of our commits.
    pub git_identity: (String, String),
    /// Keys that seal project secrets, newest first (`TASKSGODZILLA_SECRET_KEY`), checked; without them
    /// the key file in the state directory counts.
    pub secret_keys: Secret<Option<String>>,
    /// Remotes may lie on private addresses (`TASKSGODZILLA_ALLOW_PRIVATE_HOSTS`).
    pub allow_private_hosts: bool,
    /// Variables handed to a git call that talks to a remote (search path, home of the ssh keys and
    /// their agent, proxies); no other git call gets any.
    pub git_environment: Vec<(String, String)>,
    /// Wall limit of one git call.
    pub git_timeout: Duration,
    /// Cap of one call log.
    pub run_log_max_bytes: u64,
    /// Finished jobs and logs older than this are pruned.
    pub run_log_retention: Duration,
    /// Log level filter.
    pub log_level: String,
    /// Log as JSON lines.
    pub log_json: bool,
    /// Where traces are sent; `None` = nowhere. May hold a password.
    pub otlp_endpoint: Option<Secret<String>>,
    /// Our own binary, for hidden commands (`__supervise`, `__dummy`).
    pub own_binary: PathBuf,
    /// PATH of the server, where engines and git are looked up.
    pub search_path: String,
    /// The user's browser and what it needs.
    pub desktop: Desktop,
    /// Deprecated or ignored variables that were seen; each is warned about once.
    pub warnings: Vec<String>,
    /// Fail point that ends the process (crash tests).
    pub failpoint: Option<String>,
    /// Every setting with its value (redacted) and where it came from, for `config show`.
    pub shown: Vec<Shown>,
}

/// One setting as shown to a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Variable.
    pub variable: &'static str,
    /// Key in `config.toml`; empty when it cannot be set there.
    pub key: String,
    /// Value in force, redacted; empty = not set.
    pub value: String,
    /// `flag`, `environment`, `file` or `default`.
    pub source: &'static str,
}

/// Everything settings are read from.
#[derive(Debug, Clone, Default)]
pub struct Inputs {
    /// Values given by flags, by variable name.
    pub flags: BTreeMap<&'static str, String>,
    /// Environment of the process.
    pub environment: BTreeMap<String, String>,
    /// Path and content of the configuration file, if there is one.
    pub file: Option<(PathBuf, String)>,
    /// Our own binary.
    pub own_binary: PathBuf,
    /// Directory that relative paths of flags and environment start from.
    pub directory: PathBuf,
}

/// Why the settings cannot be used; always names the variable or key.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value does not parse.
    #[error("{variable} ({from}): {problem}")]
    BadValue {
        /// Variable.
        variable: String,
        /// Where the value came from.
        from: String,
        /// What is wrong and what is wanted.
        problem: String,
    },
    /// A key of the file is not known.
    #[error("{file}: unknown key `{key}`")]
    UnknownKey {
        /// File.
        file: String,
        /// Key.
        key: String,
    },
    /// The file is not TOML.
    #[error("{file}: {problem}")]
    BadFile {
        /// File.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// The file cannot be read.
    #[error("{file} cannot be read: {error}")]
    Unreadable {
        /// File.
        file: String,
        /// System error.
        error: io::Error,
    },
}

/// Name and mail of our commits when none are set.
const IDENTITY: (&str, &str) = ("TasksGodzilla", "tasksgodzilla@localhost");

/// Engines that may be handed variables, and the keys that are always considered.
const ENGINE_KEYS: &[(&str, &[&str])] = &[("codex", &["CODEX_API_KEY", "OPENAI_API_KEY"])];

const MIB: i64 = 1024 * 1024;
const DAY: u64 = 24 * 60 * 60;

impl Inputs {
    /// Reads the environment of the process and the configuration file: `file` if given (it must
    /// exist), else `<home>/config.toml` if it exists.
    pub fn from_process(
        flags: BTreeMap<&'static str, String>,
        file: Option<&Path>,
    ) -> Result<Self, ConfigError> {
        let mut inputs = Self {
            flags,
            environment: process_environment(),
            file: None,
            own_binary: std::env::current_exe().map_err(|error| unreadable("our own binary", error))?,
            directory: std::env::current_dir().map_err(|error| unreadable("the current directory", error))?,
        };
        let path = match file {
            Some(path) => inputs.directory.join(path),
            None => Lookup::new(&inputs)?.home()?.join("config.toml"),
        };
        inputs.file = match std::fs::read_to_string(&path) {
            Ok(text) => Some((path, text)),
            Err(error) if file.is_none() && error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(unreadable(&path.display().to_string(), error)),
        };
        Ok(inputs)
    }
}

fn unreadable(file: &str, error: io::Error) -> ConfigError {
    ConfigError::Unreadable { file: file.to_owned(), error }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
fn process_environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.to_string_lossy().into_owned())))
        .collect()
}

impl Config {
    /// Reads the settings of this process.
    pub fn load(flags: BTreeMap<&'static str, String>, file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::resolve(&Inputs::from_process(flags, file)?)
    }

    /// Settings that follow from the inputs; touches nothing else.
    pub fn resolve(inputs: &Inputs) -> Result<Self, ConfigError> {
        let mut from = Lookup::new(inputs)?;
        let home = from.home()?;
        let home = Home {
            projects: from.path("TASKSGODZILLA_PROJECTS_ROOT")?.unwrap_or_else(|| home.join("projects")),
            runs: from.path("TASKSGODZILLA_RUNS_DIR")?.unwrap_or_else(|| home.join("runs")),
            root: home,
        };
        let database_url = from.database_url(&home)?;
        Ok(Self {
            database_url,
            database_pool: from.integer("TASKSGODZILLA_DB_POOL_SIZE", 1..=200)?,
            api_host: from.address("TASKSGODZILLA_API_HOST")?,
            api_port: from.integer("TASKSGODZILLA_API_PORT", 0..=65535)?,
            access: from.access()?,
            api_base: from.text("TASKSGODZILLA_API_BASE")?,
            project_token: from.text("TASKSGODZILLA_PROJECT_TOKEN")?.map(Secret::new),
            worker_concurrency: from.integer("TASKSGODZILLA_WORKER_CONCURRENCY", 1..=256)?,
            project_concurrency: from.integer("TASKSGODZILLA_PROJECT_CONCURRENCY", 1..=256)?,
            lease: from.seconds("TASKSGODZILLA_LEASE_SECONDS", 0.5, 3600.0)?,
            scheduler_interval: from.seconds("TASKSGODZILLA_SCHEDULER_INTERVAL_SECONDS", 0.1, 3600.0)?,
            step_stuck: from.step_stuck()?,
            models: from.models()?,
            skip_simple_decompose: from.boolean("PROTOCOL_SKIP_SIMPLE_DECOMPOSE")?,
            auto_qa_after_exec: from.boolean("TASKSGODZILLA_AUTO_QA_AFTER_EXEC")?,
            auto_qa_on_ci: from.boolean("TASKSGODZILLA_AUTO_QA_ON_CI")?,
            max_loop_iterations: from.integer("TASKSGODZILLA_MAX_LOOP_ITERATIONS", 1..=10_000)?,
            engine_timeout: from.seconds("TASKSGODZILLA_CODEX_TIMEOUT_SECONDS", 0.1, 86_400.0)?,
            engine_idle: from.seconds("TASKSGODZILLA_ENGINE_IDLE_SECONDS", 0.1, 86_400.0)?,
            engine_grace: from.seconds("TASKSGODZILLA_ENGINE_GRACE_SECONDS", 0.1, 600.0)?,
            sandbox_off: from.choice("TASKSGODZILLA_SANDBOX", &["auto", "off"])? == "off",
            engine_binaries: from
                .path("TASKSGODZILLA_CODEX_BIN")?
                .map(|path| ("codex".to_owned(), path))
                .into_iter()
                .collect(),
            engine_logins: from
                .path("TASKSGODZILLA_CODEX_LOGIN")?
                .map(|path| ("codex".to_owned(), path))
                .into_iter()
                .collect(),
            codex_arguments: from.json_list("TASKSGODZILLA_CODEX_ARGS")?,
            engine_environment: from.engine_environment()?,
            dummy_script: from.path("TASKSGODZILLA_DUMMY_SCRIPT")?,
            secret_keys: Secret::new(from.secret_keys()?),
            allow_private_hosts: from.boolean("TASKSGODZILLA_ALLOW_PRIVATE_HOSTS")?,
            git_identity: from.git_identity()?,
            git_environment: from.git_environment(),
            git_timeout: from.seconds("TASKSGODZILLA_GIT_TIMEOUT_SECONDS", 1.0, 86_400.0)?,
            run_log_max_bytes: from.integer("TASKSGODZILLA_RUN_LOG_MAX_BYTES", 65_536..=1024 * 1024 * MIB)?,
            run_log_retention: from.days("TASKSGODZILLA_RUN_LOG_RETENTION_DAYS", 1..=36_500)?,
            log_level: from.log_filter("TASKSGODZILLA_LOG_LEVEL")?,
            log_json: from.boolean("TASKSGODZILLA_LOG_JSON")?,
            otlp_endpoint: from.otlp_endpoint()?,
            own_binary: inputs.own_binary.clone(),
            search_path: from.search_path(),
            desktop: from.desktop(),
            failpoint: from.failpoint(),
            warnings: from.warnings(),
            shown: from.shown(),
            home,
        })
    }

    /// Where the value of a setting came from: `flag`, `environment`, `file` or `default`.
    pub fn source(&self, variable: &str) -> &'static str {
        self.shown.iter().find(|shown| shown.variable == variable).map_or("default", |shown| shown.source)
    }

    /// Values that must never reach a log: keys handed to engines, keys that seal, passwords in URLs,
    /// tokens.
    pub fn secrets(&self) -> Vec<Secret<String>> {
        let mut secrets: Vec<_> =
            self.engine_environment.values().flatten().map(|(_, value)| value.clone()).collect();
        let sealing = self.secret_keys.expose().iter().flat_map(|keys| keys.split([',', ' ']));
        secrets.extend(sealing.filter(|key| !key.is_empty()).map(|key| Secret::new(key.to_owned())));
        secrets.extend(self.access.token.clone());
        if let Some(password) = lookup::password_in(self.database_url.expose()) {
            secrets.push(Secret::new(password.to_owned()));
        }
        secrets.extend(self.project_token.clone());
        secrets
    }
}

impl Lookup<'_> {
    fn step_stuck(&mut self) -> Result<Option<Duration>, ConfigError> {
        let seconds: i64 = self.integer("TASKSGODZILLA_STEP_STUCK_SECONDS", -1..=31_536_000)?;
        Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs))
    }

    fn models(&mut self) -> Result<ModelDefaults, ConfigError> {
        Ok(ModelDefaults {
            planning: self.models_of("PROTOCOL_PLANNING_MODEL")?,
            decompose: self.models_of("PROTOCOL_DECOMPOSE_MODEL")?,
            exec: self.models_of("PROTOCOL_EXEC_MODEL")?,
            qa: self.models_of("PROTOCOL_QA_MODEL")?,
        })
    }

    fn days(
        &mut self,
        variable: &'static str,
        range: std::ops::RangeInclusive<i64>,
    ) -> Result<Duration, ConfigError> {
        let days: u64 = self.integer(variable, range)?;
        Ok(Duration::from_secs(days * DAY))
    }

    fn secret_keys(&mut self) -> Result<Option<String>, ConfigError> {
        let Some(text) = self.text(crate::seal::VARIABLE)? else { return Ok(None) };
        match crate::seal::check_keys(&text) {
            Ok(()) => Ok(Some(text)),
            Err(error) => Err(self.bad(crate::seal::VARIABLE, &error.to_string())),
        }
    }

    fn otlp_endpoint(&mut self) -> Result<Option<Secret<String>>, ConfigError> {
        const VARIABLE: &str = "TASKSGODZILLA_OTLP_ENDPOINT";
        let Some(url) = self.text(VARIABLE)? else { return Ok(None) };
        if !cfg!(feature = "otlp") {
            return Err(self.bad(
                VARIABLE,
                "this build cannot send traces; unset it, or use a build with the feature `otlp`",
            ));
        }
        if ["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
            Ok(Some(Secret::new(url)))
        } else {
            Err(self.bad(VARIABLE, "must begin with http:// or https://"))
        }
    }

    fn git_identity(&mut self) -> Result<(String, String), ConfigError> {
        let name = self.text("TASKSGODZILLA_GIT_USER")?;
        let mail = self.text("TASKSGODZILLA_GIT_EMAIL")?;
        match (name, mail) {
            (Some(name), Some(mail)) => Ok((name, mail)),
            (None, None) => Ok((IDENTITY.0.to_owned(), IDENTITY.1.to_owned())),
            (Some(_), None) => {
                Err(self.bad("TASKSGODZILLA_GIT_EMAIL", "must be set together with TASKSGODZILLA_GIT_USER"))
            }
            (None, Some(_)) => {
                Err(self.bad("TASKSGODZILLA_GIT_USER", "must be set together with TASKSGODZILLA_GIT_EMAIL"))
            }
        }
    }

    fn database_url(&mut self, home: &Home) -> Result<Secret<String>, ConfigError> {
        let url = self.text("TASKSGODZILLA_DB_URL")?;
        let path = self.path("TASKSGODZILLA_DB_PATH")?.unwrap_or_else(|| home.database());
        let Some(url) = url else {
            return Ok(Secret::new(format!("sqlite:{}", path.display())));
        };
        if ["postgres://", "postgresql://", "sqlite:"].iter().any(|scheme| url.starts_with(scheme)) {
            Ok(Secret::new(url))
        } else {
            Err(self.bad("TASKSGODZILLA_DB_URL", "must begin with postgres://, postgresql:// or sqlite:"))
        }
    }

    fn engine_environment(&mut self) -> Result<EngineVariables, ConfigError> {
        let named = self.names("TASKSGODZILLA_ENGINE_ENV")?;
        let of = |keys: &[&str]| {
            let mut names: Vec<&str> = keys.to_vec();
            names.extend(named.iter().map(String::as_str).filter(|name| !keys.contains(name)));
            names
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), Secret::new(self.variable(name)?.to_owned()))))
                .collect()
        };
        Ok(ENGINE_KEYS.iter().map(|(engine, keys)| ((*engine).to_owned(), of(keys))).collect())
    }
}
