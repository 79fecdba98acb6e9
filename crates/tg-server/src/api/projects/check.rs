//! What a project's fields may hold. Every field that does not hold is told, with its place. Reads
//! settings and, for paths on this machine, where links lead; contacts nobody.

use std::path::{Component, Path};

use tg_core::{
    naming::{BranchName, LocalRemotes, RemoteUrl, project_name},
    project::{Project, SecretKey},
    wire::{NewProject, ProjectChange, SecretText},
};

use crate::{
    api::{
        caller::Caller,
        error::ApiError,
        fields::{Wrong, put},
    },
    config::Config,
    secret::Secret,
    store::project,
};

/// Branch of a project that names none.
const BASE_BRANCH: &str = "main";
/// Longest path, in bytes.
const LONGEST_PATH: usize = 4096;
/// Shortest and longest secret, in bytes: a shorter one could not be told from ordinary text, so it
/// could not be taken out of a log.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 8..=16 * 1024;

/// A secret with its name.
pub(super) type KeyedSecret = (SecretKey, Secret<String>);

/// A row and its secrets out of the body of a new project.
pub(super) fn new_project(
    config: &Config,
    caller: &Caller,
    new: NewProject,
) -> Result<(project::NewProject, Vec<KeyedSecret>), ApiError> {
    let mut wrong = Wrong::default();
    let name = wrong.take(&["name"], project_name(&new.name));
    let local =
        if caller.called().principal.is_admin() { LocalRemotes::Allowed } else { LocalRemotes::Refused };
    let git_url = wrong.take(&["git_url"], remote(config, &new.git_url, local));
    let local_path =
        new.local_path.map(|path| wrong.take(&["local_path"], checkout(config, &path).map(|()| path)));
    let branch = new.base_branch.unwrap_or_else(|| BASE_BRANCH.to_owned());
    let base_branch = wrong.take(&["base_branch"], BranchName::parse(&branch));
    let default_models = new.default_models.unwrap_or_default();
    wrong.models("default_models", &default_models);
    let mut secrets = Vec::new();
    for (key, value) in new.secrets.0 {
        let read = secret_key(&key).and_then(|key| Ok((key, secret(&value)?)));
        secrets.extend(wrong.take(&["secrets", key.as_str()], read));
    }
    match (name, git_url, base_branch) {
        (Some(name), Some(git_url), Some(base_branch)) if wrong.is_empty() => {
            let row = project::NewProject {
                name,
                git_url,
                local_path: local_path.flatten(),
                base_branch: base_branch.to_string(),
                ci_provider: new.ci_provider,
                default_models,
            };
            Ok((row, secrets))
        }
        _ => Err(wrong.refuse()),
    }
}

/// A change that holds.
pub(super) struct Change(ProjectChange);

/// A change out of the body of a request.
pub(super) fn change(config: &Config, mut asked: ProjectChange) -> Result<Change, ApiError> {
    let mut wrong = Wrong::default();
    asked.name = asked.name.and_then(|name| wrong.take(&["name"], project_name(&name)));
    asked.base_branch = asked
        .base_branch
        .and_then(|branch| wrong.take(&["base_branch"], BranchName::parse(&branch)))
        .map(|branch| branch.to_string());
    if let Some(Some(path)) = &asked.local_path {
        wrong.take(&["local_path"], checkout(config, path));
    }
    if let Some(Some(default_models)) = &asked.default_models {
        wrong.models("default_models", default_models);
    }
    wrong.refuse_any()?;
    Ok(Change(asked))
}

impl Change {
    /// The project with the change, and the names of the fields that differ.
    pub(super) fn apply(self, current: &Project) -> (Project, Vec<&'static str>) {
        let Self(asked) = self;
        let default_models = asked.default_models.map(Option::unwrap_or_default);
        let mut fields = Vec::new();
        let mut changed = current.clone();
        put(&mut changed.name, asked.name, "name", &mut fields);
        put(&mut changed.base_branch, asked.base_branch, "base_branch", &mut fields);
        put(&mut changed.local_path, asked.local_path, "local_path", &mut fields);
        put(&mut changed.ci_provider, asked.ci_provider, "ci_provider", &mut fields);
        put(&mut changed.default_models, default_models, "default_models", &mut fields);
        (changed, fields)
    }
}

/// Name of a secret, out of a path or a body.
pub(super) fn secret_key(key: &str) -> Result<SecretKey, String> {
    if key == "api_token" {
        return Err("the token of a project is made by the server; use POST /projects/{id}/token".to_owned());
    }
    SecretKey::parse(key).ok_or_else(|| {
        "is no known secret; use webhook_token, github_token, gitlab_token, openai_api_key, \
         anthropic_api_key, gemini_api_key or engine.<id>"
            .to_owned()
    })
}

/// The value of a secret. What is wrong with it is told without it.
pub(super) fn secret(value: &SecretText) -> Result<Secret<String>, String> {
    let value = value.expose();
    if !SECRET_BYTES.contains(&value.len()) {
        return Err("must have 8 to 16384 bytes".to_owned());
    }
    if value.chars().any(char::is_control) || value.trim() != value {
        return Err("must not hold control characters, nor blanks or line breaks around it".to_owned());
    }
    Ok(Secret::new(value.to_owned()))
}

fn remote(config: &Config, text: &str, local: LocalRemotes) -> Result<String, String> {
    let url = RemoteUrl::parse(text, local).map_err(|error| error.to_string())?;
    if !config.allow_private_hosts {
        url.refuse_private_host().map_err(|error| error.to_string())?;
    }
    if let Some(path) = url.local_path() {
        outside_our_state(config, &path)?;
    }
    Ok(url.as_str().to_owned())
}

fn checkout(config: &Config, text: &str) -> Result<(), String> {
    if text.len() > LONGEST_PATH || text.chars().any(char::is_control) {
        return Err("must be a path of at most 4096 bytes without control characters".to_owned());
    }
    let path = Path::new(text);
    if !path.is_absolute() {
        return Err("must be an absolute path on the server's machine".to_owned());
    }
    outside_our_state(config, path)
}

/// What we keep for ourselves is no repository: through it one project would read the others.
fn outside_our_state(config: &Config, path: &Path) -> Result<(), String> {
    if path.components().any(|part| part == Component::ParentDir) {
        return Err("must not hold `..`; write the plain path".to_owned());
    }
    let real = path.canonicalize().ok();
    for root in [&config.home.root, &config.home.projects, &config.home.runs] {
        let real_root = root.canonicalize().ok();
        let lies_below = path.starts_with(root)
            || real.iter().zip(&real_root).any(|(real, root)| real.starts_with(root))
            || real_root.is_some_and(|root| path.starts_with(root));
        if lies_below {
            return Err(
                "lies in the state directory of this server; name a repository outside of it".to_owned()
            );
        }
    }
    Ok(())
}
