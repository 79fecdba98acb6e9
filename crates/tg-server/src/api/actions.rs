//! Actions on runs and steps. Each is a word of the path and a signal; `act` sends it and answers.
//! What a signal does, and whether it may, is decided by the lifecycle alone.

use axum::extract::State;
use serde::Deserialize;
use tg_core::{
    event::{Event, EventKind},
    ids::{RunId, StepId},
    job::Job,
    lifecycle::{Decision, Signal, Source},
    protocol::ProtocolRun,
    scope::Scope,
    status::ProtocolStatus,
    step::StepStatus,
    wire::{ActionResponse, Note, ProtocolRunOut, Reason, StepRunOut, example},
};
use utoipa_axum::routes;

use super::{
    Door,
    answer::Answer,
    caller::Caller,
    convert,
    error::ApiError,
    extract::{MaybeJson, Path},
    fields::Wrong,
    route::Routes,
    write::Write,
};
use crate::{flow::watchdog, queue, store};

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new()
        .member(routes!(start))
        .member(routes!(pause))
        .member(routes!(resume))
        .member(routes!(cancel))
        .member(routes!(run_next_step))
        .member(routes!(retry_latest))
        .member(routes!(open_pr))
        .member(routes!(run))
        .member(routes!(run_qa))
        .member(routes!(approve))
}

/// Longest reason or note, in characters.
const LONGEST_WORDS: usize = 2000;

/// What an action is about.
enum On {
    /// A run; its answer shows the queued job.
    Run(RunId),
    /// A run; its answer shows the run.
    WholeRun(RunId),
    /// A step; its answer shows the queued job.
    Step(StepId),
    /// A step; its answer shows the step.
    WholeStep(StepId),
}

/// The body of an action that takes no words.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoWords {}

/// Sends the signal and shows what the action is about, or the job that does the rest.
async fn act(door: &Door, caller: &Caller, on: On, signal: Signal) -> Result<Answer, ApiError> {
    let mut write = door.write(caller).await?;
    let run = hold(&mut write, caller.scope(), &on).await?;
    if signal == Signal::RunNext {
        for lost in watchdog::overdue_of(&door.app, write.tx(), run.id).await? {
            write.advance(run.id, lost).await?;
        }
    }
    let decisions = write.advance(run.id, signal).await?;
    match on {
        On::Run(_) | On::Step(_) => {
            let queued = queued(&mut write, &run, &decisions).await?;
            write.done(&queued).await
        }
        On::WholeRun(id) => {
            let run = store::protocol::load(write.tx(), caller.scope(), id).await?;
            write.done(&ProtocolRunOut::from(&run)).await
        }
        On::WholeStep(id) => {
            let step = store::step::load(write.tx(), caller.scope(), id).await?;
            write.done(&StepRunOut::from(&step)).await
        }
    }
}

/// The run that an action moves; nobody else moves it until the answer is given.
async fn hold(write: &mut Write<'_>, scope: &Scope, on: &On) -> Result<ProtocolRun, ApiError> {
    let run = match on {
        On::Run(id) | On::WholeRun(id) => store::protocol::hold(write.tx(), scope, *id).await?,
        On::Step(id) | On::WholeStep(id) => store::step::hold(write.tx(), scope, *id).await?.0,
    };
    store::project::refuse_archived(write.tx(), run.project_id).await?;
    Ok(run)
}

/// Says what was queued. Nothing is queued only by who asks for a push that is live already.
async fn queued(
    write: &mut Write<'_>,
    run: &ProtocolRun,
    decisions: &[Decision],
) -> Result<ActionResponse, ApiError> {
    let queued = decisions.iter().flat_map(|decision| &decision.enqueue).next();
    let work = queued.map_or(Job::OpenPullRequest { protocol_run_id: run.id }, |what| what.job.clone());
    let event = decisions.iter().flat_map(|decision| &decision.events).next();
    let message = event.map_or_else(|| "Its push is queued already".to_owned(), Event::sentence);
    let job = match queue::live(write.tx(), &work).await? {
        Some(id) => Some(convert::job(&queue::load(write.tx(), &Scope::All, &id).await?)),
        None => None,
    };
    Ok(ActionResponse { message, job })
}

fn check(field: &str, words: Option<&str>) -> Result<(), ApiError> {
    let mut wrong = Wrong::default();
    wrong.text(field, words, LONGEST_WORDS);
    wrong.refuse_any()
}

/// Starts a run: its planning is queued.
#[utoipa::path(post, path = "/protocols/{id}/actions/start", tag = "protocols",
    params(("id" = i64, Path, description = "Run")),
    responses((status = 200, description = "Planning is queued", body = ActionResponse,
        example = json!(example::said(EventKind::PlanningEnqueued, &example::plan_work())))))]
async fn start(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    MaybeJson(NoWords {}): MaybeJson<NoWords>,
) -> Result<Answer, ApiError> {
    act(&door, &caller, On::Run(RunId(id)), Signal::Start).await
}

/// Pauses a run: queued jobs wait, agents at work finish. A run that is paused stays so.
#[utoipa::path(post, path = "/protocols/{id}/actions/pause", tag = "protocols",
    params(("id" = i64, Path, description = "Run")), request_body = Option<Reason>,
    responses((status = 200, description = "The run as it is now", body = ProtocolRunOut,
        example = json!(example::run(ProtocolStatus::Paused)))))]
async fn pause(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    MaybeJson(Reason { reason }): MaybeJson<Reason>,
) -> Result<Answer, ApiError> {
    check("reason", reason.as_deref())?;
    act(&door, &caller, On::WholeRun(RunId(id)), Signal::Pause { reason }).await
}

/// Resumes a paused run where it was.
#[utoipa::path(post, path = "/protocols/{id}/actions/resume", tag = "protocols",
    params(("id" = i64, Path, description = "Run")), request_body = Option<Reason>,
    responses((status = 200, description = "The run as it is now", body = ProtocolRunOut)))]
async fn resume(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    MaybeJson(Reason { reason }): MaybeJson<Reason>,
) -> Result<Answer, ApiError> {
    check("reason", reason.as_deref())?;
    act(&door, &caller, On::WholeRun(RunId(id)), Signal::Resume { reason }).await
}

/// Cancels a run for good: its jobs are cancelled, its agents stopped. A run that is cancelled stays so.
#[utoipa::path(post, path = "/protocols/{id}/actions/cancel", tag = "protocols",
    params(("id" = i64, Path, description = "Run")), request_body = Option<Reason>,
    responses((status = 200, description = "The run as it is now", body = ProtocolRunOut,
        example = json!(example::run(ProtocolStatus::Cancelled)))))]
async fn cancel(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    MaybeJson(Reason { reason }): MaybeJson<Reason>,
) -> Result<Answer, ApiError> {
    check("reason", reason.as_deref())?;
    act(&door, &caller, On::WholeRun(RunId(id)), Signal::Cancel { reason }).await
}

/// Queues the lowest step that is pending, blocked or failed.
#[utoipa::path(post, path = "/protocols/{id}/actions/run_next_step", tag = "protocols",
    params(("id" = i64, Path, description = "Run")),
    responses((status = 200, description = "The step is queued", body = ActionResponse,
        example = json!(example::said(EventKind::StepEnqueued, &example::step_work())))))]
async fn run_next_step(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    MaybeJson(NoWords {}): MaybeJson<NoWords>,
) -> Result<Answer, ApiError> {
    act(&door, &caller, On::Run(RunId(id)), Signal::RunNext).await
}

/// Queues the highest step that is failed or blocked again.
#[utoipa::path(post, path = "/protocols/{id}/actions/retry_latest", tag = "protocols",
    params(("id" = i64, Path, description = "Run")),
    responses((status = 200, description = "The step is queued again", body = ActionResponse,
        example = json!(example::said(EventKind::StepRetryEnqueued, &example::step_work())))))]
async fn retry_latest(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    MaybeJson(NoWords {}): MaybeJson<NoWords>,
) -> Result<Answer, ApiError> {
    act(&door, &caller, On::Run(RunId(id)), Signal::RetryLatest).await
}

/// Queues the push of the branch. No status is changed.
#[utoipa::path(post, path = "/protocols/{id}/actions/open_pr", tag = "protocols",
    params(("id" = i64, Path, description = "Run")),
    responses((status = 200, description = "The push is queued", body = ActionResponse,
        example = json!(example::said(EventKind::OpenPrEnqueued, &Job::OpenPullRequest { protocol_run_id: RunId(1) })))))]
async fn open_pr(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    MaybeJson(NoWords {}): MaybeJson<NoWords>,
) -> Result<Answer, ApiError> {
    act(&door, &caller, On::Run(RunId(id)), Signal::OpenPullRequest).await
}

/// Queues a step.
#[utoipa::path(post, path = "/steps/{id}/actions/run", tag = "steps",
    params(("id" = i64, Path, description = "Step")),
    responses((status = 200, description = "The step is queued", body = ActionResponse,
        example = json!(example::said(EventKind::StepEnqueued, &example::step_work())))))]
async fn run(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    MaybeJson(NoWords {}): MaybeJson<NoWords>,
) -> Result<Answer, ApiError> {
    let step = StepId(id);
    act(&door, &caller, On::Step(step), Signal::RunStep { step, source: Source::Api }).await
}

/// Queues the QA of a step.
#[utoipa::path(post, path = "/steps/{id}/actions/run_qa", tag = "steps",
    params(("id" = i64, Path, description = "Step")),
    responses((status = 200, description = "QA is queued", body = ActionResponse,
        example = json!(example::said(EventKind::QaEnqueued, &Job::CheckQuality { step_run_id: StepId(1) })))))]
async fn run_qa(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    MaybeJson(NoWords {}): MaybeJson<NoWords>,
) -> Result<Answer, ApiError> {
    let step = StepId(id);
    act(&door, &caller, On::Step(step), Signal::RunQa { step }).await
}

/// Approves a step: it is complete, whatever QA says or would say.
#[utoipa::path(post, path = "/steps/{id}/actions/approve", tag = "steps",
    params(("id" = i64, Path, description = "Step")), request_body = Option<Note>,
    responses((status = 200, description = "The step as it is now", body = StepRunOut,
        example = json!(example::step(StepStatus::Completed)))))]
async fn approve(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    MaybeJson(Note { note }): MaybeJson<Note>,
) -> Result<Answer, ApiError> {
    check("note", note.as_deref())?;
    let step = StepId(id);
    act(&door, &caller, On::WholeStep(step), Signal::Approve { step, note }).await
}
