//! Every error of a spec at once: schema, names, engines, paths, targets (contract §6.4).

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::OnceLock,
};

use jsonschema::Validator;
use serde_json::Value;

use super::{Found, Places, Policy, ProtocolSpec, SCHEMA, StepSpec};

/// One error of a spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// There is no spec.
    #[error("schema:: the run has no spec; plan it again")]
    Missing,
    /// Breaks the schema.
    #[error("schema:{path}: {message}")]
    Schema {
        /// Path of the value, without leading `/`.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// Breaks a rule that the schema cannot say.
    #[error("{step}: {message}")]
    Step {
        /// Name of the step.
        step: String,
        /// What is wrong with it.
        message: String,
    },
}

/// A spec that holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The spec.
    pub spec: ProtocolSpec,
    /// What it says that will have no effect.
    pub warnings: Vec<String>,
}

/// Most schema errors that are told.
const TOLD_ERRORS: usize = 100;

fn validator() -> &'static Validator {
    static VALIDATOR: OnceLock<Validator> = OnceLock::new();
    VALIDATOR.get_or_init(|| {
        let schema: Value =
            serde_json::from_str(SCHEMA).expect("the shipped spec schema is JSON; a test reads it");
        jsonschema::draft7::new(&schema).expect("the shipped spec schema is valid; a test compiles it")
    })
}

/// Reads a spec by schema alone. The aliases `prompt` and `file` count as `prompt_ref`.
pub fn check_schema(spec: &Value) -> Result<ProtocolSpec, Vec<SpecError>> {
    let spec = with_prompt_refs(spec);
    let errors: Vec<SpecError> = validator()
        .iter_errors(&spec)
        .take(TOLD_ERRORS)
        .map(|error| SpecError::Schema {
            path: error.instance_path().to_string().trim_start_matches('/').to_owned(),
            message: error.masked().to_string().chars().take(300).collect(),
        })
        .collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    serde_json::from_value(spec)
        .map_err(|error| vec![SpecError::Schema { path: String::new(), message: error.to_string() }])
}

fn with_prompt_refs(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let steps = spec.get_mut("steps").and_then(Value::as_array_mut).into_iter().flatten();
    for step in steps.filter_map(Value::as_object_mut) {
        for alias in ["prompt", "file"] {
            if let Some(path) = step.remove(alias)
                && !step.contains_key("prompt_ref")
            {
                step.insert("prompt_ref".to_owned(), path);
            }
        }
    }
    spec
}

/// Checks a spec wholly. `engine_known` says whether an engine is registered; `look` says what lies
/// at an absolute path, links followed.
pub fn check(
    spec: Option<&Value>,
    places: &Places,
    engine_known: &dyn Fn(&str) -> bool,
    look: &dyn Fn(&Path) -> Found,
) -> Result<Checked, Vec<SpecError>> {
    let spec = check_schema(spec.ok_or_else(|| vec![SpecError::Missing])?)?;
    let mut check =
        Check { spec: &spec, places, engine_known, look, errors: Vec::new(), warnings: Vec::new() };
    check.names();
    check.engines();
    check.paths();
    check.policies();
    let Check { errors, warnings, .. } = check;
    if errors.is_empty() { Ok(Checked { spec, warnings }) } else { Err(errors) }
}

struct Check<'a> {
    spec: &'a ProtocolSpec,
    places: &'a Places,
    engine_known: &'a dyn Fn(&str) -> bool,
    look: &'a dyn Fn(&Path) -> Found,
    errors: Vec<SpecError>,
    warnings: Vec<String>,
}

impl<'a> Check<'a> {
    fn steps(&self) -> impl Iterator<Item = (String, &'a StepSpec)> + use<'a> {
        (0..).zip(&self.spec.steps).map(|(index, step)| (step.step_name(index), step))
    }

    fn error(&mut self, step: &str, message: impl Into<String>) {
        self.errors.push(SpecError::Step { step: step.to_owned(), message: message.into() });
    }

    fn names(&mut self) {
        let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
        for (name, step) in self.steps() {
            if step.id.trim().is_empty() {
                self.error(&name, "its id is empty; give it one");
            } else if !ids.insert(step.id.clone()) {
                self.error(
                    &name,
                    format!("the id {:?} is taken by an earlier step; ids must differ", step.id),
                );
            }
            if name.contains('/') || name.chars().any(char::is_control) || matches!(name.as_str(), "." | "..")
            {
                self.error(&name, "its name must be a plain file name without `/`");
            }
            if !names.insert(name.clone()) {
                self.error(&name, "the name is taken by an earlier step; names must differ");
            }
        }
    }

    fn engines(&mut self) {
        for (name, step) in self.steps() {
            let second = step.qa.second_opinion.as_ref().and_then(|second| second.engine_id.as_deref());
            for engine in
                [step.engine_id.as_deref(), step.qa.engine_id.as_deref(), second].into_iter().flatten()
            {
                if !(self.engine_known)(engine) {
                    self.error(
                        &name,
                        format!("engine {engine:?} is not registered; see `tasksgodzilla doctor`"),
                    );
                }
            }
        }
    }

    fn paths(&mut self) {
        let mut inputs: BTreeMap<PathBuf, String> = BTreeMap::new();
        for (name, step) in self.steps() {
            inputs.insert(self.places.protocol_root.join(&name), format!("the file of step {name}"));
            if let Some(prompt) = self.prompt(&name, step) {
                inputs.insert(prompt, format!("the prompt of step {name}"));
            }
            self.qa_prompt(&name, step, &mut inputs);
        }
        for (name, step) in self.steps() {
            let outputs = match self.places.outputs(step, &name) {
                Ok(outputs) => outputs,
                Err(error) => {
                    self.error(&name, error.to_string());
                    continue;
                }
            };
            for path in std::iter::once(&outputs.protocol).chain(outputs.aux.values()) {
                if let Some(input) = inputs.get(path) {
                    self.error(&name, format!("its output {} is {input}; write elsewhere", self.shown(path)));
                } else if (self.look)(path) == Found::Outside {
                    self.error(&name, format!("its output {} leads out of the worktree", self.shown(path)));
                }
            }
        }
    }

    /// The first candidate that is a file; errors when there is none and the entry says nothing itself.
    fn prompt(&mut self, name: &str, step: &StepSpec) -> Option<PathBuf> {
        let prompt_ref = step.prompt_ref.as_str();
        let candidates = match self.places.prompt_candidates(prompt_ref) {
            Ok(candidates) => candidates,
            Err(error) => {
                self.error(name, error.to_string());
                return None;
            }
        };
        let mut leads_out = false;
        for candidate in candidates {
            match (self.look)(&candidate) {
                Found::File => return Some(candidate),
                Found::Missing => {}
                Found::Outside => {
                    leads_out = true;
                    break;
                }
            }
        }
        if !leads_out && step.own_prompt().is_some() {
            return None;
        }
        let why = if leads_out {
            "leads out of the worktree"
        } else {
            "does not exist in protocol folder or worktree"
        };
        self.error(name, format!("its prompt {prompt_ref:?} {why}"));
        None
    }

    /// A stated QA prompt may be absent (the repository's or the bundled one is used), but must not
    /// lie elsewhere.
    fn qa_prompt(&mut self, name: &str, step: &StepSpec, inputs: &mut BTreeMap<PathBuf, String>) {
        let second = step.qa.second_opinion.as_ref().and_then(|second| second.prompt.as_deref());
        for stated in [step.qa.prompt.as_deref(), second] {
            match self.places.qa_prompt_candidates(stated) {
                Ok(candidates) => {
                    for path in candidates {
                        match (self.look)(&path) {
                            Found::File => {
                                inputs.insert(path, format!("the QA prompt of step {name}"));
                                break;
                            }
                            Found::Missing => {}
                            Found::Outside => {
                                let shown = self.shown(&path);
                                self.error(name, format!("its QA prompt {shown} leads out of the worktree"));
                                break;
                            }
                        }
                    }
                }
                Err(error) => self.error(name, error.to_string()),
            }
        }
    }

    fn policies(&mut self) {
        for (name, step) in self.steps() {
            match Policy::read_all(Some(&Value::Array(step.policies.clone()))) {
                Ok(policies) => policies.iter().for_each(|policy| self.policy(&name, step, policy)),
                Err(error) => self.error(&name, error),
            }
        }
    }

    fn policy(&mut self, name: &str, step: &StepSpec, policy: &Policy) {
        let module = &policy.module_id;
        match policy.behavior.trim().to_lowercase().as_str() {
            "loop" => {
                if let Some(target) = policy.target_step.as_deref()
                    && !self.spec.steps.iter().any(|step| step.id == target)
                {
                    self.error(name, format!("loop {module:?} goes back to {target:?}, which is no step id"));
                }
            }
            "trigger" => self.trigger(name, step, policy),
            _ => {}
        }
    }

    fn trigger(&mut self, name: &str, step: &StepSpec, policy: &Policy) {
        let module = &policy.module_id;
        let Some(target) = policy.trigger_target() else {
            self.warnings.push(format!("{name}: trigger {module:?} names no target and will never fire"));
            return;
        };
        match self.targets(target).as_slice() {
            [] => self.error(name, format!("trigger {module:?} starts {target:?}, which is no step")),
            [only] if *only == step.id => {
                self.warnings
                    .push(format!("{name}: trigger {module:?} names its own step and will never fire"));
            }
            [_] => {}
            _ => self.error(name, format!("trigger {module:?} starts {target:?}, which names several steps")),
        }
    }

    /// Ids of the steps a trigger's target may mean: by id, else by name without number and extension.
    fn targets(&self, target: &str) -> Vec<&'a str> {
        let by_id: Vec<&str> =
            self.spec.steps.iter().map(|step| step.id.as_str()).filter(|id| *id == target).collect();
        if !by_id.is_empty() {
            return by_id;
        }
        self.steps().filter(|(name, _)| bare_name(name) == target).map(|(_, step)| step.id.as_str()).collect()
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.places.workspace).unwrap_or(path).display().to_string()
    }
}

/// Step name without number prefix and extension: `02-review.md` → `review`.
fn bare_name(name: &str) -> &str {
    let stem = name.strip_suffix(".md").unwrap_or(name);
    match stem.split_once('-') {
        Some((number, rest)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            rest
        }
        Some(_) | None => stem,
    }
}
