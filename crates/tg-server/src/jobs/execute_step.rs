//! The execute_step job.

use crate::{
    app::App,
    jobs::{Answer, JobError},
    queue::Lease,
};
use tg_core::ids::{RunId, StepId};
use tokio_util::sync::CancellationToken;

/// Does the work.
pub async fn run(
    app: &App,
    lease: &Lease,
    cancel: &CancellationToken,
    subject: StepId,
) -> Result<Option<Answer>, JobError> {
    todo!()
}
