//! Plans a run: an engine writes a plan, we check it, keep it in the protocol folder, build the spec,
//! commit and push. A plan that breaks a rule writes nothing.

use std::path::PathBuf;

use serde_json::{Map, Value, json};
use tg_core::{
    event::{Event, EventKind},
    ids::RunId,
    job::ErrorCategory,
    layout,
    lifecycle::Signal,
    naming::plan_subject,
    plan::{self, Plan, PlanError, StepFile},
    spec::{self, BuildOptions, Places, ProtocolSpec},
    status::{ReasonCode, StatusReason},
    tokens,
};
use tokio_util::sync::CancellationToken;

use super::{
    brief,
    call::{self, Ask, Prompt},
    commit::{self, About, By},
    engine_choice::{self, Chosen, ModelRole, ModelWish},
    entry,
    files::{unreadable, unwritable},
    gate::{self, Gate},
    judge::known,
    open_pull_request::no_remote,
    place::{self, Place, PlaceError, Push},
    subject::{Attempt, Subject},
};
use crate::{
    app::App,
    engine::Role,
    failpoint,
    jobs::{Answer, JobError},
    queue::Lease,
    store,
};

/// Does the work.
pub async fn run(
    app: &App,
    lease: &Lease,
    cancel: &CancellationToken,
    run: RunId,
) -> Result<Option<Answer>, JobError> {
    let subject = Subject::of_run(app, run).await?;
    if let Gate::Passed(why) = gate::plan(&subject) {
        tracing::info!(protocol_run_id = %run, why, "no planning");
        return Ok(None);
    }
    let signal = signal(&Attempt { app, lease, cancel, subject: &subject }).await?;
    Ok(Some(Answer { run, signal }))
}

async fn signal(attempt: &Attempt<'_>) -> Result<Signal, JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    let engine = spec::choose_engine(&[subject.run.engine.as_deref()]);
    let model = engine_choice::model_for(attempt, wish(ModelRole::Planning, "plan")).await?;
    let chosen = match engine_choice::choose(app, &subject.run, engine, model) {
        Ok(chosen) => chosen,
        Err(why) => return Ok(blocked(ReasonCode::EngineUnavailable, why.message, why.word)),
    };
    let place = match place::prepare(app, lease, subject).await {
        Ok(place) => place,
        Err(PlaceError::Missing(sentence)) => return Ok(no_repository(subject, sentence)),
        Err(PlaceError::Job(error)) => return Err(error),
    };
    if let Some(sha) = earlier(attempt, &place).await? {
        tracing::info!(protocol_run_id = %subject.run.id, sha, "took over the plan of an attempt that died");
        let files = files_in(&place)?;
        return match store_spec(attempt, &place, &files).await? {
            Ok(spec) => finish(attempt, &place, &spec, Map::new(), Some(sha)).await,
            Err(signal) => Ok(signal),
        };
    }
    let planned = ask(attempt, &place, &chosen).await?;
    write(&place, &planned.plan)?;
    failpoint::pass(app.config.failpoint.as_deref(), "plan.written");
    let files: Vec<_> =
        planned.plan.step_files.iter().map(|file| (file.filename.clone(), file.content.clone())).collect();
    let spec = match store_spec(attempt, &place, &files).await? {
        Ok(spec) => spec,
        Err(signal) => return Ok(signal),
    };
    let title = plan_subject(&subject.run.protocol_name);
    let by = By::of(&chosen, &planned.prompt);
    let message = commit::new(lease, subject, &title, "00", About::Plan, Some(&by));
    let sha = place.repository.commit(&place.tree, &message).await?;
    failpoint::pass(app.config.failpoint.as_deref(), "plan.committed");
    finish(attempt, &place, &spec, planned.facts, sha).await
}

const fn wish(role: ModelRole, kind: &'static str) -> ModelWish<'static> {
    ModelWish { role, stated: [None, None], fallbacks: &[], call: (None, kind) }
}

fn blocked(code: ReasonCode, sentence: String, word: &str) -> Signal {
    let event =
        Event::run(EventKind::PlanningFailed).with("error", sentence.clone()).with("error_type", word);
    Signal::PlanBlocked { reason: StatusReason::new(code, sentence), events: vec![event] }
}

fn no_repository(subject: &Subject, sentence: String) -> Signal {
    let event = Event::run(EventKind::RepoMissing)
        .with("git_url", subject.project.git_url.clone())
        .with("error", sentence.clone())
        .with_all(known(json!({ "resolved_path": subject.project.local_path })));
    Signal::PlanBlocked { reason: StatusReason::new(ReasonCode::RepoMissing, sentence), events: vec![event] }
}

/// Commit of an earlier attempt of this job that died before it could answer.
async fn earlier(attempt: &Attempt<'_>, place: &Place) -> Result<Option<String>, JobError> {
    if call::earlier(attempt, None, "plan").await?.is_none() {
        return Ok(None);
    }
    let job = &attempt.lease.job_id.0;
    let base = &place.tree.base_sha;
    Ok(place.repository.find_trailer(&place.tree, base, commit::JOB_TRAILER, job).await?)
}

/// A plan that holds, and how it came about.
struct Planned {
    plan: Plan,
    prompt: Prompt,
    /// Metadata of `planned`.
    facts: Map<String, Value>,
}

async fn ask(attempt: &Attempt<'_>, place: &Place, chosen: &Chosen) -> Result<Planned, JobError> {
    let Attempt { app, subject, .. } = *attempt;
    let prompt = brief::plan(&place.files, subject)?;
    let ask = Ask {
        kind: "plan",
        role: Role::Plan,
        step: None,
        step_name: "",
        prompt: &prompt,
        schema: Some(plan::schema()),
        wall: app.config.engine_timeout,
        directory: place.tree.path.clone(),
    };
    let made = call::make(attempt, chosen, ask).await.map_err(invalid_if_schema)?;
    failpoint::pass(app.config.failpoint.as_deref(), "plan.answered");
    let answer = made.structured.as_ref().map_or_else(|| made.text.clone(), Value::to_string);
    let mut plan = match plan::read(&answer) {
        Ok(plan) => plan,
        Err(error) => {
            let end = call::refused(&made, chosen, &error.to_string());
            call::close(attempt, &made.id, None, end, &[]).await?;
            return Err(refused(attempt, chosen, &error));
        }
    };
    let estimate = tokens::estimate(&prompt.text);
    let result = json!({
        "engine_id": chosen.id(),
        "model": chosen.model,
        "prompt_path": prompt.path,
        "prompt_versions": prompt.versions,
        "steps": plan.step_files.iter().map(|file| &file.filename).collect::<Vec<_>>(),
        "estimated_tokens": {"planning": estimate},
        "engine_call": made.engine_call,
    });
    call::close(attempt, &made.id, None, call::succeeded(&made, result), &[]).await?;
    let mut versions = prompt.versions.clone();
    let refined = decompose(attempt, place, chosen, &mut plan, &mut versions).await?;
    let facts = known(json!({
        "models": {"planning": chosen.model, "decompose": refined.model},
        "prompt_versions": versions,
        "estimated_tokens": {"planning": estimate, "decompose": refined.estimate},
    }));
    Ok(Planned { plan, prompt, facts })
}

/// A schema the engine could not satisfy is a broken plan, not a broken engine.
fn invalid_if_schema(error: JobError) -> JobError {
    if error.error_type == "schema_mismatch" { error.because(ReasonCode::PlanningInvalid) } else { error }
}

/// A plan in the wrong form may come out right the second time; one that breaks a rule does not.
fn refused(attempt: &Attempt<'_>, chosen: &Chosen, error: &PlanError) -> JobError {
    let may_repeat = match error {
        PlanError::NotJson { .. } | PlanError::Schema { .. } => attempt.lease.attempt <= 1,
        PlanError::TooLarge { .. }
        | PlanError::StepCount { .. }
        | PlanError::Filename { .. }
        | PlanError::DuplicateNumber { .. }
        | PlanError::Blank { .. } => false,
    };
    let make = if may_repeat { JobError::retry } else { JobError::fail };
    make(ErrorCategory::Validation, error.word(), error.to_string())
        .because(ReasonCode::PlanningInvalid)
        .with("engine_id", chosen.id())
}

/// What refining the step files came to.
#[derive(Default)]
struct Refined {
    model: Option<String>,
    estimate: u64,
}

async fn decompose(
    attempt: &Attempt<'_>,
    place: &Place,
    planner: &Chosen,
    plan: &mut Plan,
    versions: &mut Map<String, Value>,
) -> Result<Refined, JobError> {
    let Attempt { app, subject, .. } = *attempt;
    let skips = |file: &StepFile| app.config.skip_simple_decompose && plan::is_simple(&file.content);
    let candidates = || plan.step_files.iter().filter(|file| !file.is_setup());
    let wanted: Vec<String> =
        candidates().filter(|file| !skips(file)).map(|file| file.filename.clone()).collect();
    let skipped: Vec<String> =
        candidates().filter(|file| skips(file)).map(|file| file.filename.clone()).collect();
    if wanted.is_empty() {
        return Ok(Refined::default());
    }
    let model = engine_choice::model_for(attempt, wish(ModelRole::Decompose, "decompose")).await?;
    let chosen = match model.name {
        Some(name) => Chosen { model: Some(name), fallback_of: model.fallback_of, ..planner.clone() },
        None => planner.clone(),
    };
    let facts = known(json!({ "steps": wanted, "model": chosen.model }));
    call::tell(attempt, &[Event::run(EventKind::DecomposeStarted).with_all(facts)]).await?;
    let mut refined = Refined { model: chosen.model.clone(), estimate: 0 };
    let outline = plan.plan_md.clone();
    for file in plan.step_files.iter_mut().filter(|file| wanted.contains(&file.filename)) {
        let prompt = brief::decompose(&place.files, subject, &outline, &file.filename, &file.content)?;
        versions.extend(prompt.versions.clone());
        refined.estimate += tokens::estimate(&prompt.text);
        let answer = refine(attempt, place, &chosen, &prompt, &file.filename).await?;
        if let Some(content) = plan::decomposed(&answer) {
            file.content = content;
        }
    }
    let facts = known(json!({
        "model": chosen.model,
        "steps_decomposed": wanted,
        "steps_skipped": skipped,
        "estimated_tokens": {"decompose": refined.estimate},
    }));
    call::tell(attempt, &[Event::run(EventKind::DecomposeCompleted).with_all(facts)]).await?;
    Ok(refined)
}

async fn refine(
    attempt: &Attempt<'_>,
    place: &Place,
    chosen: &Chosen,
    prompt: &Prompt,
    filename: &str,
) -> Result<String, JobError> {
    let ask = Ask {
        kind: "decompose",
        role: Role::Plan,
        step: None,
        step_name: filename,
        prompt,
        schema: None,
        wall: attempt.app.config.engine_timeout,
        directory: place.tree.path.clone(),
    };
    let made = call::make(attempt, chosen, ask).await?;
    let result = json!({
        "engine_id": chosen.id(),
        "model": chosen.model,
        "step": filename,
        "prompt_versions": prompt.versions,
        "engine_call": made.engine_call,
    });
    call::close(attempt, &made.id, None, call::succeeded(&made, result), &[]).await?;
    Ok(made.text)
}

/// Writes the files of a plan and removes step files of an earlier plan that it does not have.
fn write(place: &Place, plan: &Plan) -> Result<(), JobError> {
    let root = place.files.root()?;
    let own = [
        (layout::PLAN_FILE, &plan.plan_md),
        (layout::CONTEXT_FILE, &plan.context_md),
        (layout::LOG_FILE, &plan.log_md),
    ];
    let steps = plan.step_files.iter().map(|file| (file.filename.as_str(), &file.content));
    for (name, content) in own.into_iter().chain(steps) {
        let path = place.files.folder.join(name);
        root.write(&path, content.as_bytes()).map_err(|error| unwritable(&path, &error))?;
    }
    for name in root.list(&place.files.folder).map_err(|error| unreadable(&place.files.folder, &error))? {
        if spec::is_step_file(&name) && !plan.step_files.iter().any(|file| file.filename == name) {
            let path = place.files.folder.join(&name);
            root.remove(&path).map_err(|error| unwritable(&path, &error))?;
        }
    }
    Ok(())
}

/// Step files as they lie in the protocol folder.
fn files_in(place: &Place) -> Result<Vec<(String, String)>, JobError> {
    let root = place.files.root()?;
    let mut files = Vec::new();
    for name in root.list(&place.files.folder).map_err(|error| unreadable(&place.files.folder, &error))? {
        let path: PathBuf = place.files.folder.join(&name);
        if spec::is_step_file(&name)
            && let Some(content) = place.files.read_text(&path, brief::MATERIAL_CAP)?
        {
            files.push((name, content));
        }
    }
    Ok(files)
}

/// Builds the spec from the step files, checks it and stores it; a spec with errors blocks the run.
async fn store_spec(
    attempt: &Attempt<'_>,
    place: &Place,
    files: &[(String, String)],
) -> Result<Result<ProtocolSpec, Signal>, JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    let options = BuildOptions { engine: subject.run.engine.clone(), qa_policy: None };
    let built = spec::from_files(files, &options).to_value();
    let places = Places::of(place.tree.path.clone(), &subject.run.protocol_name);
    let checked = match entry::check(&place.files, &places, Some(&built))? {
        Ok(checked) => checked,
        Err(errors) => {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            return Ok(Err(invalid_spec(place, &built, &errors)));
        }
    };
    let now = app.clock.now();
    let mut config = json!({ "protocol_spec": checked.spec.to_value(), "spec_meta": {"source": "files"} });
    spec::set_checked(&mut config, Some((&[], now)));
    let mut tx = app.db.begin().await?;
    store::protocol::set_spec(&mut tx, lease, subject.run.id, &config, &checked.spec.hash(), now).await?;
    tx.commit().await?;
    Ok(Ok(checked.spec))
}

fn invalid_spec(place: &Place, built: &Value, errors: &[String]) -> Signal {
    let hash = spec::spec_hash(built);
    let event = |error: &String| {
        Event::run(EventKind::SpecValidationError)
            .with("protocol_root", place.files.folder.display().to_string())
            .with("spec_hash", hash.clone())
            .with("error", error.clone())
    };
    let reason = StatusReason::new(ReasonCode::SpecInvalid, errors.join("; "));
    Signal::PlanBlocked { reason, events: errors.iter().map(event).collect() }
}

/// Pushes the plan and says that it is ready. A failed push is only recorded.
async fn finish(
    attempt: &Attempt<'_>,
    place: &Place,
    spec: &ProtocolSpec,
    mut detail: Map<String, Value>,
    sha: Option<String>,
) -> Result<Signal, JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    let branch = &subject.run.protocol_name;
    let mut events = Vec::new();
    if let Some(head) = &sha {
        events.push(match place.push(app, lease, &subject.run, head).await? {
            Push::Done(sha) => Event::run(EventKind::OpenPr).with("branch", branch.clone()).with("sha", sha),
            Push::NoRemote => no_remote(subject, branch),
            Push::Failed(why) => {
                Event::run(EventKind::OpenPrFailed).with("branch", branch.clone()).with("error", why)
            }
        });
    }
    let steps = spec.planned_steps();
    detail.extend(known(json!({
        "steps_created": steps.len(),
        "protocol_root": place.files.folder,
        "spec_hash": spec.hash(),
        "spec_validated": true,
    })));
    Ok(Signal::PlanReady { steps, detail, events })
}
