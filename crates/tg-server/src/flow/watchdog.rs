//! What has had no sign of life for too long: a step that runs without a live job, planning without
//! one. Looks only; the signals are decided by `advance`.

use tg_core::{
    ids::RunId,
    lifecycle::{Flow, Signal},
    scope::Scope,
    status::ProtocolStatus,
    step::StepStatus,
};

use super::settings;
use crate::{
    app::App,
    db::Tx,
    store::{self, StoreError},
};

/// Signals about what of a run is overdue.
pub async fn overdue_of(app: &App, tx: &mut Tx, run: RunId) -> Result<Vec<Signal>, StoreError> {
    let flow = store::protocol::flow(tx, run, settings(app), None).await?;
    overdue(app, tx, &flow).await
}

/// Signals about what of a run, loaded already, is overdue.
pub async fn overdue(app: &App, tx: &mut Tx, flow: &Flow) -> Result<Vec<Signal>, StoreError> {
    let Some(threshold) = app.config.step_stuck else { return Ok(Vec::new()) };
    let threshold_seconds = i64::try_from(threshold.as_secs()).unwrap_or(i64::MAX);
    let now = app.clock.now();
    let age = |since: i64| (now - since) / 1000;
    let mut found = Vec::new();
    for step in &flow.steps {
        if step.status == StepStatus::Running && step.live.is_none() {
            let row = store::step::load(tx, &Scope::All, step.id).await?;
            let age_seconds = age(row.updated_at);
            if age_seconds >= threshold_seconds {
                found.push(Signal::Stuck { step: step.id, age_seconds, threshold_seconds });
            }
        }
    }
    if flow.run.status == ProtocolStatus::Planning && !flow.run.live_plan {
        let row = store::protocol::load(tx, &Scope::All, flow.run.id).await?;
        let age_seconds = age(row.updated_at);
        if age_seconds >= threshold_seconds {
            found.push(Signal::PlanLost { age_seconds });
        }
    }
    Ok(found)
}
