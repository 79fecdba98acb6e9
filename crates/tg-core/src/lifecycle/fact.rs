//! The event by which a fact (a job's, a forge's) is told when nothing follows from it.
//! Actions of people and timers have none: they are refused, or nothing happened.

use super::{PolicyReason, Signal, on_run::job_failed_facts};
use crate::{
    event::{Event, EventKind},
    ids::StepId,
    status::StatusReason,
};

/// Events that tell the fact; empty for a signal that is not one.
pub(super) fn told(signal: &Signal) -> Vec<Event> {
    let event = match signal {
        Signal::PlanReady { detail, .. } => Event::run(EventKind::Planned).with_all(detail.clone()),
        Signal::PlanBlocked { reason, .. } => by_reason(EventKind::PlanningFailed, reason),
        Signal::ImportReady { detail, .. } => {
            Event::run(EventKind::CodemachineImported).with_all(detail.clone())
        }
        Signal::ImportFailed { reason, detail } => {
            by_reason(EventKind::CodemachineImportFailed, reason).with_all(detail.clone())
        }
        Signal::SetupStarted { detail } => Event::run(EventKind::SetupStarted).with_all(detail.clone()),
        Signal::SetupReady => Event::run(EventKind::SetupCompleted),
        Signal::SetupBlocked { reason, detail } => {
            Event::run(EventKind::SetupBlocked).with("reason", reason.code.as_str()).with_all(detail.clone())
        }
        Signal::Executed { step, detail, .. } => {
            Event::step(EventKind::StepCompleted, *step).with_all(detail.clone())
        }
        Signal::StepBlocked { event, .. } => event.clone(),
        Signal::SpecInvalid { step, errors } => {
            Event::step(EventKind::SpecValidationError, *step).with("error", errors.join("; "))
        }
        Signal::Judged { step, passed, detail } => {
            let kind = if *passed { EventKind::QaPassed } else { EventKind::QaFailed };
            Event::step(kind, *step).with_all(detail.clone())
        }
        Signal::GaveUp { job, failure } => {
            let event = Event { step: step_of(job), ..Event::run(EventKind::JobFailed) };
            job_failed_facts(event, failure).with("job_type", job.kind())
        }
        Signal::Directive { step, reason } => {
            let kind = if *reason == PolicyReason::DirectiveTrigger {
                EventKind::TriggerConditionSkipped
            } else {
                EventKind::LoopConditionSkipped
            };
            Event::step(kind, *step).with("reason", reason.as_str())
        }
        Signal::PushDone { events, .. } if !events.is_empty() => return events.clone(),
        Signal::PushDone { sha, .. } => Event::run(EventKind::OpenPr).with_some("sha", sha.as_ref()),
        Signal::PullRequestOpened { detail } => Event::run(EventKind::OpenPr).with_all(detail.clone()),
        Signal::PullRequestReopened => Event::run(EventKind::OpenPr),
        Signal::CiRed { sha, step, detail } => {
            of_commit(EventKind::CiFailed, *step, sha).with_all(detail.clone())
        }
        Signal::CiGreen { sha, step, detail } => {
            of_commit(EventKind::CiPassed, *step, sha).with_all(detail.clone())
        }
        Signal::PullRequestMerged { detail, merge_request } => {
            let kind = if *merge_request { EventKind::MrMerged } else { EventKind::PrMerged };
            Event::run(kind).with_all(detail.clone())
        }
        Signal::PullRequestClosed { detail, merge_request } => {
            let kind = if *merge_request { EventKind::MrClosed } else { EventKind::PrClosed };
            Event::run(kind).with_all(detail.clone())
        }
        Signal::Start
        | Signal::RunStep { .. }
        | Signal::RunNext
        | Signal::RetryLatest
        | Signal::RunQa { .. }
        | Signal::Approve { .. }
        | Signal::Pause { .. }
        | Signal::Resume { .. }
        | Signal::Cancel { .. }
        | Signal::JobCancelled { .. }
        | Signal::OpenPullRequest
        | Signal::CiPending { .. }
        | Signal::Answered
        | Signal::PlanLost { .. }
        | Signal::Stuck { .. }
        | Signal::WalkOn { .. } => return Vec::new(),
    };
    vec![event]
}

fn by_reason(kind: EventKind, reason: &StatusReason) -> Event {
    Event::run(kind).with("error", reason.message.clone()).with("error_type", reason.code.as_str())
}

fn of_commit(kind: EventKind, step: Option<StepId>, sha: &str) -> Event {
    Event { step, ..Event::run(kind) }.with("sha", sha)
}

const fn step_of(job: &crate::job::Job) -> Option<StepId> {
    use crate::job::Job;
    match job {
        Job::ExecuteStep { step_run_id } | Job::CheckQuality { step_run_id } => Some(*step_run_id),
        Job::PlanProtocol { .. } | Job::OpenPullRequest { .. } | Job::Maintenance => None,
    }
}
