//! What people said about a run's changes, on its way to an agent and out of date afterwards.
//! Writes no comment; which comments a call was given is recorded with the call's start.

use std::collections::BTreeSet;

use tg_core::{
    ids::{CommentId, JobId},
    protocol::StepRun,
    review::{Review, ReviewComment},
};

use super::{JobError, place::Place, subject::Attempt};
use crate::{
    app::App,
    git::{GitError, Span},
    store::{self, StoreError},
};

/// Most commits that comments were written about and that are looked at after a step.
const COMMITS: usize = 20;

/// The review that an execution is given: what is open when a person asked for the execution or the
/// step ran before. A step that a rule starts for the first time gets none, so that a review somebody is
/// still writing does not leave in parts.
///
/// Without a job it is what an execution would be given that a person asks for now.
pub async fn gather(app: &App, job: Option<&JobId>, step: &StepRun) -> Result<Review, StoreError> {
    let mut tx = app.db.read().await?;
    let is_wanted = step.start_sha.is_some() || job.is_none();
    Ok(Review::of(store::review::to_send(&mut tx, job, step.protocol_run_id, is_wanted).await?))
}

/// Marks the comments whose file is another one in `head` than in the commit they were written about.
/// A commit that is not there is a person's mistake and holds no work up.
pub async fn outdate(attempt: &Attempt<'_>, place: &Place, head: &str) -> Result<(), JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    let mut tx = app.db.read().await?;
    let comments = store::review::unsettled(&mut tx, subject.run.id).await?;
    drop(tx);
    let commits: BTreeSet<&str> = comments.iter().map(|comment| comment.sha.as_str()).collect();
    let mut outdated = Vec::new();
    for commit in commits.into_iter().take(COMMITS) {
        let about: Vec<&ReviewComment> = comments.iter().filter(|comment| comment.sha == commit).collect();
        outdated.extend(changed(place, commit, head, &about).await?);
    }
    if outdated.is_empty() {
        return Ok(());
    }
    let mut tx = app.db.begin().await?;
    store::review::set_outdated(&mut tx, lease, &outdated, app.clock.now()).await?;
    tx.commit().await?;
    Ok(())
}

async fn changed(
    place: &Place,
    commit: &str,
    head: &str,
    comments: &[&ReviewComment],
) -> Result<Vec<CommentId>, JobError> {
    let span = Span { from: commit.to_owned(), to: head.to_owned() };
    let files = match place.repository.changed_files(&span, None).await {
        Ok(files) => files.kept,
        Err(error @ (GitError::Failed { .. } | GitError::Missing(_))) => {
            tracing::warn!(commit, %error, "comments on a commit that cannot be compared stay as they are");
            return Ok(Vec::new());
        }
        Err(error) => return Err(error.into()),
    };
    let touches = |comment: &&&ReviewComment| {
        let path = comment.path.as_bytes();
        files.iter().any(|file| file.path == path || file.old_path.as_deref() == Some(path))
    };
    Ok(comments.iter().filter(touches).map(|comment| comment.id).collect())
}
