//! Which engine and model a call gets, and whether it may run here: binary found, confinement holds.
//! An absent engine or sandbox is an obstacle for a person to clear, never a pass.

use tg_core::{
    ids::StepId,
    job::ErrorCategory,
    project::ModelDefaults,
    protocol::{Confinement, ProtocolRun, StepRun},
    spec::{self, StepSpec},
    status::ReasonCode,
};

use super::{
    JobError, call,
    subject::{Attempt, Subject},
};
use crate::{
    app::App,
    engine::{self, Engine, sandbox::Sandbox, supervise},
};

pub use tg_core::spec::DEFAULT_ENGINE;

/// Engine that pretends; used only when asked for by name.
pub const DUMMY_ENGINE: &str = "dummy";

/// An engine that may be called.
#[derive(Clone)]
pub struct Chosen {
    /// Adapter.
    pub engine: &'static dyn Engine,
    /// Its binary.
    pub program: supervise::Program,
    /// Model; `None` = the engine's own default.
    pub model: Option<String>,
    /// The model it stands in for, because that one could not be reached.
    pub fallback_of: Option<String>,
    /// Confinement that will be in force.
    pub confinement: Confinement,
}

impl Chosen {
    /// Id in specs and settings.
    pub fn id(&self) -> &'static str {
        self.engine.card().id
    }
}

/// Why no engine can be called: a sentence with cause and remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// Engine that was wanted.
    pub engine_id: String,
    /// Machine word.
    pub word: &'static str,
    /// Cause and remedy.
    pub message: String,
}

impl From<Unavailable> for JobError {
    fn from(why: Unavailable) -> Self {
        Self::fail(ErrorCategory::Config, why.word, why.message)
            .because(ReasonCode::EngineUnavailable)
            .with("engine_id", why.engine_id)
    }
}

/// Which role's entry of the model preferences counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelRole {
    /// Planning.
    Planning,
    /// Decomposition.
    Decompose,
    /// Execution.
    Exec,
    /// QA.
    Qa,
}

impl ModelRole {
    fn of(self, models: &ModelDefaults) -> Option<&str> {
        match self {
            Self::Planning => models.planning.as_deref(),
            Self::Decompose => models.decompose.as_deref(),
            Self::Exec => models.exec.as_deref(),
            Self::Qa => models.qa.as_deref(),
        }
    }
}

/// A model, and the one it stands in for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Model {
    /// Name; `None` = the engine's own default.
    pub name: Option<String>,
    /// The model that an earlier attempt could not reach.
    pub fallback_of: Option<String>,
}

/// What a model is chosen by.
#[derive(Debug, Clone, Copy)]
pub struct ModelWish<'a> {
    /// Role whose preferences count.
    pub role: ModelRole,
    /// What spec and step state, the strongest first.
    pub stated: [Option<&'a str>; 2],
    /// Models taken after the first one is not to be had.
    pub fallbacks: &'a [String],
    /// Step and kind of the call.
    pub call: (Option<StepId>, &'static str),
}

impl<'a> ModelWish<'a> {
    /// For the execution of a step.
    pub fn of_execution(step: &'a StepRun, spec: &'a StepSpec) -> Self {
        Self {
            role: ModelRole::Exec,
            stated: [spec.model.as_deref(), step.model.as_deref()],
            fallbacks: &spec.fallback_models,
            call: (Some(step.id), "exec"),
        }
    }

    /// For the QA of a step; `kind` is that of the call.
    pub fn of_quality(step: &StepRun, spec: &'a StepSpec, kind: &'static str) -> Self {
        Self {
            role: ModelRole::Qa,
            stated: [spec.qa.model.as_deref(), None],
            fallbacks: &[],
            call: (Some(step.id), kind),
        }
    }
}

/// Engine of a step's execution: what its spec states, then the step, then the run.
pub fn executor<'a>(subject: &'a Subject, step: &'a StepRun, spec: &'a StepSpec) -> &'a str {
    let levels = [spec.engine_id.as_deref(), step.engine_id.as_deref(), subject.run.engine.as_deref()];
    spec::choose_engine(&levels)
}

/// Engine of a step's QA: its own, else the one of the execution.
pub fn judge<'a>(subject: &'a Subject, step: &'a StepRun, spec: &'a StepSpec) -> &'a str {
    spec::choose_engine(&[spec.qa.engine_id.as_deref(), Some(executor(subject, step, spec))])
}

/// Models of a call in the order they are tried: what spec and step state, then what this run asked
/// for, the project, the settings. None = the engine's own.
pub fn models(app: &App, subject: &Subject, wish: ModelWish<'_>) -> Vec<String> {
    let mut levels = wish.stated.to_vec();
    let preferences = [&subject.run.models, &subject.project.default_models, &app.config.models];
    levels.extend(preferences.map(|models| wish.role.of(models)));
    spec::choose_models(&levels, wish.fallbacks)
}

/// Model of a call. Each attempt of the job that could not reach its model moves on to the next one.
pub async fn model_for(attempt: &Attempt<'_>, wish: ModelWish<'_>) -> Result<Model, JobError> {
    let mut names = models(attempt.app, attempt.subject, wish);
    if names.len() < 2 {
        return Ok(Model { name: names.pop(), fallback_of: None });
    }
    let unreached = call::unreached(attempt, wish.call.0, wish.call.1).await?;
    let at = unreached.min(names.len() - 1);
    let fallback_of = at.checked_sub(1).map(|before| names[before].clone());
    Ok(Model { name: Some(names.swap_remove(at)), fallback_of })
}

/// Ids of the engines that this binary has.
pub fn known() -> Vec<&'static str> {
    engine::ENGINES.iter().map(|engine| engine.card().id).collect()
}

/// Finds the engine and proves that it may be called.
pub fn choose(app: &App, run: &ProtocolRun, id: &str, model: Model) -> Result<Chosen, Unavailable> {
    let unavailable =
        |word: &'static str, message: String| Unavailable { engine_id: id.to_owned(), word, message };
    let Some(engine) = engine::find(id) else {
        return Err(unavailable(
            "unknown_engine",
            format!("there is no engine {id:?}; use one of {}", known().join(", ")),
        ));
    };
    let confinement = confinement(app, run, id).map_err(|message| unavailable("sandbox", message))?;
    let program = supervise::resolve(&app.config, engine).map_err(|failure| {
        let remedy = engine.card().remedy;
        unavailable("not_installed", format!("engine {id} is not available: {}; {remedy}", failure.message))
    })?;
    let Model { name, fallback_of } = model;
    let model = name.or_else(|| engine.card().default_model.map(str::to_owned));
    Ok(Chosen { engine, program, model, fallback_of, confinement })
}

/// Confinement for an engine of a run, or why it must not be called.
fn confinement(app: &App, run: &ProtocolRun, id: &str) -> Result<Confinement, String> {
    if run.sandbox_off || app.config.sandbox_off {
        return Ok(Confinement::Off);
    }
    match app.sandbox.as_ref() {
        Sandbox::Bwrap(_) => Ok(Confinement::Bwrap),
        Sandbox::Unavailable(_) if id == DUMMY_ENGINE => Ok(Confinement::Off),
        Sandbox::Unavailable(why) => Err(format!(
            "engine {id} is refused without a sandbox: {why}; or accept it by name with --sandbox off"
        )),
    }
}
