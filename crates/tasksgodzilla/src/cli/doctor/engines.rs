//! Looks at engines: where the binary lies, its version, whether it can log in. Names of keys only,
//! never their values.

use std::{path::PathBuf, time::Duration};

use tg_server::{
    config::Config,
    engine::{Card, ENGINES, Engine, supervise},
    jobs::engine_choice::{DEFAULT_ENGINE, DUMMY_ENGINE},
    process::{self, Command, Wrap},
};

use super::{Check, State};

/// One engine as found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Engine id.
    pub id: &'static str,
    /// Its card.
    pub card: &'static Card,
    /// Binary, or why there is none.
    pub path: Result<PathBuf, String>,
    /// What it says of its version.
    pub version: Option<String>,
    /// How it will log in; `None` = it cannot.
    pub login: Option<String>,
}

/// An engine that does not tell its version in this time does not work.
const LIMIT: Duration = Duration::from_secs(10);

/// Looks at every engine we know.
pub async fn look(config: &Config) -> Vec<Found> {
    let mut found = Vec::with_capacity(ENGINES.len());
    for engine in ENGINES {
        found.push(look_at(config, *engine).await);
    }
    found
}

async fn look_at(config: &Config, engine: &dyn Engine) -> Found {
    let card = engine.card();
    let path =
        supervise::resolve(config, engine).map(|program| program.path).map_err(|failure| failure.message);
    let builtin = card.program.is_empty();
    let version = match &path {
        Ok(_) if builtin => Some(env!("CARGO_PKG_VERSION").to_owned()),
        Ok(path) => version(config, path.clone()).await,
        Err(_) => None,
    };
    let login = if builtin { Some("needs none".to_owned()) } else { login(config, card.id) };
    Found { id: card.id, card, path, version, login }
}

/// First line of `--version`; nothing when it does not answer.
async fn version(config: &Config, program: PathBuf) -> Option<String> {
    let home = config.home.root.join("engines");
    let command = Command {
        program: program.clone(),
        arguments: vec!["--version".into()],
        environment: vec![
            ("PATH".into(), config.search_path.clone().into()),
            ("HOME".into(), home.into_os_string()),
        ],
        directory: PathBuf::from("/"),
        input: Vec::new(),
        wrap: Wrap::None,
        timeout: LIMIT,
        output_cap: 64 * 1024,
    };
    match process::run(command).await {
        Ok(output) if output.status == Some(0) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            text.lines().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
        }
        Ok(output) => {
            tracing::debug!(program = %program.display(), status = ?output.status, "no version");
            None
        }
        Err(error) => {
            tracing::debug!(%error, "no version");
            None
        }
    }
}

/// Names of the keys an engine is handed, or that a provider of one's own is set.
fn login(config: &Config, id: &str) -> Option<String> {
    let keys: Vec<&str> = config
        .engine_environment
        .get(id)
        .map(|variables| variables.iter().map(|(name, _)| name.as_str()).collect())
        .unwrap_or_default();
    if !keys.is_empty() {
        return Some(format!("by {}", keys.join(", ")));
    }
    if let Some(folder) = config.engine_logins.get(id) {
        return folder.is_dir().then(|| format!("shared from {}", folder.display()));
    }
    let own =
        id == "codex" && config.codex_arguments.iter().any(|argument| argument.contains("model_provider"));
    own.then(|| "own provider, set by TASKSGODZILLA_CODEX_ARGS".to_owned())
}

/// Cause and remedy of a sentence that holds both.
pub fn split(sentence: &str) -> (&str, Option<&str>) {
    sentence.split_once("; ").map_or((sentence, None), |(cause, remedy)| (cause, Some(remedy)))
}

/// One check per engine; only the default engine must be usable.
pub async fn checks(config: &Config) -> Vec<Check> {
    look(config).await.iter().map(check).collect()
}

fn check(found: &Found) -> Check {
    let bad = if found.id == DEFAULT_ENGINE { State::Fail } else { State::Warn };
    let name = format!("engine {}", found.id);
    let remedy = found.card.remedy;
    match (&found.path, &found.version, &found.login) {
        (Err(why), _, _) => Check::not_ok(&name, bad, split(why).0, remedy),
        (Ok(path), None, _) => {
            Check::not_ok(&name, bad, format!("{} does not tell its version", path.display()), remedy)
        }
        (Ok(path), Some(version), None) => Check::not_ok(
            &name,
            bad,
            format!("{version} at {}, not logged in", path.display()),
            "set CODEX_API_KEY or OPENAI_API_KEY, share a login folder with TASKSGODZILLA_CODEX_LOGIN, or name a \
             provider of your own with TASKSGODZILLA_CODEX_ARGS",
        ),
        (Ok(_), Some(version), Some(_)) if found.id == DUMMY_ENGINE => {
            Check::ok(&name, format!("built in, {version}; scripted, nothing real is done"))
        }
        (Ok(path), Some(version), Some(login)) => {
            Check::ok(&name, format!("{version} at {}, logs in {login}", path.display()))
        }
    }
}
