//! Routes of steps: list, show, plan, add by hand, change by hand. Statuses are moved by `actions` only.

use axum::extract::State;
use serde_json::{Value, json};
use tg_core::{
    event::{Event, EventKind},
    ids::{RunId, StepId},
    lifecycle::{Refused, RunKind},
    naming,
    protocol::{ProtocolRun, StepRun},
    spec::{self, AddError, BuildOptions},
    step::{FirstStepStatus, StepStatus},
    wire::{NewStep, StepEdit, StepRunOut, example},
};
use utoipa_axum::routes;

use super::{
    Door,
    answer::{Answer, One},
    caller::Caller,
    error::ApiError,
    extract::{Json, Path},
    fields::{Wrong, put},
    page::Page,
    protocols::refused,
    route::Routes,
    write::Write,
};
use crate::{
    jobs::entry,
    store::{self, StoreError, step::ByHand},
};

mod plan;

/// Routes of this resource.
pub fn routes() -> Routes {
    Routes::new().member(routes!(list, add)).member(routes!(show, change)).member(routes!(plan::plan))
}

/// Longest summary of a step, in characters.
const LONGEST_SUMMARY: usize = 2000;
/// Highest index of a step.
const HIGHEST_INDEX: i64 = 9999;

/// Lists the steps of a run by index.
#[utoipa::path(get, path = "/protocols/{id}/steps", tag = "steps", params(("id" = i64, Path, description = "Run")),
    responses((status = 200, description = "All steps", body = [StepRunOut])))]
async fn list(State(door): State<Door>, caller: Caller, Path(run): Path<i64>) -> Result<Page, ApiError> {
    let mut tx = door.app.db.read().await?;
    let run = store::protocol::load(&mut tx, caller.scope(), RunId(run)).await?;
    let steps = store::step::list(&mut tx, caller.scope(), run.id).await?;
    let shown: Vec<StepRunOut> = steps.iter().map(StepRunOut::from).collect();
    Ok(Page::new(&shown, None))
}

/// Adds a step by hand, and its entry in the spec. Its index and its name must be free, and the run not
/// over. Its agent is told its name and its summary, unless a file of its name lies in the protocol folder.
/// Planning the run anew replaces the steps that never ran.
#[utoipa::path(post, path = "/protocols/{id}/steps", tag = "steps", params(("id" = i64, Path, description = "Run")),
    request_body = NewStep, responses((status = 201, description = "The new step", body = StepRunOut,
        example = json!(example::step(StepStatus::Pending)))))]
async fn add(
    State(door): State<Door>,
    caller: Caller,
    Path(run): Path<i64>,
    Json(new): Json<NewStep>,
) -> Result<Answer, ApiError> {
    check_new(&new)?;
    let mut write = door.write(&caller).await?;
    let run = store::protocol::hold(write.tx(), caller.scope(), RunId(run)).await?;
    if run.kind == RunKind::Setup {
        return Err(refused(&run, "add_step", |_| false));
    }
    if run.status.is_terminal() {
        return Err(refused(&run, "add_step", |status| !status.is_terminal()));
    }
    let row = store::step::NewStep {
        protocol_run_id: run.id,
        step_index: new.step_index,
        step_name: &new.step_name,
        step_type: new.step_type,
        status: new.status,
        with: ByHand {
            model: new.model.as_deref(),
            summary: new.summary.as_deref(),
            engine_id: new.engine_id.as_deref(),
            policy: new.policy.as_ref(),
        },
    };
    let now = write.now();
    let step = store::step::insert(write.tx(), &row, now).await.map_err(taken)?;
    let options = BuildOptions { engine: run.engine.clone(), qa_policy: None };
    let mut config = run.template_config.clone();
    let spec_hash = spec::add_step(&mut config, &new, &options).map_err(|error| no_entry(&run, &error))?;
    keep_spec(&door, &mut write, &run, config.unwrap_or_default(), &spec_hash).await?;
    let event = created(&step, new.status).with("spec_hash", spec_hash);
    write.event(Some(run.project_id), Some(run.id), &event);
    write.created(&format!("/steps/{}", step.id), &StepRunOut::from(&step)).await
}

fn no_entry(run: &ProtocolRun, error: &AddError) -> ApiError {
    match error {
        AddError::Taken { .. } => ApiError::conflict("duplicate_step", error.to_string()),
        AddError::Unreadable => {
            let (id, column) = (run.id.to_string(), "template_config");
            StoreError::Corrupt { table: "protocol_runs", id, column }.into()
        }
    }
}

/// Writes a changed spec down with what a check of it finds.
async fn keep_spec(
    door: &Door,
    write: &mut Write<'_>,
    run: &ProtocolRun,
    mut config: Value,
    spec_hash: &str,
) -> Result<(), StoreError> {
    let now = write.now();
    entry::recheck(&door.app, run, &mut config, now);
    store::protocol::edit_spec(write.tx(), run.id, &config, spec_hash, now).await
}

fn check_new(new: &NewStep) -> Result<(), ApiError> {
    let mut wrong = Wrong::default();
    let is_index = (0..=HIGHEST_INDEX).contains(&new.step_index);
    wrong.take(&["step_index"], if is_index { Ok(()) } else { Err("must be from 0 to 9999") });
    wrong.take(&["step_name"], naming::step_name(&new.step_name));
    wrong.model("model", new.model.as_deref());
    wrong.text("summary", new.summary.as_deref(), LONGEST_SUMMARY);
    wrong.engine("engine_id", new.engine_id.as_deref());
    wrong.policy("policy", new.policy.as_ref());
    wrong.refuse_any()
}

fn taken(error: StoreError) -> ApiError {
    if let StoreError::Conflict(detail) = error {
        return ApiError::conflict("duplicate_step", detail);
    }
    error.into()
}

/// A step that begins elsewhere than pending says so as a transition, so that the timeline tells every
/// status.
fn created(step: &StepRun, first: FirstStepStatus) -> Event {
    let event = Event::step(EventKind::StepCreated, step.id)
        .with("step_index", step.step_index)
        .with("step_name", step.step_name.as_str());
    match first {
        FirstStepStatus::Pending => event,
        FirstStepStatus::NeedsQa => event.with(
            "transitions",
            json!([{"entity": "step_run", "id": step.id, "from": "pending", "to": step.status}]),
        ),
    }
}

/// Shows a step.
#[utoipa::path(get, path = "/steps/{id}", tag = "steps", params(("id" = i64, Path, description = "Step")),
    responses((status = 200, description = "The step", body = StepRunOut)))]
async fn show(State(door): State<Door>, caller: Caller, Path(id): Path<i64>) -> Result<One, ApiError> {
    let mut tx = door.app.db.read().await?;
    let step = store::step::load(&mut tx, caller.scope(), StepId(id)).await?;
    Ok(One::new(&caller, &StepRunOut::from(&step)))
}

/// Changes a step that is pending, blocked or failed, and its entry in the spec. Absent fields stay as
/// they are, `null` clears. With `If-Match` only the version that was read is changed.
#[utoipa::path(patch, path = "/steps/{id}", tag = "steps", params(("id" = i64, Path, description = "Step")),
    request_body = StepEdit, responses((status = 200, description = "The step as it is now", body = StepRunOut)))]
async fn change(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
    Json(asked): Json<StepEdit>,
) -> Result<Answer, ApiError> {
    check_edit(&asked)?;
    let mut write = door.write(&caller).await?;
    let (mut run, current) = store::step::hold(write.tx(), caller.scope(), StepId(id)).await?;
    caller.if_match(&StepRunOut::from(&current))?;
    demand_editable(&current)?;
    let (to, fields) = changed(&current, &asked);
    if fields.is_empty() {
        return write.done(&StepRunOut::from(&current)).await;
    }
    let now = write.now();
    let config = run.template_config.as_mut();
    let spec_hash = config.and_then(|config| spec::edit_step(config, &current.step_name, &asked));
    if let (Some(hash), Some(config)) = (&spec_hash, run.template_config.take()) {
        keep_spec(&door, &mut write, &run, config, hash).await?;
    }
    let by_hand = ByHand {
        model: to.model.as_deref(),
        summary: to.summary.as_deref(),
        engine_id: to.engine_id.as_deref(),
        policy: to.policy.as_ref(),
    };
    let stored = store::step::edit(write.tx(), current.id, by_hand, now).await?;
    let event = Event::step(EventKind::StepUpdated, stored.id)
        .with("step_index", stored.step_index)
        .with("step_name", stored.step_name.as_str())
        .with("fields", fields)
        .with_some("spec_hash", spec_hash.as_ref());
    write.event(Some(run.project_id), Some(run.id), &event);
    write.done(&StepRunOut::from(&stored)).await
}

fn check_edit(asked: &StepEdit) -> Result<(), ApiError> {
    let mut wrong = Wrong::default();
    wrong.model("model", asked.model.as_ref().and_then(Option::as_deref));
    wrong.text("summary", asked.summary.as_ref().and_then(Option::as_deref), LONGEST_SUMMARY);
    wrong.engine("engine_id", asked.engine_id.as_ref().and_then(Option::as_deref));
    wrong.policy("policy", asked.policy.as_ref().and_then(Option::as_ref));
    wrong.refuse_any()
}

/// Statuses in which a step waits for a run of its own.
const EDITABLE: [StepStatus; 3] = [StepStatus::Pending, StepStatus::Blocked, StepStatus::Failed];

fn demand_editable(step: &StepRun) -> Result<(), ApiError> {
    if EDITABLE.contains(&step.status) {
        return Ok(());
    }
    Err(Refused::IllegalTransition {
        entity: "step_run",
        id: step.id.0,
        current: step.status.as_str(),
        requested: "update",
        legal_from: EDITABLE.iter().map(|status| status.as_str()).collect(),
    }
    .into())
}

/// The step with the change, and the names of the fields that differ.
fn changed(current: &StepRun, asked: &StepEdit) -> (StepRun, Vec<&'static str>) {
    let (mut to, mut fields) = (current.clone(), Vec::new());
    put(&mut to.model, asked.model.clone(), "model", &mut fields);
    put(&mut to.engine_id, asked.engine_id.clone(), "engine_id", &mut fields);
    put(&mut to.policy, asked.policy.clone(), "policy", &mut fields);
    put(&mut to.summary, asked.summary.clone(), "summary", &mut fields);
    (to, fields)
}
