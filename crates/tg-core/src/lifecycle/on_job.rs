//! A person stops one live job, not the run: nothing is tried again by itself, because that would undo
//! what the person did. What the job was about rests as blocked, and running or retrying it is legal.

use super::{LiveJob, Refused, draft::Draft};
use crate::{
    event::{Event, EventKind},
    ids::{JobId, StepId},
    job::Job,
    status::{ReasonCode, RunMove, StatusReason},
    step::{StepMove, StepStatus},
};

/// `error_type` of what a person stopped.
const STOPPED: &str = "cancelled";

impl Draft<'_> {
    pub(super) fn job_cancelled(&mut self, job: &Job, id: &JobId) -> Result<bool, Refused> {
        match job {
            Job::PlanProtocol { .. } => self.plan_stopped(job, id)?,
            Job::ExecuteStep { step_run_id } => self.step_stopped(*step_run_id, LiveJob::Execute, id)?,
            Job::CheckQuality { step_run_id } => self.step_stopped(*step_run_id, LiveJob::Quality, id)?,
            Job::OpenPullRequest { .. } => self.push_stopped(job, id)?,
            Job::Maintenance => {}
        }
        Ok(true)
    }

    fn plan_stopped(&mut self, job: &Job, id: &JobId) -> Result<(), Refused> {
        if !self.flow.run.live_plan || !self.may(RunMove::JobLost) {
            return Err(self.refused_run(RunMove::JobLost.row().from));
        }
        self.flow.run.live_plan = false;
        self.cancel_job(job.clone());
        let message = "a person cancelled the plan job; start the run again";
        self.events.push(stopped(Event::run(EventKind::PlanningFailed), id, message));
        self.block(RunMove::JobLost, StatusReason::new(ReasonCode::JobLost, message));
        Ok(())
    }

    fn step_stopped(&mut self, step: StepId, kind: LiveJob, id: &JobId) -> Result<(), Refused> {
        let at = self.position(step)?;
        let (from, told, cure) = match kind {
            LiveJob::Execute => (StepStatus::Running, EventKind::StepBlocked, "run or retry the step"),
            LiveJob::Quality => {
                (StepStatus::NeedsQa, EventKind::QaError, "ask for QA again, or retry or approve the step")
            }
        };
        let found = &self.flow.steps[at];
        if found.live != Some(kind) || found.status != from {
            return Err(Refused::IllegalTransition {
                entity: "step_run",
                id: found.id.0,
                current: found.status.as_str(),
                requested: self.requested,
                legal_from: vec![from.as_str()],
            });
        }
        let what = if kind == LiveJob::Execute { "job" } else { "QA" };
        let message = format!("a person cancelled the {what} of step {}; {cure}", found.name);
        let reason = StatusReason::new(ReasonCode::JobLost, message.clone());
        let event = match kind {
            LiveJob::Execute => self
                .step_event(told, at)
                .with("reason", reason.code.as_str())
                .with("detail", message)
                .with("job_id", id.0.as_str()),
            LiveJob::Quality => stopped(self.step_event(told, at), id, &message),
        };
        self.cancel_live(at);
        self.block_step(at, StepMove::JobCancelled, &reason, event);
        Ok(())
    }

    fn push_stopped(&mut self, job: &Job, id: &JobId) -> Result<(), Refused> {
        if !self.flow.run.live_push {
            return Err(self.refused_run(RunMove::PushFailed.row().from));
        }
        self.flow.run.live_push = false;
        self.cancel_job(job.clone());
        let message = "a person cancelled the push; push again, or run or retry a step";
        let event = Event::run(EventKind::OpenPrFailed).with("error", message).with("job_id", id.0.as_str());
        self.events.push(event);
        self.block(RunMove::PushFailed, StatusReason::new(ReasonCode::PushFailed, message));
        Ok(())
    }
}

fn stopped(event: Event, id: &JobId, message: &str) -> Event {
    event.with("error", message).with("error_type", STOPPED).with("job_id", id.0.as_str())
}
