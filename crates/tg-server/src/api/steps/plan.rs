//! What an execution of a step would do. Resolved by `jobs::dry_run`; nothing is changed.

use axum::extract::State;
use tg_core::{ids::StepId, wire::ExecutionPlanOut};

use crate::{
    api::{Door, answer::One, caller::Caller, error::ApiError, extract::Path},
    flow,
    jobs::dry_run::{self, DryRunError},
};

/// Shows what an execution of a step would do
///
/// Engine, model, prompt, outputs and limits by the rules of the execution itself, from the worktree as it
/// is now; nothing is changed and no engine is asked. A gate that is closed says what would stop the step.
#[utoipa::path(get, path = "/steps/{id}/execution_plan", tag = "steps",
    params(("id" = i64, Path, description = "Step")),
    responses(
        (status = 200, description = "What it would do", body = ExecutionPlanOut),
        (status = 409, description = "`worktree_missing`, or `spec_invalid` or `prompt_invalid`: what the execution would end with",
            content_type = "application/problem+json", body = tg_core::wire::Problem),
    ))]
pub(super) async fn plan(
    State(door): State<Door>,
    caller: Caller,
    Path(id): Path<i64>,
) -> Result<One, ApiError> {
    let plan = dry_run::plan(&door.app, caller.scope(), StepId(id), flow::settings(&door.app)).await?;
    Ok(One::new(&caller, &plan))
}

impl From<DryRunError> for ApiError {
    fn from(error: DryRunError) -> Self {
        match error {
            DryRunError::Store(error) => error.into(),
            DryRunError::WorktreeMissing(sentence) => Self::conflict("worktree_missing", sentence),
            DryRunError::SpecInvalid(sentence) => Self::conflict("spec_invalid", sentence),
            DryRunError::PromptInvalid(sentence) => Self::conflict("prompt_invalid", sentence),
            DryRunError::Unreadable(sentence) => {
                tracing::error!(sentence, "a worktree cannot be read");
                Self::Internal
            }
        }
    }
}
