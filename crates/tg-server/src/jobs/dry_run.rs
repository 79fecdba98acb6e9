//! What an execution of a step would do now, found by the very functions that its job uses. Starts no
//! engine, runs no git, writes nothing.

use std::collections::BTreeMap;

use tg_core::{
    ids::StepId,
    lifecycle::{self, Signal, Source},
    protocol::StepRun,
    scope::Scope,
    step::QaPolicy,
    tokens,
    wire::{ExecutionPlanOut, GateWord, PlannedGate, PlannedOutputs, PlannedQa},
};

use super::{
    JobError, Next, brief,
    engine_choice::{self, Model, ModelWish},
    entry::{self, Entry, EntryError},
    files::Files,
    place::worktree_path,
    review,
    subject::Subject,
};
use crate::{
    app::App,
    store::{self, StoreError, protocol::FlowSettings},
};

/// Why nothing can be said of an execution.
#[derive(Debug, thiserror::Error)]
pub enum DryRunError {
    /// Not there in this scope, or the database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The run has no worktree.
    #[error("{0}")]
    WorktreeMissing(String),
    /// The entry of the step does not hold; the execution would end with this.
    #[error("{0}")]
    SpecInvalid(String),
    /// No prompt can be made; the execution would end with this.
    #[error("{0}")]
    PromptInvalid(String),
    /// The worktree cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

impl From<JobError> for DryRunError {
    fn from(error: JobError) -> Self {
        match error.next {
            Next::Fail => Self::PromptInvalid(error.message),
            Next::Retry { .. } | Next::Snooze | Next::Cancel | Next::Lost => Self::Unreadable(error.message),
        }
    }
}

impl From<EntryError> for DryRunError {
    fn from(error: EntryError) -> Self {
        match error {
            EntryError::Invalid(errors) => Self::SpecInvalid(errors.join("; ")),
            EntryError::Job(error) => error.into(),
        }
    }
}

/// Resolves a step as its execution would. `settings` are those that the lifecycle is told.
pub async fn plan(
    app: &App,
    scope: &Scope,
    step: StepId,
    settings: FlowSettings,
) -> Result<ExecutionPlanOut, DryRunError> {
    let mut tx = app.db.read().await.map_err(StoreError::from)?;
    let step = store::step::load(&mut tx, scope, step).await?;
    drop(tx);
    let subject = Subject::seen_by(app, scope, step.protocol_run_id).await?;
    let files = files(app, &subject)?;
    let entry = entry::resolve(&files, &subject, &step)?;
    let review = review::gather(app, None, &step).await?;
    let prompt = brief::execute(&files, &subject, &step, &entry.prompt, review)?;
    let execution = call(
        app,
        &subject,
        GateWord::Engine,
        engine_choice::executor(&subject, &step, &entry.spec),
        ModelWish::of_execution(&step, &entry.spec),
    );
    let quality = call(
        app,
        &subject,
        GateWord::QaEngine,
        engine_choice::judge(&subject, &step, &entry.spec),
        ModelWish::of_quality(&step, &entry.spec, "qa"),
    );
    let mut gates = vec![may_run(app, &subject, &step, settings).await?, execution.gate];
    gates.extend((entry.spec.qa.policy != Some(QaPolicy::Skip)).then_some(quality.gate));
    Ok(ExecutionPlanOut {
        engine_id: execution.engine_id,
        model: execution.model,
        prompt_path: prompt.path,
        prompt_versions: prompt.versions,
        outputs: outputs(&entry),
        workdir: files.workspace.display().to_string(),
        timeout_seconds: entry.wall(app).as_secs(),
        qa: PlannedQa {
            policy: entry.spec.qa.policy,
            engine_id: quality.engine_id,
            model: quality.model,
            prompt_path: entry.judge.path,
        },
        gates,
        estimated_tokens: BTreeMap::from([("exec".to_owned(), tokens::estimate(&prompt.text))]),
    })
}

fn files(app: &App, subject: &Subject) -> Result<Files, DryRunError> {
    let run = &subject.run;
    let files = Files::of(worktree_path(app, run), run);
    if files.workspace.is_dir() {
        return Ok(files);
    }
    let what = if run.worktree_path.is_none() {
        format!("run {} has no worktree yet; it is made when its planning, or its first step, begins", run.id)
    } else {
        let path = files.workspace.display();
        format!("the worktree {path} is not there any more; run a step, and it is made again")
    };
    Err(DryRunError::WorktreeMissing(what))
}

fn outputs(entry: &Entry) -> PlannedOutputs {
    PlannedOutputs {
        protocol: entry.output.display().to_string(),
        aux: entry.aux.iter().map(|(name, path)| (name.clone(), path.display().to_string())).collect(),
    }
}

/// A call as it would be made first.
struct Call {
    engine_id: String,
    model: Option<String>,
    gate: PlannedGate,
}

fn call(app: &App, subject: &Subject, gate: GateWord, engine: &str, wish: ModelWish<'_>) -> Call {
    let name = engine_choice::models(app, subject, wish).into_iter().next();
    let wanted = Model { name: name.clone(), fallback_of: None };
    let (model, refused) = match engine_choice::choose(app, &subject.run, engine, wanted) {
        Ok(chosen) => (chosen.model, None),
        Err(why) => (name, Some(why.message)),
    };
    Call { engine_id: engine.to_owned(), model, gate: gate_of(gate, refused) }
}

fn gate_of(gate: GateWord, refused: Option<String>) -> PlannedGate {
    PlannedGate { gate, open: refused.is_none(), reason: refused }
}

/// Asks the lifecycle, and whether project and run take work at all, as the action would.
async fn may_run(
    app: &App,
    subject: &Subject,
    step: &StepRun,
    settings: FlowSettings,
) -> Result<PlannedGate, StoreError> {
    let mut tx = app.db.read().await?;
    let archived = match &subject.run.archived_at {
        Some(_) => Err(StoreError::RunArchived(subject.run.id)),
        None => store::project::refuse_archived(&mut tx, subject.project.id).await,
    };
    let refused = match archived {
        Err(why @ (StoreError::RunArchived(_) | StoreError::Archived(_))) => Some(why.to_string()),
        Err(error) => return Err(error),
        Ok(()) => {
            let flow = store::protocol::flow(&mut tx, subject.run.id, settings, None).await?;
            let signal = Signal::RunStep { step: step.id, source: Source::Api };
            lifecycle::decide(&flow, &signal).err().map(|refused| refused.to_string())
        }
    };
    Ok(gate_of(GateWord::Status, refused))
}
