//! Runs that work outside: they are registered, tell their log, and end. Where their log lies follows from
//! their id alone; what they tell is hostile text and is redacted before it is kept.

use axum::{
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header},
};
use serde_json::Value;
use tg_core::{
    ids::{CallId, ProjectId, RunId, StepId},
    protocol::CallStatus,
    wire::{CodexRunOut, FieldError, FinishRun, NextOffset, StartRun, example},
};

use super::{ended, find, log_file};
use crate::{
    api::{
        Door,
        answer::Answer,
        caller::Caller,
        convert,
        error::ApiError,
        extract::{Json, Path},
        write::Write,
    },
    db::Tx,
    jobs::secrets::Secrets,
    redact::Redactor,
    store::{
        self, StoreError,
        call::{Call, CallEnd, Outside},
    },
};

/// Longest word.
const WORD_MOST: usize = 200;
/// Longest id.
const ID_MOST: usize = 64;
/// Longest text of an error.
const ERROR_MOST: usize = 64 * 1024;

/// Registers a run that works outside.
///
/// Its maker appends to its log and says how it ended. A project's token names its own project, or a run or
/// step of it; without any of them only an admin may register one.
#[utoipa::path(post, path = "/runs/start", tag = "runs", request_body = StartRun,
    responses((status = 201, description = "The run, running", body = CodexRunOut,
        example = json!(example::outside(CallStatus::Running)))))]
pub async fn start(
    State(door): State<Door>,
    caller: Caller,
    Json(new): Json<StartRun>,
) -> Result<Answer, ApiError> {
    check(&new)?;
    let mut tx = door.app.db.read().await?;
    let (project, run, step) = subject(&mut tx, &caller, &new).await?;
    drop(tx);
    let redactor = redactor(&door, project).await?;
    let mut write = door.write(&caller).await?;
    let id = CallId(new.run_id.unwrap_or_else(|| uuid::Uuid::now_v7().to_string()));
    let outside = Outside {
        id: id.clone(),
        job_type: new.job_type,
        run_kind: new.run_kind,
        project,
        run,
        step,
        queue: new.queue.unwrap_or_else(|| "default".to_owned()),
        attempt: new.attempt,
        worker_id: new.worker_id,
        prompt_version: new.prompt_version,
        params: new.params.map(|params| redactor.json(params)),
        cost_tokens: new.cost_tokens,
        cost_cents: new.cost_cents,
    };
    let now = write.now();
    store::call::register(write.tx(), &outside, now).await.map_err(taken)?;
    let (home, log) = (door.app.config.home.clone(), id.clone());
    log_file::blocking(move || log_file::create(&home, &log)).await?;
    let call = store::call::load(write.tx(), caller.scope(), &id).await?;
    write.created(&format!("/runs/{id}"), &convert::call(&call)).await
}

/// Appends to the log of a run that works outside.
///
/// The text is kept redacted. Send whole lines: a value that looks like a secret is known by its line.
#[utoipa::path(post, path = "/runs/{run_id}/logs", tag = "runs",
    params(("run_id" = String, Path, description = "Call run")),
    request_body(content = String, content_type = "text/plain", example = "Reading src/greeting.rs\n"),
    responses((status = 200, description = "Where the next text will stand", body = NextOffset)))]
pub async fn append(
    State(door): State<Door>,
    caller: Caller,
    Path(run_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Answer, ApiError> {
    let redactor = of_call(&door, &caller, &run_id).await?;
    if !is_text(&headers) {
        return Err(ApiError::MediaType);
    }
    let mut write = door.write(&caller).await?;
    let call = open_outside(&mut write, &caller, &run_id).await?;
    let now = write.now();
    // Holds the row, so that texts go one after another and none comes after the end.
    store::call::append_to(write.tx(), &call.id, now).await.map_err(|error| over(&call.id, error))?;
    let text = redactor.piece(&body);
    let (home, most) = (door.app.config.home.clone(), door.app.config.run_log_max_bytes);
    let next = log_file::blocking(move || log_file::append(&home, &call.id, &text, most)).await?;
    let Some(next_offset) = next else {
        return Err(ApiError::Coded {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            code: "log_full",
            detail: format!("the log would have more than {most} bytes; end the run or log less"),
        });
    };
    write.done(&NextOffset { next_offset }).await
}

/// Ends a run that works outside.
#[utoipa::path(post, path = "/runs/{run_id}/finish", tag = "runs",
    params(("run_id" = String, Path, description = "Call run")), request_body = FinishRun,
    responses((status = 200, description = "The run as it ended", body = CodexRunOut,
        example = json!(example::outside(CallStatus::Succeeded)))))]
pub async fn finish(
    State(door): State<Door>,
    caller: Caller,
    Path(run_id): Path<String>,
    Json(end): Json<FinishRun>,
) -> Result<Answer, ApiError> {
    let mut wrong = Vec::new();
    not_negative(&mut wrong, "cost_tokens", end.cost_tokens);
    not_negative(&mut wrong, "cost_cents", end.cost_cents);
    if end.error.as_ref().is_some_and(|text| text.len() > ERROR_MOST) {
        wrong.push(field("error", "is longer than 64 KiB; put it into the log"));
    }
    if !wrong.is_empty() {
        return Err(ApiError::Invalid(wrong));
    }
    let redactor = of_call(&door, &caller, &run_id).await?;
    let mut write = door.write(&caller).await?;
    let call = open_outside(&mut write, &caller, &run_id).await?;
    let outcome = Outcome {
        result: end.result.map(|result| redactor.json(result)),
        // A database does not keep NUL in a text.
        error: end.error.map(|text| redactor.text(&text).replace('\0', "\u{fffd}")),
        cost_tokens: end.cost_tokens,
        cost_cents: end.cost_cents,
    };
    close(&mut write, &call.id, end.status.into(), outcome).await?;
    let call = store::call::load(write.tx(), caller.scope(), &call.id).await?;
    write.done(&convert::call(&call)).await
}

/// What a run outside told at its end.
#[derive(Debug, Default)]
pub struct Outcome {
    result: Option<Value>,
    error: Option<String>,
    cost_tokens: Option<i64>,
    cost_cents: Option<i64>,
}

/// Writes the end of a run outside; it ends once.
pub async fn close(
    write: &mut Write<'_>,
    id: &CallId,
    status: CallStatus,
    outcome: Outcome,
) -> Result<(), ApiError> {
    let Outcome { result, error, cost_tokens, cost_cents } = outcome;
    let end = CallEnd { status, result, error, usage: None, cost_cents };
    let now = write.now();
    let ended = store::call::end_outside(write.tx(), id, &end, cost_tokens, now).await;
    ended.map_err(|error| over(id, error))
}

/// What is taken out of what this run tells.
async fn of_call(door: &Door, caller: &Caller, id: &str) -> Result<Redactor, ApiError> {
    let mut tx = door.app.db.read().await?;
    let project = find(&mut tx, caller.scope(), id).await?.project_id;
    drop(tx);
    redactor(door, project).await
}

/// A run outside that is still at work.
async fn open_outside(write: &mut Write<'_>, caller: &Caller, id: &str) -> Result<Call, ApiError> {
    let call = find(write.tx(), caller.scope(), id).await?;
    if !call.is_outside() {
        return Err(ApiError::conflict(
            "run_of_a_job",
            format!("call run {} belongs to a job, which writes its log and its end", call.id),
        ));
    }
    if call.is_over() { Err(ended(&call.id)) } else { Ok(call) }
}

fn over(id: &CallId, error: StoreError) -> ApiError {
    if matches!(error, StoreError::Conflict(_)) { ended(id) } else { error.into() }
}

fn taken(error: StoreError) -> ApiError {
    if let StoreError::Conflict(detail) = error {
        ApiError::conflict("run_id_taken", detail)
    } else {
        error.into()
    }
}

/// What is taken out of everything that is told of this project: its own secrets too. Without them
/// nothing is kept.
async fn redactor(door: &Door, project: Option<ProjectId>) -> Result<Redactor, ApiError> {
    let Some(project) = project else { return Ok(Redactor::new(&door.app.config.secrets())) };
    match Secrets::of_project(&door.app, project).await {
        Ok(secrets) => Ok(secrets.redactor(&door.app)),
        Err(error) => {
            tracing::error!(%project, error = error.message, "what a run tells cannot be redacted");
            Err(ApiError::Coded {
                status: StatusCode::SERVICE_UNAVAILABLE,
                code: "secret_unreadable",
                detail:
                    "a secret of the project cannot be opened, so nothing can be kept redacted; set it anew"
                        .to_owned(),
            })
        }
    }
}

/// Where a new run belongs: what it names exists, belongs together, and is the caller's.
async fn subject(
    tx: &mut Tx,
    caller: &Caller,
    new: &StartRun,
) -> Result<(Option<ProjectId>, Option<RunId>, Option<StepId>), ApiError> {
    let named = new.project_id.map(ProjectId);
    if let Some(project) = named {
        caller.sees(project)?;
        store::project::load(tx, caller.scope(), project).await?;
    }
    let (mut run, mut step) = (new.protocol_run_id.map(RunId), None);
    if let Some(id) = new.step_run_id {
        let row = store::step::load(tx, caller.scope(), StepId(id)).await?;
        if run.is_some_and(|run| run != row.protocol_run_id) {
            return Err(ApiError::invalid(&["body", "step_run_id"], "is no step of that protocol run"));
        }
        (run, step) = (Some(row.protocol_run_id), Some(row.id));
    }
    let mut project = named;
    if let Some(id) = run {
        let owner = store::protocol::load(tx, caller.scope(), id).await?.project_id;
        if named.is_some_and(|named| named != owner) {
            return Err(ApiError::invalid(&["body", "protocol_run_id"], "is no run of that project"));
        }
        project = Some(owner);
    }
    if project.is_none() {
        caller.must_be_admin()?;
    }
    Ok((project, run, step))
}

fn check(new: &StartRun) -> Result<(), ApiError> {
    let mut wrong = Vec::new();
    let words = [
        ("job_type", Some(&new.job_type)),
        ("run_kind", new.run_kind.as_ref()),
        ("queue", new.queue.as_ref()),
        ("worker_id", new.worker_id.as_ref()),
        ("prompt_version", new.prompt_version.as_ref()),
    ];
    for (name, value) in words {
        if value.is_some_and(|text| !is_word(text)) {
            wrong.push(field(name, "must be 1 to 200 characters, none of them a control character"));
        }
    }
    if new.run_id.as_ref().is_some_and(|id| !is_run_id(id) || id == "start") {
        wrong.push(field("run_id", "must match [A-Za-z0-9][A-Za-z0-9._-]{0,63} and not be `start`"));
    }
    if new.attempt.is_some_and(|attempt| attempt < 1) {
        wrong.push(field("attempt", "must be at least 1"));
    }
    not_negative(&mut wrong, "cost_tokens", new.cost_tokens);
    not_negative(&mut wrong, "cost_cents", new.cost_cents);
    if wrong.is_empty() { Ok(()) } else { Err(ApiError::Invalid(wrong)) }
}

fn not_negative(wrong: &mut Vec<FieldError>, name: &str, value: Option<i64>) {
    if value.is_some_and(|value| value < 0) {
        wrong.push(field(name, "must not be negative"));
    }
}

fn field(name: &str, message: &str) -> FieldError {
    FieldError { loc: vec!["body".into(), name.into()], msg: message.to_owned(), kind: "value".to_owned() }
}

/// A short text of one line.
pub fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= WORD_MOST && !text.chars().any(char::is_control)
}

/// An id that a run may have. It names a directory, so it can name nothing else: no separator, no leading
/// dot.
pub fn is_run_id(id: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    id.len() <= ID_MOST
        && id.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && id.bytes().all(inner)
}

fn is_text(headers: &HeaderMap) -> bool {
    let kind =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("text/plain");
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("text/plain")
}
