//! The flow of a run: what `decide` is asked about, read from the rows of run, steps and live jobs.
//! Writes nothing.

use serde::Deserialize as _;
use tg_core::{
    ids::{JobId, RunId, StepId},
    job::Job,
    lifecycle::{Flow, LiveJob, RunFlow, StepFlow},
    protocol::StepRun,
    scope::Scope,
    spec::{Policy, ProtocolSpec},
};

use super::{TABLE, read, sql};
use crate::{
    db::{Tx, dialect::args},
    store::{StoreError, not_found, record::Record, step},
};

/// Settings `decide` needs beside the rows.
#[derive(Debug, Clone, Copy)]
pub struct FlowSettings {
    /// QA after execution without `auto_advance`.
    pub auto_qa_after_exec: bool,
    /// QA when CI turns green.
    pub auto_qa_on_ci: bool,
    /// Cap for loops without their own.
    pub max_loop_iterations: u32,
}

/// Loads a run and its steps for `decide`; in a writing transaction under a lock of the run. Live jobs
/// come from the queue's table; `except` is the signalling job itself.
pub async fn flow(
    tx: &mut Tx,
    run: RunId,
    settings: FlowSettings,
    except: Option<&JobId>,
) -> Result<Flow, StoreError> {
    let text = tx.locking(sql::LOAD, sql::LOCK_POSTGRES);
    let row = tx.first(text, args![run.0, None::<i64>]).await?.ok_or_else(|| not_found(TABLE, run))?;
    let row = Record::numbered(TABLE, "id", row);
    let stored = read(&row)?;
    let live = live_jobs(tx, run, except).await?;
    let spec = ProtocolSpec::stored(stored.template_config.as_ref())
        .map(ProtocolSpec::deserialize)
        .transpose()
        .map_err(|_| row.corrupt("template_config"))?;
    let steps = step::list(tx, &Scope::All, run).await?;
    let steps =
        steps.into_iter().map(|step| step_flow(step, spec.as_ref(), &live)).collect::<Result<_, _>>()?;
    let has = |kind: &Job| live.iter().any(|(found, _)| found == kind.kind());
    Ok(Flow {
        run: RunFlow {
            id: run,
            project_id: stored.project_id,
            kind: stored.kind,
            status: stored.status,
            reason: stored.status_reason,
            paused_from: stored.paused_from,
            auto_advance: stored.auto_advance,
            auto_qa_after_exec: settings.auto_qa_after_exec,
            auto_qa_on_ci: settings.auto_qa_on_ci,
            max_loop_iterations: settings.max_loop_iterations,
            pr_state: stored.pr_state,
            head_sha: stored.head_sha,
            live_plan: has(&Job::PlanProtocol { protocol_run_id: run }),
            live_push: has(&Job::OpenPullRequest { protocol_run_id: run }),
        },
        steps,
    })
}

/// Kind and step of each live job of a run.
type LiveJobs = Vec<(String, Option<StepId>)>;

async fn live_jobs(tx: &mut Tx, run: RunId, except: Option<&JobId>) -> Result<LiveJobs, StoreError> {
    let except = except.map_or("", |id| id.0.as_str());
    let rows = tx.all(sql::LIVE_JOBS, args![run.0, except]).await?;
    let read = |row| {
        let row = Record::named("jobs", "id", row);
        Ok((row.text("kind")?, row.maybe_int("step_run_id")?.map(StepId)))
    };
    rows.into_iter().map(read).collect()
}

fn step_flow(step: StepRun, spec: Option<&ProtocolSpec>, live: &LiveJobs) -> Result<StepFlow, StoreError> {
    let spec = spec.and_then(|spec| spec.step(&step.step_name));
    let stated = spec.map(|spec| serde_json::Value::Array(spec.policies.clone())).or(step.policy);
    let policies = Policy::read_all(stated.as_ref()).map_err(|_| StoreError::Corrupt {
        table: "step_runs",
        id: step.id.to_string(),
        column: "policy",
    })?;
    let has = |job: &Job| live.iter().any(|(kind, of)| kind == job.kind() && *of == Some(step.id));
    let live = if has(&Job::ExecuteStep { step_run_id: step.id }) {
        Some(LiveJob::Execute)
    } else if has(&Job::CheckQuality { step_run_id: step.id }) {
        Some(LiveJob::Quality)
    } else {
        None
    };
    Ok(StepFlow {
        id: step.id,
        index: step.step_index,
        spec_id: spec.map_or_else(|| step.step_name.clone(), |spec| spec.id.clone()),
        name: step.step_name,
        step_type: step.step_type,
        status: step.status,
        reason: step.status_reason,
        qa: spec.and_then(|spec| spec.qa.policy),
        policies,
        retries: step.retries,
        runtime: step.runtime_state,
        live,
        has_run: step.started_at.is_some(),
        head_sha: step.head_sha,
    })
}
