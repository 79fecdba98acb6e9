//! `advance`: the only writer of run and step status. One transaction holds statuses, events, next
//! jobs, cancelled jobs, and (by the caller) "this job finished".

pub mod watchdog;

use std::time::Duration;

use tg_core::{
    event::EventKind,
    ids::{ProjectId, RunId},
    lifecycle::{self, Decision, Refused, Signal},
};

use crate::{
    app::App,
    db::Tx,
    metrics::family::QA_VERDICTS,
    queue::{self, Lease},
    store::{
        StoreError,
        event::{self, Context},
        protocol::{self, FlowSettings},
    },
};

/// Who or what brought a signal.
#[derive(Debug, Clone, Default)]
pub struct Cause<'a> {
    /// Person or principal; recorded on every event.
    pub actor: Option<&'a str>,
    /// Request that caused it.
    pub request_id: Option<&'a str>,
    /// The job that answers; its lease is checked first.
    pub lease: Option<&'a Lease>,
}

/// Why a signal was not written.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// Not allowed now: 409.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Settings that `decide` is told.
pub fn settings(app: &App) -> FlowSettings {
    FlowSettings {
        auto_qa_after_exec: app.config.auto_qa_after_exec,
        auto_qa_on_ci: app.config.auto_qa_on_ci,
        max_loop_iterations: app.config.max_loop_iterations,
    }
}

/// Most signals that may follow from one; more is a rule that runs in a circle.
const MOST_FOLLOWING: usize = 64;

/// Decides on a signal and writes down what follows, in the caller's transaction; then the signals
/// that follow from it. The caller commits and then calls `app.wake.notify()`.
pub async fn advance(
    app: &App,
    tx: &mut Tx,
    run: RunId,
    signal: Signal,
    cause: &Cause<'_>,
) -> Result<Vec<Decision>, FlowError> {
    if let Some(lease) = cause.lease {
        queue::check(tx, lease).await?;
    }
    let settings = settings(app);
    let mut decisions = Vec::new();
    let mut next = Some(signal);
    while let Some(signal) = next.take() {
        if decisions.len() == MOST_FOLLOWING {
            return Err(StoreError::Conflict(format!(
                "protocol run {run}: more than {MOST_FOLLOWING} signals follow from one; nothing is written"
            ))
            .into());
        }
        let flow = protocol::flow(tx, run, settings, cause.lease.map(|lease| &lease.job_id)).await?;
        let decision = lifecycle::decide(&flow, &signal)?;
        write(tx, &decision, flow.run.project_id, cause, app.clock.now()).await?;
        next.clone_from(&decision.then);
        decisions.push(decision);
    }
    Ok(decisions)
}

/// Writes one decision whole; an empty one writes nothing.
async fn write(
    tx: &mut Tx,
    decision: &Decision,
    project: ProjectId,
    cause: &Cause<'_>,
    now: i64,
) -> Result<(), StoreError> {
    protocol::apply(tx, decision, now).await?;
    // The answering job ends with this transaction; cancelling it would fence out its own answer.
    let own = cause.lease.map(|lease| &lease.job);
    for job in decision.cancel.iter().filter(|job| Some(*job) != own) {
        queue::cancel(tx, job).await?;
    }
    let mut queued = Vec::with_capacity(decision.enqueue.len());
    for what in &decision.enqueue {
        if let Some(lease) = cause.lease.filter(|lease| lease.job == what.job) {
            queue::yield_key(tx, lease).await?;
        }
        let id = queue::enqueue(tx, what, Some(project), Duration::ZERO, cause.request_id).await?;
        queued.push((&what.job, id));
    }
    let context = Context {
        project: Some(project),
        run: Some(decision.run_id),
        actor: cause.actor.map(str::to_owned),
        request_id: cause.request_id.map(str::to_owned),
        job_id: cause.lease.map(|lease| lease.job_id.to_string()),
    };
    for event in &decision.events {
        let named = queued.iter().find(|(job, _)| Some(*job) == event.job.as_ref());
        let event = match named {
            Some((_, id)) => event.clone().with("job_id", id.to_string()),
            None => event.clone(),
        };
        event::append(tx, &context, &event, now);
        if let Some(verdict) = verdict(event.kind) {
            tx.count(&QA_VERDICTS, &[("verdict", verdict)], 1);
        }
    }
    Ok(())
}

/// What an event says of a judgement.
#[expect(clippy::wildcard_enum_match_arm, reason = "few of the many kinds are verdicts")]
const fn verdict(kind: EventKind) -> Option<&'static str> {
    match kind {
        EventKind::QaPassed | EventKind::QaPassedInline => Some("pass"),
        EventKind::QaFailed | EventKind::QaFailedInline => Some("fail"),
        EventKind::QaError | EventKind::QaInlineError => Some("error"),
        _ => None,
    }
}
