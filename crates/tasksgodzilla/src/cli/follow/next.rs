//! What a person does next about a run that rests: one sentence per status and reason.

use tg_core::{
    status::{ProtocolStatus, ReasonCode},
    wire::ProtocolRunOut,
};

/// The next action for a resting run.
pub fn next_action(run: &ProtocolRunOut) -> String {
    let id = run.id;
    match run.status {
        ProtocolStatus::Pending
        | ProtocolStatus::Planning
        | ProtocolStatus::Planned
        | ProtocolStatus::Running => match run.status_reason.as_ref().map(|reason| reason.code) {
            Some(ReasonCode::WaitingForMerge) => "merge the pull request; the run completes then".to_owned(),
            Some(_) | None => format!("go on with `tasksgodzilla run --continue {id}`"),
        },
        ProtocolStatus::Paused => format!("go on with `tasksgodzilla run --continue {id}`"),
        ProtocolStatus::Completed => format!("look at branch {}", run.protocol_name),
        ProtocolStatus::Cancelled => "start a new run; a cancelled one does not come back".to_owned(),
        ProtocolStatus::Failed => "start it again as a new run".to_owned(),
        ProtocolStatus::Blocked => {
            let cure = run
                .status_reason
                .as_ref()
                .map_or("see `tasksgodzilla events recent`", |reason| cure(reason.code));
            format!("{cure}; then try again with `tasksgodzilla run --continue {id}`")
        }
    }
}

const fn cure(code: ReasonCode) -> &'static str {
    match code {
        ReasonCode::Clarifications => "answer the open questions",
        ReasonCode::Policy => "cure the policy findings",
        ReasonCode::PolicyUnresolved => "repair the project's policy",
        ReasonCode::RepoMissing => "put the repository and its base branch back",
        ReasonCode::CloneFailed => "check the repository's address and your access",
        ReasonCode::EngineUnavailable => "`tasksgodzilla doctor` names the engine's cure",
        ReasonCode::EngineError => "read the engine's log (`tasksgodzilla runs list`, `runs logs`)",
        ReasonCode::PlanningInvalid => {
            "read the planner's log and say the task more exactly or use another model"
        }
        ReasonCode::SpecInvalid => "repair the step's entry in the spec",
        ReasonCode::BudgetExceeded => "raise the budget",
        ReasonCode::StepFailed => "read the step's log (`tasksgodzilla runs list`, `runs logs`)",
        ReasonCode::QaFailed => {
            "read the report below .protocols, or approve the step (`tasksgodzilla steps approve`)"
        }
        ReasonCode::QaError => "read the judge's log, or approve the step (`tasksgodzilla steps approve`)",
        ReasonCode::CiFailed => "cure the red checks",
        ReasonCode::PushFailed => "check the remote and your access to it",
        ReasonCode::PrClosed => "reopen the pull request",
        ReasonCode::JobLost | ReasonCode::Stuck => "see the log of the worker that held it",
        ReasonCode::SetupFailed => "read what set-up said",
        ReasonCode::WaitingForMerge => "merge the pull request",
    }
}
