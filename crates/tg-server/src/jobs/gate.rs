//! May this job proceed? Looked at before anything is done, on the statuses as they are now.
//! A gate that cannot be evaluated is an error of the job, never a pass.

use tg_core::{
    protocol::{ProtocolRun, StepRun},
    status::ProtocolStatus,
    step::StepStatus,
};

use super::subject::Subject;

/// What a gate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// Go on.
    Open,
    /// The subject moved on (delivered twice, cancelled, settled by hand): finish without an effect.
    Passed(&'static str),
}

/// Planning: only while the run is planning, also when it was paused meanwhile.
pub fn plan(subject: &Subject) -> Gate {
    if current(&subject.run) == ProtocolStatus::Planning {
        Gate::Open
    } else {
        Gate::Passed("the run is not planning any more")
    }
}

/// Execution: only while the step is running and the run is not over.
pub fn execute(subject: &Subject, step: &StepRun) -> Gate {
    of_step(subject, step, StepStatus::Running)
}

/// QA: only while the step needs a verdict and the run is not over.
pub fn quality(subject: &Subject, step: &StepRun) -> Gate {
    of_step(subject, step, StepStatus::NeedsQa)
}

/// Pushing: while there is a branch; also after completion, because the work is done and worth keeping.
pub fn push(subject: &Subject) -> Gate {
    match (&subject.run.worktree_path, subject.run.status) {
        (None, _) => Gate::Passed("the run has no branch yet"),
        (Some(_), ProtocolStatus::Cancelled | ProtocolStatus::Failed) => Gate::Passed("the run was given up"),
        (
            Some(_),
            ProtocolStatus::Pending
            | ProtocolStatus::Planning
            | ProtocolStatus::Planned
            | ProtocolStatus::Running
            | ProtocolStatus::Paused
            | ProtocolStatus::Blocked
            | ProtocolStatus::Completed,
        ) => Gate::Open,
    }
}

fn of_step(subject: &Subject, step: &StepRun, wanted: StepStatus) -> Gate {
    if subject.run.status.is_terminal() {
        Gate::Passed("the run is over")
    } else if step.status == wanted {
        Gate::Open
    } else {
        Gate::Passed("the step has moved on")
    }
}

/// Status of a run, seen through a pause: running agents finish, their results are kept.
fn current(run: &ProtocolRun) -> ProtocolStatus {
    match run.status {
        ProtocolStatus::Paused => run.paused_from.unwrap_or(ProtocolStatus::Paused),
        ProtocolStatus::Pending
        | ProtocolStatus::Planning
        | ProtocolStatus::Planned
        | ProtocolStatus::Running
        | ProtocolStatus::Blocked
        | ProtocolStatus::Failed
        | ProtocolStatus::Cancelled
        | ProtocolStatus::Completed => run.status,
    }
}
