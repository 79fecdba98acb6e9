//! Which engine and model a call gets, and whether it may run here: binary found, confinement holds.
//! An absent engine or sandbox is an obstacle for a person to clear, never a pass.

use tg_core::{
    job::ErrorCategory,
    project::ModelDefaults,
    protocol::{Confinement, ProtocolRun},
    spec,
    status::ReasonCode,
};

use super::{JobError, subject::Subject};
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

/// Model of a call: what spec and step state, then what this run asked for, the project, the settings.
pub fn model_for(app: &App, subject: &Subject, role: ModelRole, stated: &[Option<&str>]) -> Option<String> {
    let mut levels = stated.to_vec();
    levels.push(role.of(&subject.run.models));
    levels.push(role.of(&subject.project.default_models));
    levels.push(role.of(&app.config.models));
    spec::choose_models(&levels, &[]).into_iter().next()
}

/// Finds the engine and proves that it may be called.
pub fn choose(app: &App, run: &ProtocolRun, id: &str, model: Option<String>) -> Result<Chosen, Unavailable> {
    let unavailable =
        |word: &'static str, message: String| Unavailable { engine_id: id.to_owned(), word, message };
    let Some(engine) = engine::find(id) else {
        let known: Vec<&str> = engine::ENGINES.iter().map(|engine| engine.card().id).collect();
        return Err(unavailable(
            "unknown_engine",
            format!("there is no engine {id:?}; use one of {}", known.join(", ")),
        ));
    };
    let confinement = confinement(app, run, id).map_err(|message| unavailable("sandbox", message))?;
    let program = supervise::resolve(&app.config, engine).map_err(|failure| {
        let remedy = engine.card().remedy;
        unavailable("not_installed", format!("engine {id} is not available: {}; {remedy}", failure.message))
    })?;
    let model = model.or_else(|| engine.card().default_model.map(str::to_owned));
    Ok(Chosen { engine, program, model, confinement })
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
