//! Judges a step with full QA and answers with the verdict. QA that cannot be carried out is an error
//! of the job, never a verdict.

use serde_json::{Map, Value, json};
use tg_core::{
    event::{Event, EventKind},
    ids::StepId,
    lifecycle::Signal,
    protocol::{CallStatus, StepRun},
    scope::Scope,
    status::{ReasonCode, StatusReason},
    step::StepStatus,
};
use tokio_util::sync::CancellationToken;

use super::{
    call, commit,
    entry::{self, EntryError},
    gate::{self, Gate},
    judge::{self, Judgement},
    place::{self, Place, PlaceError, Push},
    subject::{Attempt, Subject},
};
use crate::{
    app::App,
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
    let judgement = if let Some(judgement) = earlier(&attempt, &place, &step).await? {
        judgement
    } else {
        let entry = match entry::resolve(&place, &subject, &step) {
            Ok(entry) => entry,
            Err(EntryError::Invalid(errors)) => return answer(no_entry(&step, &errors)),
            Err(EntryError::Job(error)) => return Err(error),
        };
        judge::judge(&attempt, &place, &step, &entry, false).await?
    };
    push(&attempt, &place, &step, &judgement).await?;
    answer(Signal::Judged { step: step.id, passed: judgement.is_passed, detail: judgement.detail })
}

/// The verdict of an earlier attempt of this job whose report is committed: it stands.
async fn earlier(
    attempt: &Attempt<'_>,
    place: &Place,
    step: &StepRun,
) -> Result<Option<Judgement>, JobError> {
    let mut tx = attempt.app.db.read().await?;
    let filter =
        store::call::Filter { step: Some(step.id), run_kind: Some("qa".to_owned()), ..Default::default() };
    let calls = store::call::list(&mut tx, &Scope::All, &filter, 20).await?;
    drop(tx);
    let job = &attempt.lease.job_id.0;
    let done =
        |call: &&store::call::Call| call.status == CallStatus::Succeeded && call.job_id.as_ref() == Some(job);
    let Some(result) = calls.iter().find(done).and_then(|call| call.result.as_ref()) else {
        return Ok(None);
    };
    let base = &place.tree.base_sha;
    let Some(sha) = place.repository.find_trailer(&place.tree, base, commit::JOB_TRAILER, job).await? else {
        return Ok(None);
    };
    let kept = |key: &str| result.get(key).cloned().unwrap_or(Value::Null);
    let detail: Map<String, Value> = judge::known(json!({
        "protocol_run_id": attempt.subject.run.id,
        "step_run_id": step.id,
        "verdict_line": kept("verdict_line"),
        "why": kept("why"),
        "summary": kept("summary"),
        "report_path": kept("report_path"),
        "estimated_tokens": kept("estimated_tokens"),
        "prompt_versions": kept("prompt_versions"),
        "model": kept("model"),
        "spec_hash": attempt.subject.run.spec_hash,
    }));
    let is_passed = result.get("verdict").and_then(Value::as_str) == Some("pass");
    Ok(Some(Judgement { is_passed, detail, sha: Some(sha) }))
}

/// The report reaches the remote with the next step's commit; when no step follows, now.
async fn push(
    attempt: &Attempt<'_>,
    place: &Place,
    step: &StepRun,
    judgement: &Judgement,
) -> Result<(), JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    let Some(sha) = &judgement.sha else { return Ok(()) };
    let is_last = subject
        .steps
        .iter()
        .all(|other| other.id == step.id || other.status.is_settled() || other.status == StepStatus::Failed);
    if judgement.is_passed && !is_last {
        return Ok(());
    }
    match place.push(app, lease, &subject.run, sha).await? {
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
