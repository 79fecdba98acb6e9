//! The secrets of a project, opened for one engine call: which of them the engine is given, and what
//! must be taken out of everything it says; and the change to a newer key. Nothing else opens one.

use tg_core::{ids::ProjectId, job::ErrorCategory, project::SecretKey, scope::Scope, status::ReasonCode};

use super::JobError;
use crate::{
    app::App,
    config::EngineVariables,
    redact::Redactor,
    seal::{Place, SealError},
    secret::Secret,
    store::{self, StoreError, secret::StoredSecret},
};

/// Opened secrets by key.
pub struct Secrets(Vec<(String, Secret<String>)>);

/// Variables that carry a key of an engine, by engine id.
const VARIABLES: &[(&str, &[&str])] = &[("codex", &["CODEX_API_KEY", "OPENAI_API_KEY"])];

impl Secrets {
    /// Opens what is stored for a project. One that does not open stops the call: what is not known
    /// cannot be taken out of its log.
    pub async fn of_project(app: &App, project: ProjectId) -> Result<Self, JobError> {
        let mut tx = app.db.read().await?;
        let stored = store::secret::list(&mut tx, &Scope::All, project).await?;
        drop(tx);
        let open = |row: StoredSecret| {
            let place = Place { project: project.0, field: &row.key };
            match app.seal.open(place, &row.sealed) {
                Ok(text) => Ok((row.key, text)),
                Err(error) => {
                    let told = format!("project secret {} cannot be opened: {error}", row.key);
                    Err(JobError::fail(ErrorCategory::Config, "secret_unreadable", told)
                        .because(ReasonCode::EngineUnavailable))
                }
            }
        };
        stored.into_iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    fn get(&self, key: &SecretKey) -> Option<&Secret<String>> {
        let name = key.to_string();
        self.0.iter().find(|(stored, _)| *stored == name).map(|(_, text)| text)
    }

    /// Variables of an engine: those of the settings, where the project has no key of its own.
    pub fn variables(&self, engine: &str, settings: &EngineVariables) -> Vec<(String, Secret<String>)> {
        let mut variables = settings.get(engine).cloned().unwrap_or_default();
        let own = self.get(&SecretKey::Engine(engine.to_owned())).or_else(|| match engine {
            "codex" => self.get(&SecretKey::OpenaiApiKey),
            _ => None,
        });
        let names = VARIABLES.iter().find(|(id, _)| *id == engine).map_or(&[][..], |(_, names)| *names);
        if let Some(own) = own {
            variables.retain(|(name, _)| !names.contains(&name.as_str()));
            variables.extend(names.iter().map(|name| ((*name).to_owned(), own.clone())));
        }
        variables
    }

    /// Takes out everything that is secret here, also what this engine was not given: it may have
    /// found it.
    pub fn redactor(&self, app: &App) -> Redactor {
        let mut known = app.config.secrets();
        known.extend(self.0.iter().map(|(_, text)| text.clone()));
        Redactor::new(&known)
    }
}

/// Secrets that are sealed anew in one transaction, so that nobody waits long.
const SLICE: i64 = 100;

/// Seals everything with the newest key that was sealed with an older one; gives how many secrets. What
/// does not open is told and stays as it is. Meant to be run beside the work, at every start.
pub async fn seal_anew(app: &App) -> Result<u64, StoreError> {
    let (mut after, mut sealed) = (String::new(), 0);
    loop {
        let mut tx = app.db.read().await?;
        let Some(key_id) = store::secret::next_key(&mut tx, &after).await? else { return Ok(sealed) };
        drop(tx);
        match app.seal.ring() {
            Ok(ring) if ring.newest() == key_id => {}
            Ok(ring) if ring.holds(&key_id) => sealed += replace_key(app, &key_id).await?,
            Ok(_) => {
                let error = SealError::UnknownKey(key_id.clone());
                tracing::warn!(%error, "project secrets cannot be opened");
            }
            Err(error) => {
                tracing::error!(%error, "project secrets cannot be opened");
                return Ok(sealed);
            }
        }
        after = key_id;
    }
}

async fn replace_key(app: &App, key_id: &str) -> Result<u64, StoreError> {
    let (mut last, mut sealed) = ((ProjectId(0), String::new()), 0);
    loop {
        let mut tx = app.db.begin().await?;
        let after = (last.0, last.1.as_str());
        let rows = store::secret::sealed_with(&mut tx, key_id, after, SLICE).await?;
        let Some(end) = rows.last() else { return Ok(sealed) };
        last = (end.project, end.key.clone());
        for row in &rows {
            let place = Place { project: row.project.0, field: &row.key };
            match app.seal.open(place, &row.sealed).and_then(|text| app.seal.seal(place, &text)) {
                Ok(new) => sealed += u64::from(store::secret::reseal(&mut tx, row, &new).await?),
                Err(error) => {
                    tracing::error!(%error, project_id = row.project.0, key = row.key, "a secret was not sealed anew");
                }
            }
        }
        tx.commit().await?;
    }
}
