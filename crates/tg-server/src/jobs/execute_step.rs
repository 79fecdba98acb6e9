//! Executes a step: an agent changes the worktree, we write its outputs, commit and push, and judge
//! light steps at once. A repeated job never runs an agent for work that is committed already.

use serde_json::{Map, Value, json};
use tg_core::{
    event::{Event, EventKind},
    ids::StepId,
    job::ErrorCategory,
    lifecycle::{Executed, Signal},
    naming::{proposed_commit, step_number, step_subject},
    protocol::StepRun,
    status::{ReasonCode, StatusReason},
    step::QaPolicy,
    tokens,
};
use tokio_util::sync::CancellationToken;

use super::{
    brief,
    call::{self, Ask, Made, Prompt},
    commit::{self, About, By},
    engine_choice::{self, Chosen, ModelWish, Unavailable},
    entry::{self, Entry, EntryError},
    files,
    gate::{self, Gate},
    judge::{self, Judgement, known},
    outputs,
    place::{self, Place, PlaceError, Push},
    reports, review,
    subject::{Attempt, Subject},
};
use crate::{
    app::App,
    engine::Role,
    failpoint,
    jobs::{Answer, JobError},
    queue::Lease,
    store,
};

/// What was done, ready to be pushed and judged.
struct Work {
    /// Commit that holds it; `None` = nothing changed.
    sha: Option<String>,
    /// Metadata of `step_completed`.
    detail: Map<String, Value>,
}

/// Does the work.
pub async fn run(
    app: &App,
    lease: &Lease,
    cancel: &CancellationToken,
    step: StepId,
) -> Result<Option<Answer>, JobError> {
    let (subject, step) = Subject::of_step(app, step).await?;
    if let Gate::Passed(why) = gate::execute(&subject, &step) {
        tracing::info!(step_run_id = %step.id, why, "no execution");
        return Ok(None);
    }
    let signal = signal(&Attempt { app, lease, cancel, subject: &subject }, step).await?;
    Ok(Some(Answer { run: subject.run.id, signal }))
}

async fn signal(attempt: &Attempt<'_>, mut step: StepRun) -> Result<Signal, JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    let place = match place::prepare(app, lease, subject).await {
        Ok(place) => place,
        Err(PlaceError::Missing(sentence)) => {
            return Ok(blocked(&step, ReasonCode::RepoMissing, sentence, None));
        }
        Err(PlaceError::Job(error)) => return Err(error),
    };
    let entry = match entry::resolve(&place.files, subject, &step) {
        Ok(entry) => entry,
        Err(EntryError::Invalid(errors)) => return Ok(Signal::SpecInvalid { step: step.id, errors }),
        Err(EntryError::Job(error)) => return Err(error),
    };
    let work = match earlier(attempt, &place, &step).await? {
        Some(work) => work,
        None => match choose(attempt, &step, &entry).await? {
            Ok(chosen) => execute(attempt, &place, &mut step, &entry, &chosen).await?,
            Err(why) => {
                let reason = ReasonCode::EngineUnavailable;
                return Ok(blocked(&step, reason, why.message, Some(&why.engine_id)));
            }
        },
    };
    conclude(attempt, &place, &step, &entry, work).await
}

async fn choose(
    attempt: &Attempt<'_>,
    step: &StepRun,
    entry: &Entry,
) -> Result<Result<Chosen, Unavailable>, JobError> {
    let Attempt { app, subject, .. } = *attempt;
    let engine = engine_choice::executor(subject, step, &entry.spec);
    let model = engine_choice::model_for(attempt, ModelWish::of_execution(step, &entry.spec)).await?;
    Ok(engine_choice::choose(app, &subject.run, engine, model))
}

fn blocked(step: &StepRun, code: ReasonCode, sentence: String, engine: Option<&str>) -> Signal {
    let event = Event::step(EventKind::StepBlocked, step.id)
        .with("step_name", step.step_name.clone())
        .with("reason", code.as_str())
        .with("detail", sentence.clone())
        .with_all(known(json!({ "engine_id": engine })));
    Signal::StepBlocked { step: step.id, reason: StatusReason::new(code, sentence), event }
}

/// Work that an earlier attempt of this job committed before it died.
async fn earlier(attempt: &Attempt<'_>, place: &Place, step: &StepRun) -> Result<Option<Work>, JobError> {
    let Some(call) = call::earlier(attempt, Some(step.id), "exec").await? else { return Ok(None) };
    let job = &attempt.lease.job_id.0;
    let base = &place.tree.base_sha;
    let Some(sha) = place.repository.find_trailer(&place.tree, base, commit::JOB_TRAILER, job).await? else {
        return Ok(None);
    };
    let kept = |key: &str| call.result.as_ref().and_then(|result| result.get(key)).cloned();
    let detail = known(json!({
        "protocol_run_id": attempt.subject.run.id,
        "step_run_id": step.id,
        "step_name": step.step_name,
        "estimated_tokens": kept("estimated_tokens"),
        "tokens": kept("tokens"),
        "outputs": kept("outputs"),
        "prompt_versions": kept("prompt_versions"),
        "prompt_path": kept("prompt_path"),
        "engine_id": kept("engine_id"),
        "model": kept("model"),
        "spec_hash": attempt.subject.run.spec_hash,
        "sha": sha,
    }));
    tracing::info!(step_run_id = %step.id, sha, "took over the commit of an attempt that died");
    Ok(Some(Work { sha: Some(sha), detail }))
}

async fn execute(
    attempt: &Attempt<'_>,
    place: &Place,
    step: &mut StepRun,
    entry: &Entry,
    chosen: &Chosen,
) -> Result<Work, JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    let failpoint = app.config.failpoint.as_deref();
    entry::capture_judge(app, step.id, &entry.judge)?;
    let review = review::gather(app, Some(&lease.job_id), step).await?;
    let prompt = brief::execute(&place.files, subject, step, &entry.prompt, review)?;
    begin(attempt, place, step, chosen, &prompt).await?;
    failpoint::pass(failpoint, "execute.started");
    let ask = Ask {
        kind: "exec",
        role: Role::Execute,
        step: Some(step),
        step_name: &step.step_name,
        prompt: &prompt,
        schema: None,
        wall: entry.wall(app),
        directory: place.tree.path.clone(),
    };
    let made = call::make(attempt, chosen, ask).await?;
    failpoint::pass(failpoint, "execute.answered");
    let kept = keep(attempt, place, step, entry, &made).await;
    if let Err(error) = &kept {
        call::close(attempt, &made.id, Some(step), call::refused(&made, chosen, &error.message), &[]).await?;
    }
    let files = kept?;
    let title = proposed_commit(&made.text).unwrap_or_else(|| step_subject(&step.step_name));
    let number = step_number(&step.step_name, step.step_index);
    let by = By::of(chosen, &prompt);
    let message = commit::new(lease, subject, &title, &number, About::Step(step.id), Some(&by));
    let facts = json!({
        "commit_subject": message.subject,
        "engine_id": chosen.id(),
        "model": chosen.model,
        "prompt_path": prompt.path,
        "prompt_versions": prompt.versions,
        "workdir": place.tree.path,
        "outputs": {"protocol": entry.output, "aux": entry.aux},
        "estimated_tokens": {"exec": tokens::estimate(&prompt.text)},
        "tokens": {"input": made.usage.input + made.usage.cache_read + made.usage.cache_write,
            "output": made.usage.output},
        "engine_call": made.engine_call,
    });
    call::close(attempt, &made.id, Some(step), call::succeeded(&made, facts.clone()), &files).await?;
    failpoint::pass(failpoint, "execute.written");
    let sha = place.repository.commit(&place.tree, &message).await?;
    failpoint::pass(failpoint, "execute.committed");
    let mut detail = known(facts);
    for inner in ["workdir", "engine_call", "commit_subject"] {
        detail.remove(inner);
    }
    detail.extend(known(json!({
        "protocol_run_id": subject.run.id,
        "step_run_id": step.id,
        "step_name": step.step_name,
        "spec_hash": subject.run.spec_hash,
        "spec_validated": true,
        "sha": sha,
    })));
    Ok(Work { sha, detail })
}

/// Writes down, before the agent starts, that it is about to.
async fn begin(
    attempt: &Attempt<'_>,
    place: &Place,
    step: &mut StepRun,
    chosen: &Chosen,
    prompt: &Prompt,
) -> Result<(), JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    let start_sha = place.repository.head(&place.tree).await?;
    let event = Event::step(EventKind::StepStarted, step.id)
        .with("step_name", step.step_name.clone())
        .with("engine_id", chosen.id())
        .with("attempt", lease.attempt)
        .with("prompt_path", prompt.path.clone())
        .with("prompt_versions", prompt.versions.clone())
        .with_all(known(json!({
            "model": chosen.model,
            "fallback_of": chosen.fallback_of,
            "spec_hash": subject.run.spec_hash,
        })));
    let now = app.clock.now();
    let mut tx = app.db.begin().await?;
    store::step::set_started(&mut tx, lease, step.id, &start_sha, now).await?;
    store::event::append(&mut tx, &call::context(lease, subject), &event, now);
    tx.commit().await?;
    app.wake.told();
    step.start_sha = Some(start_sha);
    Ok(())
}

/// Outputs, diary and context of a finished call; a change that was expected must be there.
async fn keep(
    attempt: &Attempt<'_>,
    place: &Place,
    step: &StepRun,
    entry: &Entry,
    made: &Made,
) -> Result<Vec<store::artifact::NewArtifact>, JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    if entry.spec.expects_change() && place.changed(subject).await?.is_empty() {
        let message = format!("step {} should change files, but its agent changed none", step.step_name);
        return Err(if lease.attempt <= 1 {
            JobError::retry(ErrorCategory::Codex, "no_change", message)
        } else {
            JobError::fail(ErrorCategory::Codex, "no_change", message)
        });
    }
    reports::restore(app, place, subject)?;
    let mut files = outputs::write(place, step, entry, &made.text, app.clock.now())?;
    if let Some(patch) = &place.leftover {
        files.push(
            place::keep_leftover(app, &made.id, patch)
                .map_err(|error| files::unwritable(&app.config.home.call_dir(&made.id), &error))?,
        );
    }
    Ok(files)
}

/// Judges where the policy says so at once, pushes, and says how it ended.
async fn conclude(
    attempt: &Attempt<'_>,
    place: &Place,
    step: &StepRun,
    entry: &Entry,
    work: Work,
) -> Result<Signal, JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    let mut sha = work.sha;
    let (outcome, verdict) = match entry.spec.qa.policy {
        Some(QaPolicy::Skip) => (Executed::Unjudged, Map::new()),
        Some(QaPolicy::Full) | None => (Executed::NeedsQa, Map::new()),
        Some(QaPolicy::Light) => match light(attempt, place, step, entry).await {
            Ok((judgement, report)) => {
                sha = report.or(sha);
                let outcome = if judgement.is_passed { Executed::LightPass } else { Executed::LightFail };
                (outcome, inline(judgement.detail))
            }
            Err(error) => match error.next {
                super::Next::Cancel | super::Next::Lost | super::Next::Snooze => return Err(error),
                super::Next::Retry { .. } | super::Next::Fail => {
                    let facts = json!({ "error": error.message, "error_type": error.error_type });
                    let mut facts = known(facts);
                    facts.extend(error.detail);
                    (Executed::LightError, facts)
                }
            },
        },
    };
    let mut push_failed = None;
    if let Some(head) = &sha {
        review::outdate(attempt, place, head).await?;
        match place.push(app, lease, &subject.run, head).await? {
            Push::Done(_) | Push::NoRemote => {}
            Push::Failed(why) => push_failed = Some(why),
        }
        failpoint::pass(app.config.failpoint.as_deref(), "execute.pushed");
    }
    Ok(Signal::Executed { step: step.id, outcome, sha, detail: work.detail, verdict, push_failed })
}

/// Light QA, or its verdict when an earlier attempt came so far.
async fn light(
    attempt: &Attempt<'_>,
    place: &Place,
    step: &StepRun,
    entry: &Entry,
) -> Result<(Judgement, Option<String>), JobError> {
    let judgement = if let Some(judgement) = judge::earlier(attempt, step, "qa_inline").await? {
        judgement
    } else {
        let (_, last_commit) = place.repository.tip(&place.tree).await?;
        judge::judge(attempt, place, step, entry, last_commit, true).await?
    };
    let report = judge::commit_report(attempt, place, step, &judgement).await?;
    Ok((judgement, report))
}

/// The facts of a light verdict under the names they have beside those of the execution.
fn inline(mut detail: Map<String, Value>) -> Map<String, Value> {
    for (of_call, of_qa) in [("engine_id", "qa_engine_id"), ("model", "qa_model")] {
        if let Some(value) = detail.remove(of_call) {
            detail.insert(of_qa.to_owned(), value);
        }
    }
    for shared in ["prompt_versions", "estimated_tokens"] {
        detail.remove(shared);
    }
    detail
}
