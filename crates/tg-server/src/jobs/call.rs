//! One engine call recorded in the run registry: row, folder, confinement, limits, usage, failure.
//! Makes no commit, reads no verdict, decides nothing about the run.

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::{
    JobError, Next,
    engine_choice::{Chosen, DUMMY_ENGINE},
    secrets::Secrets,
    subject::{Attempt, Subject},
};
use crate::{
    app::App,
    db::Tx,
    engine::{EngineFailure, FailKind, Request, Role, sandbox::Grant, supervise},
    metrics::family::{MODEL_FALLBACKS, TOKENS_ESTIMATED},
    process::Wrap,
    queue::Lease,
    store::{
        self,
        artifact::NewArtifact,
        call::{CallEnd, NewCall},
    },
};
use serde_json::{Map, Value, json};
use tg_core::{
    event::{Event, EventKind},
    ids::{CallId, StepId},
    job::ErrorCategory,
    protocol::{CallStatus, Confinement, StepRun, Usage},
    review::ReviewComment,
    scope::Scope,
    status::ReasonCode,
    tokens,
};
use tracing::Instrument as _;

/// A prompt as it is sent, with the fingerprints of what it was made of.
#[derive(Debug, Clone)]
pub struct Prompt {
    /// Assembled text.
    pub text: String,
    /// Fingerprint of the assembled text.
    pub version: String,
    /// Fingerprints of the sources, by role.
    pub versions: Map<String, Value>,
    /// Where the main source lies, as told to people.
    pub path: String,
    /// Comments of people that are in it.
    pub review: Vec<ReviewComment>,
}

/// What is asked of an engine.
pub struct Ask<'a> {
    /// Kind of the call: plan, decompose, exec, qa, `qa_inline`.
    pub kind: &'static str,
    /// Role.
    pub role: Role,
    /// Step whose counters it adds to.
    pub step: Option<&'a StepRun>,
    /// Name of the step it is about; empty for planning.
    pub step_name: &'a str,
    /// Prompt.
    pub prompt: &'a Prompt,
    /// Schema the answer must satisfy.
    pub schema: Option<Value>,
    /// Wall limit.
    pub wall: Duration,
    /// Worktree.
    pub directory: PathBuf,
}

/// A call that ended well; its row is still open and must be closed by `close`.
#[derive(Debug, Clone)]
pub struct Made {
    /// Identity.
    pub id: CallId,
    /// Last message of the agent.
    pub text: String,
    /// Structured answer, validated against the schema.
    pub structured: Option<Value>,
    /// Reported or estimated.
    pub usage: Usage,
    /// Facts of the call for its result.
    pub engine_call: Value,
}

/// Makes one call and waits for its end. A failed call is closed here, with its error.
pub async fn make(attempt: &Attempt<'_>, chosen: &Chosen, ask: Ask<'_>) -> Result<Made, JobError> {
    let id = CallId(uuid::Uuid::now_v7().to_string());
    let span = tracing::error_span!(
        "engine_call",
        run_id = %id.0,
        engine = chosen.id(),
        model = chosen.model.as_deref(),
        phase = store::tally::phase(ask.kind)
    );
    made(attempt, chosen, ask, id).instrument(span).await
}

async fn made(attempt: &Attempt<'_>, chosen: &Chosen, ask: Ask<'_>, id: CallId) -> Result<Made, JobError> {
    let Attempt { app, lease, cancel, subject, .. } = *attempt;
    let secrets = Secrets::of_project(app, subject.project.id).await?;
    let request = request(attempt, chosen, &ask, &id, &secrets)?;
    let wrap = wrap(app, subject, chosen, &request)?;
    begin(attempt, chosen, &ask, &id).await?;
    let redactor = secrets.redactor(app);
    let limits = supervise::Limits {
        wall: ask.wall,
        idle: app.config.engine_idle,
        grace: app.config.engine_grace,
        log_bytes: app.config.run_log_max_bytes,
    };
    let watch: supervise::Watch = Arc::new(|_| {});
    tracing::info!("engine call begins");
    let ended = supervise::call(
        &app.config,
        chosen.engine,
        &chosen.program,
        &request,
        &wrap,
        limits,
        &redactor,
        cancel,
        watch,
    )
    .await;
    tell_end(ended.outcome.as_ref().err());
    let usage = ended.usage.unwrap_or_else(|| estimate(&ask.prompt.text, ended.output_bytes));
    let engine_call = json!({
        "success": ended.outcome.is_ok(),
        "output_bytes": ended.output_bytes,
        "session": ended.session,
        "warnings": ended.warnings,
    });
    match ended.outcome {
        Ok(()) => Ok(Made { id, text: ended.final_text, structured: ended.structured, usage, engine_call }),
        Err(failure) => {
            let status =
                if failure.kind == FailKind::Cancelled { CallStatus::Cancelled } else { CallStatus::Failed };
            let end = CallEnd {
                status,
                result: Some(json!({
                    "engine_id": chosen.id(), "model": chosen.model, "engine_call": engine_call,
                    "error_type": word(failure.kind),
                })),
                error: Some(failure.message.clone()),
                usage: Some(usage),
                cost_cents: cost_cents(&usage),
            };
            match close(attempt, &id, ask.step, end, &[]).await {
                Err(error) if error.next == Next::Lost => {
                    let mut tx = app.db.begin().await?;
                    store::call::stop(&mut tx, &id, status, &failure.message, app.clock.now()).await?;
                    tx.commit().await?;
                    return Err(error);
                }
                closed => closed?,
            }
            Err(failed(lease, chosen, &failure).with("call_id", id.0))
        }
    }
}

fn tell_end(failure: Option<&EngineFailure>) {
    match failure {
        None => tracing::info!("engine call ended"),
        Some(failure) => tracing::info!(
            error = failure.message,
            error_type = word(failure.kind),
            error_category = ErrorCategory::Codex.as_str(),
            "engine call failed"
        ),
    }
}

/// A call of this job that an earlier attempt closed well before its worker died.
pub async fn earlier(
    attempt: &Attempt<'_>,
    step: Option<StepId>,
    kind: &str,
) -> Result<Option<store::call::Call>, JobError> {
    let mut tx = attempt.app.db.read().await?;
    let run = Some(attempt.subject.run.id);
    let filter = store::call::Filter { run, step, run_kind: Some(kind.to_owned()), ..Default::default() };
    let calls = store::call::list(&mut tx, &Scope::All, &filter, 20).await?;
    let job = &attempt.lease.job_id.0;
    let is_ours =
        |call: &store::call::Call| call.status == CallStatus::Succeeded && call.job_id.as_ref() == Some(job);
    Ok(calls.into_iter().find(is_ours))
}

/// How many attempts of this job could not reach their model.
pub async fn unreached(attempt: &Attempt<'_>, step: Option<StepId>, kind: &str) -> Result<usize, JobError> {
    let mut tx = attempt.app.db.read().await?;
    let run = Some(attempt.subject.run.id);
    let filter = store::call::Filter { run, step, run_kind: Some(kind.to_owned()), ..Default::default() };
    let calls = store::call::list(&mut tx, &Scope::All, &filter, 20).await?;
    let job = &attempt.lease.job_id.0;
    let words = [word(FailKind::Provider), word(FailKind::RateLimited)];
    let is_unreached = |call: &&store::call::Call| {
        let told = call.result.as_ref().and_then(|result| result.get("error_type")).and_then(Value::as_str);
        call.job_id.as_ref() == Some(job) && told.is_some_and(|told| words.contains(&told))
    };
    Ok(calls.iter().filter(is_unreached).count())
}

/// Closes a call: result, usage, produced files, tokens of the step, in one transaction.
pub async fn close(
    attempt: &Attempt<'_>,
    id: &CallId,
    step: Option<&StepRun>,
    end: CallEnd,
    files: &[NewArtifact],
) -> Result<(), JobError> {
    let Attempt { app, lease, .. } = *attempt;
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    store::call::finish(&mut tx, lease, id, &end, now).await?;
    for file in files {
        store::artifact::set(&mut tx, lease, id, file, now).await?;
    }
    if let (Some(step), Some(usage)) = (step, end.usage) {
        store::step::add_tokens(&mut tx, lease, step.id, usage.total()).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// The end of a call that went well.
pub fn succeeded(made: &Made, result: Value) -> CallEnd {
    CallEnd {
        status: CallStatus::Succeeded,
        result: Some(result),
        error: None,
        usage: Some(made.usage),
        cost_cents: cost_cents(&made.usage),
    }
}

/// The end of a call whose answer we refused.
pub fn refused(made: &Made, chosen: &Chosen, error: &str) -> CallEnd {
    CallEnd {
        status: CallStatus::Failed,
        result: Some(json!({
            "engine_id": chosen.id(), "model": chosen.model, "engine_call": made.engine_call,
        })),
        error: Some(error.to_owned()),
        usage: Some(made.usage),
        cost_cents: cost_cents(&made.usage),
    }
}

fn request(
    attempt: &Attempt<'_>,
    chosen: &Chosen,
    ask: &Ask<'_>,
    id: &CallId,
    secrets: &Secrets,
) -> Result<Request, JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    let home = app.config.home.engine_home(subject.project.id, chosen.id());
    let call_dir = app.config.home.call_dir(id);
    for folder in [&home, &call_dir] {
        std::fs::create_dir_all(folder).map_err(|error| super::files::unwritable(folder, &error))?;
    }
    Ok(Request {
        call: id.clone(),
        role: ask.role,
        step: ask.step_name.to_owned(),
        attempt: lease.attempt,
        directory: ask.directory.clone(),
        prompt: ask.prompt.text.clone(),
        model: chosen.model.clone(),
        schema: ask.schema.clone(),
        resume: None,
        home,
        login: app.config.engine_logins.get(chosen.id()).cloned(),
        call_dir,
        unconfined: chosen.confinement == Confinement::Off,
        environment: secrets.variables(chosen.id(), &app.config.engine_environment),
        arguments: if chosen.id() == "codex" { app.config.codex_arguments.clone() } else { Vec::new() },
    })
}

fn wrap(app: &App, subject: &Subject, chosen: &Chosen, request: &Request) -> Result<Wrap, JobError> {
    if chosen.confinement == Confinement::Off {
        return Ok(Wrap::None);
    }
    let mut read_only = chosen.program.roots.clone();
    // The `.git` an agent sees borrows its objects from there; nothing else of it is shown.
    read_only.push(app.config.home.control_repo(subject.project.id).join("objects"));
    let grant = Grant {
        worktree: request.directory.clone(),
        role: request.role,
        home: request.home.clone(),
        login: request.login.clone(),
        call_dir: request.call_dir.clone(),
        read_only,
        network: chosen.id() != DUMMY_ENGINE,
    };
    app.sandbox.wrap(&grant).map_err(|why| {
        JobError::fail(ErrorCategory::Config, "sandbox", format!("the sandbox cannot be set up: {why}"))
            .because(ReasonCode::EngineUnavailable)
            .with("engine_id", chosen.id())
    })
}

/// Writes the row, and what confinement is in force, before the engine starts.
async fn begin(attempt: &Attempt<'_>, chosen: &Chosen, ask: &Ask<'_>, id: &CallId) -> Result<(), JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    let now = app.clock.now();
    let params = json!({
        "engine_id": chosen.id(),
        "model": chosen.model,
        "binary": chosen.program.path,
        "sandbox": chosen.confinement.as_str(),
        "role": ask.role.as_str(),
        "prompt_path": ask.prompt.path,
        "prompt_versions": ask.prompt.versions,
    });
    let row = NewCall {
        id: id.clone(),
        run_kind: ask.kind.to_owned(),
        run: Some(subject.run.id),
        step: ask.step.map(|step| step.id),
        prompt_version: Some(ask.prompt.version.clone()),
        params,
        has_log: true,
    };
    let mut tx = app.db.begin().await?;
    // As it is now: an earlier call of this job may have written it.
    let in_force = store::protocol::load(&mut tx, &Scope::All, subject.run.id).await?.confinement;
    if in_force != Some(chosen.confinement) {
        store::protocol::set_confinement(&mut tx, lease, subject.run.id, chosen.confinement, now).await?;
        if let Some(event) = unconfined(app, subject, chosen) {
            store::event::append(&mut tx, &context(lease, subject), &event, now);
        }
    }
    if let Some(from) = &chosen.fallback_of {
        let event = Event { step: ask.step.map(|step| step.id), ..Event::run(EventKind::ModelFallback) }
            .with("from", from.clone())
            .with("to", chosen.model.clone())
            .with("error_category", ErrorCategory::Codex.as_str());
        store::event::append(&mut tx, &context(lease, subject), &event, now);
    }
    tally_begin(&mut tx, chosen, ask);
    store::call::start(&mut tx, lease, &row, now).await?;
    if !ask.prompt.review.is_empty() {
        store::review::set_sent(&mut tx, lease, id, &ask.prompt.review, now).await?;
    }
    tx.commit().await?;
    app.wake.told();
    Ok(())
}

fn tally_begin(tx: &mut Tx, chosen: &Chosen, ask: &Ask<'_>) {
    let model = store::tally::model(chosen.model.as_deref());
    if chosen.fallback_of.is_some() {
        let category = ErrorCategory::Codex.as_str();
        tx.count(&MODEL_FALLBACKS, &[("engine", chosen.id()), ("model", model), ("category", category)], 1);
    }
    let estimated = i64::try_from(tokens::estimate(&ask.prompt.text)).unwrap_or(i64::MAX);
    let phase = store::tally::phase(ask.kind);
    tx.count(&TOKENS_ESTIMATED, &[("phase", phase), ("model", model)], estimated);
}

fn unconfined(app: &App, subject: &Subject, chosen: &Chosen) -> Option<Event> {
    let asked_by = if subject.run.sandbox_off {
        "run"
    } else if app.config.sandbox_off {
        "configuration"
    } else {
        "dummy engine"
    };
    (chosen.confinement == Confinement::Off).then(|| {
        Event::run(EventKind::SandboxOff)
            .with("asked_by", asked_by)
            .with("reason", format!("asked by {asked_by}"))
    })
}

/// Where a job's own events belong.
pub fn context(lease: &Lease, subject: &Subject) -> store::event::Context {
    store::event::Context {
        project: Some(subject.project.id),
        run: Some(subject.run.id),
        actor: None,
        request_id: lease.request_id.clone(),
        job_id: Some(lease.job_id.0.clone()),
    }
}

/// Appends events of a job that is still at work; refused when its lease is gone.
pub async fn tell(attempt: &Attempt<'_>, events: &[Event]) -> Result<(), JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    let mut tx = app.db.begin().await?;
    crate::queue::check(&mut tx, lease).await?;
    for event in events {
        store::event::append(&mut tx, &context(lease, subject), event, app.clock.now());
    }
    tx.commit().await?;
    app.wake.told();
    Ok(())
}

fn estimate(prompt: &str, output_bytes: u64) -> Usage {
    let output = usize::try_from(output_bytes).unwrap_or(usize::MAX);
    Usage {
        input: tokens::estimate(prompt),
        output: tokens::estimate_characters(output),
        reported: false,
        ..Usage::default()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "float to integer saturates; a cost is small")]
fn cost_cents(usage: &Usage) -> Option<i64> {
    usage.cost_usd.map(|dollars| (dollars * 100.0).round() as i64)
}

/// Wire word of a failure kind.
pub const fn word(kind: FailKind) -> &'static str {
    match kind {
        FailKind::NotInstalled => "not_installed",
        FailKind::BadInvocation => "bad_invocation",
        FailKind::Auth => "auth",
        FailKind::Quota => "quota",
        FailKind::RateLimited => "rate_limited",
        FailKind::Provider => "provider",
        FailKind::Network => "network",
        FailKind::ContextTooLong => "context_too_long",
        FailKind::ModelRefused => "refused",
        FailKind::SchemaMismatch => "schema_mismatch",
        FailKind::NoChange => "no_change",
        FailKind::BadOutput => "bad_output",
        FailKind::SessionLost => "session_lost",
        FailKind::Sandbox => "sandbox",
        FailKind::TimeoutWall => "timeout_wall",
        FailKind::TimeoutIdle => "timeout_idle",
        FailKind::Cancelled => "cancelled",
        FailKind::Crashed => "crashed",
    }
}

/// What an engine failure means for the job: who can cure it, and whether another attempt may.
pub fn failed(lease: &Lease, chosen: &Chosen, failure: &EngineFailure) -> JobError {
    let retry = Next::Retry { after_seconds: None };
    let once = if lease.attempt <= 1 { retry } else { Next::Fail };
    let (next, reason) = match failure.kind {
        FailKind::NotInstalled
        | FailKind::Auth
        | FailKind::BadInvocation
        | FailKind::Sandbox
        | FailKind::Quota => (Next::Fail, Some(ReasonCode::EngineUnavailable)),
        FailKind::RateLimited => (Next::Retry { after_seconds: failure.retry_after() }, None),
        FailKind::Provider
        | FailKind::Network
        | FailKind::TimeoutWall
        | FailKind::TimeoutIdle
        | FailKind::Crashed
        | FailKind::BadOutput
        | FailKind::SessionLost => (retry, None),
        FailKind::ContextTooLong | FailKind::ModelRefused => (Next::Fail, None),
        FailKind::SchemaMismatch | FailKind::NoChange => (once, None),
        FailKind::Cancelled => return JobError::cancelled(),
    };
    let card = chosen.engine.card();
    let remedy = match reason {
        Some(_) => format!("; {}", card.remedy),
        None => String::new(),
    };
    JobError {
        next,
        category: ErrorCategory::Codex,
        error_type: word(failure.kind).to_owned(),
        message: format!("engine {} failed: {}{remedy}", card.id, failure.message),
        reason,
        detail: Map::new(),
    }
    .with("engine_id", card.id)
    .with("model", chosen.model.clone())
}
