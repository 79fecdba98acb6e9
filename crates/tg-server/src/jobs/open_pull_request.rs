//! The open_pull_request job.

use crate::{
    app::App,
    jobs::{Answer, JobError},
    queue::Lease,
};
use tg_core::ids::{RunId, StepId};
use tokio_util::sync::CancellationToken;

/// Does the work.
pub async fn run(app: &App, lease: &Lease, subject: RunId) -> Result<Option<Answer>, JobError> {
    todo!()
}
