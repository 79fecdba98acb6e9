//! Judges a step with full QA and answers with the verdict. QA that cannot be carried out is an error
//! of the job, never a verdict.

use serde_json::Value;
use tg_core::{
    event::{Event, EventKind},
    ids::StepId,
    lifecycle::Signal,
    protocol::StepRun,
    scope::Scope,
    status::{ReasonCode, StatusReason},
};
use tokio_util::sync::CancellationToken;

use super::{
    call,
    entry::{self, EntryError},
    gate::{self, Gate},
    judge::{self, Judgement},
    place::{self, Place, PlaceError, Push},
    subject::{Attempt, Subject},
};
use crate::{
    app::App,
    failpoint,
    jobs::{Answer, JobError},
    queue::Lease,
    store,
};

/// Does the work.
pub async fn run(
    app: &App,
    lease: &Lease,
    cancel: &CancellationToken,
    step: StepId,
) -> Result<Option<Answer>, JobError> {
    let (subject, step) = Subject::of_step(app, step).await?;
    if let Gate::Passed(why) = gate::quality(&subject, &step) {
        tracing::info!(step_run_id = %step.id, why, "no qa");
        return Ok(None);
    }
    let answer = |signal| Ok(Some(Answer { run: subject.run.id, signal }));
    let attempt = Attempt { app, lease, cancel, subject: &subject };
    let place = match place::prepare(app, lease, &subject).await {
        Ok(place) => place,
        Err(PlaceError::Missing(sentence)) => return answer(no_repository(&subject, &step, sentence)),
        Err(PlaceError::Job(error)) => return Err(error),
    };
    let judgement = if let Some(judgement) = judge::earlier(&attempt, &step, "qa").await? {
        judgement
    } else {
        let entry = match entry::resolve(&place.files, &subject, &step) {
            Ok(entry) => entry,
            Err(EntryError::Invalid(errors)) => return answer(no_entry(&step, &errors)),
            Err(EntryError::Job(error)) => return Err(error),
        };
        let subject = last_commit(&attempt, &place, &step).await?;
        judge::judge(&attempt, &place, &step, &entry, subject, false).await?
    };
    publish(&attempt, &place, &step, &judgement).await?;
    answer(Signal::Judged { step: step.id, passed: judgement.is_passed, detail: judgement.detail })
}

/// Subject of the commit that is judged, as the execution recorded it.
async fn last_commit(attempt: &Attempt<'_>, place: &Place, step: &StepRun) -> Result<String, JobError> {
    let mut tx = attempt.app.db.read().await?;
    let filter =
        store::call::Filter { step: Some(step.id), run_kind: Some("exec".to_owned()), ..Default::default() };
    let calls = store::call::list(&mut tx, &Scope::All, &filter, 1).await?;
    drop(tx);
    let recorded = calls
        .first()
        .and_then(|call| call.result.as_ref())
        .and_then(|result| result.get("commit_subject"))
        .and_then(Value::as_str);
    match recorded {
        Some(subject) => Ok(subject.to_owned()),
        None => Ok(place.repository.tip(&place.tree).await?.1),
    }
}

/// Commits and pushes the report unless the next step's commit will carry it. A push that fails is only
/// told: the next one, or a person, carries it.
async fn publish(
    attempt: &Attempt<'_>,
    place: &Place,
    step: &StepRun,
    judgement: &Judgement,
) -> Result<(), JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    let committed = judge::commit_report(attempt, place, step, judgement).await?;
    failpoint::pass(app.config.failpoint.as_deref(), "quality.committed");
    let Some(sha) = committed else { return Ok(()) };
    match place.push(app, lease, &subject.run, &sha).await? {
        Push::Done(_) | Push::NoRemote => Ok(()),
        Push::Failed(why) => {
            let event = Event::run(EventKind::OpenPrFailed)
                .with("branch", subject.run.protocol_name.clone())
                .with("error", why);
            call::tell(attempt, &[event]).await
        }
    }
}

fn no_repository(subject: &Subject, step: &StepRun, sentence: String) -> Signal {
    let event = Event::step(EventKind::QaBlockedRepo, step.id)
        .with("step_name", step.step_name.clone())
        .with("git_url", subject.project.git_url.clone());
    let reason = StatusReason::new(ReasonCode::RepoMissing, sentence);
    Signal::StepBlocked { step: step.id, reason, event }
}

fn no_entry(step: &StepRun, errors: &[String]) -> Signal {
    let sentence = errors.join("; ");
    let event = Event::step(EventKind::SpecValidationError, step.id)
        .with("step", step.step_name.clone())
        .with("error", sentence.clone());
    let reason = StatusReason::new(ReasonCode::SpecInvalid, sentence);
    Signal::StepBlocked { step: step.id, reason, event }
}
