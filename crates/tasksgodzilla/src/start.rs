//! From the command line to something to work with: settings, log, database, sandbox. Every refusal
//! says what to do.

use std::{collections::BTreeMap, fs, path::Path, sync::OnceLock};

use tg_server::{
    app::App,
    config::Config,
    db::Db,
    engine::sandbox::{self, Sandbox},
    git, log,
};

use crate::{
    cli::{CliError, ErrorKind, Global},
    output::Output,
};

/// How much the log of this process says when nobody asked for a level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chatter {
    /// A command: warnings only.
    Command,
    /// A server: as the default of the setting says.
    Server,
}

/// The log of this process is set up.
static LOGS: OnceLock<()> = OnceLock::new();

/// Reads the settings and sets the log up; warns once about deprecated variables.
pub fn config(
    global: &Global,
    flags: BTreeMap<&'static str, String>,
    chatter: Chatter,
    output: &Output,
) -> Result<Config, CliError> {
    let mut settings = global.settings();
    settings.extend(flags);
    let mut config = Config::load(settings, global.config.as_deref())?;
    let by_default = config
        .shown
        .iter()
        .any(|shown| shown.variable == "TASKSGODZILLA_LOG_LEVEL" && shown.source == "default");
    if chatter == Chatter::Command && by_default {
        "warn".clone_into(&mut config.log_level);
    }
    // The menu runs several commands in one process; the first one sets the log up.
    if LOGS.set(()).is_ok() {
        log::init(&config, output.is_live())
            .map_err(|error| CliError::new(ErrorKind::Config, error.to_string()))?;
    }
    for warning in &config.warnings {
        output.warn(warning);
    }
    Ok(config)
}

/// Makes the state directory (mode 0700) and opens the database at this version's schema.
pub async fn database(config: &Config) -> Result<Db, CliError> {
    for directory in [&config.home.root, &config.home.projects, &config.home.runs] {
        private_directory(directory)?;
    }
    let db = Db::open(config.database_url.expose(), config.database_pool).await?;
    db.migrate().await?;
    Ok(db)
}

/// An application that reads and steers but runs no engine: nothing is probed.
pub async fn steering(global: &Global, output: &Output) -> Result<App, CliError> {
    let config = config(global, BTreeMap::new(), Chatter::Command, output)?;
    let db = database(&config).await?;
    Ok(App::new(config, db, Sandbox::Unavailable("not probed by this command".to_owned())))
}

/// An application that can work: git is checked, the sandbox probed.
pub async fn working(config: Config) -> Result<App, CliError> {
    let (version, sandbox, db) = tokio::join!(
        git::version(Path::new("git"), &config.git_environment),
        sandbox::probe(&config.search_path),
        database(&config)
    );
    version?;
    Ok(App::new(config, db?, sandbox))
}

/// Makes a directory that only its owner can enter; an existing one is left as it is.
pub fn private_directory(path: &Path) -> Result<(), CliError> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| {
        CliError::failed(format!("cannot make {}: {error}", path.display()))
            .hint("name a writable state directory with --home or TASKSGODZILLA_HOME")
    })
}
