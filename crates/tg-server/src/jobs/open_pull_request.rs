//! Pushes the branch of a run. Without a forge nothing is opened, and that is said.

use tg_core::{
    event::{Event, EventKind},
    ids::RunId,
    job::ErrorCategory,
    lifecycle::Signal,
    status::ReasonCode,
};

use super::{
    gate::{self, Gate},
    place::{self, Push},
    subject::Subject,
};
use crate::{
    app::App,
    jobs::{Answer, JobError},
    queue::Lease,
};

/// Does the work.
pub async fn run(app: &App, lease: &Lease, subject: RunId) -> Result<Option<Answer>, JobError> {
    let subject = Subject::of_run(app, subject).await?;
    if let Gate::Passed(why) = gate::push(&subject) {
        tracing::info!(protocol_run_id = %subject.run.id, why, "nothing to push");
        return Ok(None);
    }
    let branch = subject.run.protocol_name.clone();
    let (sha, event) = match place::push_committed(app, lease, &subject).await? {
        Push::Done(sha) => {
            let event = Event::run(EventKind::OpenPr).with("branch", branch).with("sha", sha.clone());
            (Some(sha), event)
        }
        Push::NoRemote => (None, no_remote(&subject, &branch)),
        Push::Failed(why) => {
            return Err(JobError::retry(ErrorCategory::Git, "push", why)
                .because(ReasonCode::PushFailed)
                .with("branch", branch));
        }
    };
    Ok(Some(Answer { run: subject.run.id, signal: Signal::PushDone { sha, events: vec![event] } }))
}

/// Says that nothing was pushed because there is nowhere to push to.
pub fn no_remote(subject: &Subject, branch: &str) -> Event {
    Event::run(EventKind::OpenPrSkipped)
        .with("git_url", subject.project.git_url.clone())
        .with("branch", branch)
        .with("reason", "the repository has no remote; the branch stays local")
}
