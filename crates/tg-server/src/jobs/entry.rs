//! The spec entry of a step, resolved against the worktree: prompt, outputs, judge's prompt.
//! Reads files through a directory handle; writes none but the captured judge's prompt.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;
use tg_core::{
    ids::StepId,
    prompt::Role,
    protocol::{ProtocolRun, StepRun},
    spec::{self, Found, Places, ProtocolSpec, SpecError, StepSpec},
};

use super::{
    JobError,
    brief::{MATERIAL_CAP, Stated, Template},
    files::{Files, unreadable, unwritable},
    place::worktree_path,
    subject::Subject,
};
use crate::{app::App, engine, paths::Root};

/// A step's entry with everything it names found.
#[derive(Debug, Clone)]
pub struct Entry {
    /// As written.
    pub spec: StepSpec,
    /// Its prompt, as it is now.
    pub prompt: Stated,
    /// Path below the worktree of the protocol output.
    pub output: PathBuf,
    /// Paths below the worktree of further outputs, by name.
    pub aux: BTreeMap<String, PathBuf>,
    /// Template of the step's judge, as it is now.
    pub judge: Template,
}

impl Entry {
    /// How long its execution may take.
    pub fn wall(&self, app: &App) -> Duration {
        Duration::from_secs(self.spec.exec_timeout_seconds(app.config.engine_timeout.as_secs()))
    }
}

/// Why there is no entry.
#[derive(Debug)]
pub enum EntryError {
    /// The spec does not hold; every error that concerns the step.
    Invalid(Vec<String>),
    /// Anything else.
    Job(JobError),
}

impl From<JobError> for EntryError {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

/// Finds the entry of a step and what it names.
pub fn resolve(files: &Files, subject: &Subject, step: &StepRun) -> Result<Entry, EntryError> {
    let places = Places::of(files.workspace.clone(), &subject.run.protocol_name);
    let stored = ProtocolSpec::stored(subject.run.template_config.as_ref());
    let checked = check(files, &places, stored)?;
    let errors: Vec<String> = match &checked {
        Ok(_) => Vec::new(),
        Err(errors) => errors.iter().filter(|error| concerns(error, step)).map(ToString::to_string).collect(),
    };
    if !errors.is_empty() {
        return Err(EntryError::Invalid(errors));
    }
    let invalid = |error: String| EntryError::Invalid(vec![format!("{}: {error}", step.step_name)]);
    let whole = match checked {
        Ok(checked) => checked.spec,
        // Another step's error does not hold this one back.
        Err(_) => spec::check_schema(stored.unwrap_or(&Value::Null))
            .map_err(|errors| EntryError::Invalid(errors.iter().map(ToString::to_string).collect()))?,
    };
    let spec = whole
        .step(&step.step_name)
        .cloned()
        .ok_or_else(|| invalid("the spec has no such step; plan the run again".to_owned()))?;
    let candidates =
        places.prompt_candidates(&spec.prompt_ref).map_err(|error| invalid(error.to_string()))?;
    let prompt = first(files, &candidates)?
        .map(|(path, text)| Stated { path: path.display().to_string(), text })
        .or_else(|| spec.own_prompt().map(|text| Stated { path: format!("spec:{}", step.step_name), text }))
        .ok_or_else(|| invalid(format!("its prompt {:?} does not exist", spec.prompt_ref)))?;
    let outputs = places.outputs(&spec, &step.step_name).map_err(|error| invalid(error.to_string()))?;
    let judge = judge_template(files, &places, &spec).map_err(|error| match error {
        EntryError::Invalid(errors) => invalid(errors.join("; ")),
        EntryError::Job(error) => EntryError::Job(error),
    })?;
    Ok(Entry {
        output: below(files, &outputs.protocol),
        aux: outputs.aux.iter().map(|(name, path)| (name.clone(), below(files, path))).collect(),
        spec,
        prompt,
        judge,
    })
}

/// Checks a spec against the worktree.
pub fn check(
    files: &Files,
    places: &Places,
    stored: Option<&Value>,
) -> Result<Result<spec::Checked, Vec<SpecError>>, JobError> {
    let root = files.root()?;
    let look = |path: &Path| match path.strip_prefix(&files.workspace) {
        Ok(relative) => look_at(&root, relative),
        Err(_outside) => Found::Outside,
    };
    Ok(spec::check(stored, places, &|id| engine::find(id).is_some(), &look))
}

/// Says in a spec that a person changed what a check of it finds. Without a worktree, or when it cannot be
/// read, that it was not checked: the step's job will.
pub fn recheck(app: &App, run: &ProtocolRun, config: &mut Value, now: i64) {
    let files = Files::of(worktree_path(app, run), run);
    let places = Places::of(files.workspace.clone(), &run.protocol_name);
    let checked =
        files.workspace.is_dir().then(|| check(&files, &places, ProtocolSpec::stored(Some(config))));
    let errors = match checked {
        None => None,
        Some(Ok(checked)) => Some(checked.err().unwrap_or_default()),
        Some(Err(error)) => {
            tracing::warn!(protocol_run_id = %run.id, error = error.message, "a changed spec was not checked");
            None
        }
    };
    spec::set_checked(config, errors.as_deref().map(|errors| (errors, now)));
}

fn look_at(root: &Root, relative: &Path) -> Found {
    match root.is_file(relative) {
        Ok(true) => Found::File,
        Ok(false) => Found::Missing,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Found::Missing,
        Err(_led_out) => Found::Outside,
    }
}

fn concerns(error: &SpecError, step: &StepRun) -> bool {
    match error {
        SpecError::Missing | SpecError::Schema { .. } => true,
        SpecError::Step { step: name, .. } => *name == step.step_name,
    }
}

fn judge_template(files: &Files, places: &Places, spec: &StepSpec) -> Result<Template, EntryError> {
    let candidates = places
        .qa_prompt_candidates(spec.qa.prompt.as_deref())
        .map_err(|error| EntryError::Invalid(vec![error.to_string()]))?;
    Ok(match first(files, &candidates)? {
        Some((path, text)) => Template { text: Some(text), path: path.display().to_string() },
        None => Template::bundled(Role::QualityValidator),
    })
}

fn first(files: &Files, candidates: &[PathBuf]) -> Result<Option<(PathBuf, String)>, JobError> {
    for candidate in candidates {
        let relative = below(files, candidate);
        if let Some(text) = files.read_text(&relative, MATERIAL_CAP)? {
            return Ok(Some((relative, text)));
        }
    }
    Ok(None)
}

fn below(files: &Files, path: &Path) -> PathBuf {
    path.strip_prefix(&files.workspace).unwrap_or(path).to_path_buf()
}

/// Keeps the judge's prompt outside the agent's reach before the agent runs: nobody edits their own
/// judge.
pub fn capture_judge(app: &App, step: StepId, judge: &Template) -> Result<(), JobError> {
    let folder = app.config.home.judges();
    std::fs::create_dir_all(&folder).map_err(|error| unwritable(&folder, &error))?;
    let text = judge
        .text
        .as_deref()
        .map_or_else(|| format!("{}\n", judge.path), |text| format!("{}\n{text}", judge.path));
    let name = PathBuf::from(step.to_string());
    let root = Root::open(&folder).map_err(|error| unreadable(&folder, &error))?;
    root.write(&name, text.as_bytes()).map_err(|error| unwritable(&folder.join(name), &error))
}

/// The judge's prompt captured before the step's agent ran; `None` when no agent of ours did the work.
pub fn captured_judge(app: &App, step: StepId) -> Result<Option<Template>, JobError> {
    let folder = app.config.home.judges();
    if !folder.is_dir() {
        return Ok(None);
    }
    let name = PathBuf::from(step.to_string());
    let root = Root::open(&folder).map_err(|error| unreadable(&folder, &error))?;
    if !root.is_file(&name).map_err(|error| unreadable(&folder.join(&name), &error))? {
        return Ok(None);
    }
    let bytes =
        root.read(&name, MATERIAL_CAP + 4096).map_err(|error| unreadable(&folder.join(&name), &error))?;
    let whole = String::from_utf8_lossy(&bytes).into_owned();
    let (path, text) = whole.split_once('\n').unwrap_or((whole.as_str(), ""));
    let text = (!path.starts_with("bundled:")).then(|| text.to_owned());
    Ok(Some(Template { text, path: path.to_owned() }))
}
