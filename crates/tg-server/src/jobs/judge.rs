//! One QA of one step on our own commit: evidence, call, verdict, report. Used by the QA job and by
//! light QA inside the execution job. Nothing but an exact PASS passes, and no status is written.

use std::{fmt::Write as _, path::Path};

use serde_json::{Map, Value, json};
use tg_core::{
    canonical,
    job::ErrorCategory,
    naming::{CommitSubject, step_number, step_subject},
    protocol::{Confinement, StepRun},
    tokens,
    verdict::{self, Verdict},
};

use super::{
    JobError,
    brief::{self, Evidence},
    call::{self, Ask, Made, Prompt},
    commit::{self, About, By},
    engine_choice::{self, Chosen, ModelWish},
    entry::{self, Entry},
    place::Place,
    reports,
    subject::Attempt,
};
use crate::{engine::Role, failpoint, store::artifact::NewArtifact};

/// Most bytes of a diff that a judge is shown.
const DIFF_CAP: usize = 200 * 1024;

/// Longest summary of a report that is repeated to people, in characters.
const SUMMARY_CHARACTERS: usize = 300;

/// What a QA found.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Exactly PASS.
    pub is_passed: bool,
    /// Metadata of the verdict's event.
    pub detail: Map<String, Value>,
    /// Who judged.
    pub by: By,
}

/// Judges a step. The worktree must be at our commit; `last_commit` is its subject.
///
/// # Errors
/// Every failure of the engine, a changed worktree, an unwritable report: QA could not be carried out.
pub async fn judge(
    attempt: &Attempt<'_>,
    place: &Place,
    step: &StepRun,
    entry: &Entry,
    last_commit: String,
    is_brief: bool,
) -> Result<Judgement, JobError> {
    let Attempt { app, subject, .. } = *attempt;
    let engine = engine_choice::judge(subject, step, &entry.spec);
    let kind = if is_brief { "qa_inline" } else { "qa" };
    let wish = ModelWish::of_quality(step, &entry.spec, kind);
    let model = engine_choice::model_for(attempt, wish).await?;
    let chosen = engine_choice::choose(app, &subject.run, engine, model)?;
    let template = entry::captured_judge(app, step.id)?.unwrap_or_else(|| entry.judge.clone());
    let evidence = evidence(place, step, entry, last_commit, is_brief).await?;
    let prompt = brief::quality(&place.files, subject, step, &template, &evidence)?;
    let ask = Ask {
        kind,
        role: Role::Qa,
        step: Some(step),
        step_name: &step.step_name,
        prompt: &prompt,
        schema: None,
        wall: app.config.engine_timeout,
        directory: place.tree.path.clone(),
    };
    let made = call::make(attempt, &chosen, ask).await?;
    failpoint::pass(app.config.failpoint.as_deref(), "quality.answered");
    let reported = report(attempt, place, step, &chosen, &prompt, &made).await;
    if let Err(error) = &reported {
        let end = call::refused(&made, &chosen, &error.message);
        call::close(attempt, &made.id, Some(step), end, &[]).await?;
    }
    let (verdict, file) = reported?;
    let facts = facts(&chosen, &prompt, &verdict, &made, &file);
    let detail = detail(attempt, step, &facts);
    call::close(attempt, &made.id, Some(step), call::succeeded(&made, facts), &[file]).await?;
    failpoint::pass(app.config.failpoint.as_deref(), "quality.reported");
    Ok(Judgement { is_passed: verdict.is_pass(), detail, by: By::of(&chosen, &prompt) })
}

/// The verdict of an earlier attempt of this job that died before it could answer: it stands.
pub async fn earlier(
    attempt: &Attempt<'_>,
    step: &StepRun,
    kind: &str,
) -> Result<Option<Judgement>, JobError> {
    let Some(call) = call::earlier(attempt, Some(step.id), kind).await? else { return Ok(None) };
    let facts = call.result.unwrap_or(Value::Null);
    let text = |key: &str| facts.get(key).and_then(Value::as_str).map(str::to_owned);
    Ok(Some(Judgement {
        is_passed: text("verdict").as_deref() == Some("pass"),
        detail: detail(attempt, step, &facts),
        by: By {
            engine: text("engine_id").unwrap_or_default(),
            model: text("model"),
            prompt_version: call.prompt_version.unwrap_or_default(),
        },
    }))
}

/// Commits the report where it cannot wait for the next step's commit: it did not pass, or no step is
/// left. Answers with the commit.
pub async fn commit_report(
    attempt: &Attempt<'_>,
    place: &Place,
    step: &StepRun,
    judgement: &Judgement,
) -> Result<Option<String>, JobError> {
    let Attempt { lease, subject, .. } = *attempt;
    let is_last = subject.steps.iter().all(|other| other.id == step.id || other.status.is_settled());
    if judgement.is_passed && !is_last {
        return Ok(None);
    }
    let title = CommitSubject::parse(&format!("chore(protocol): qa {}", step.step_name))
        .unwrap_or_else(|| step_subject(&step.step_name));
    let number = step_number(&step.step_name, step.step_index);
    let about = About::Quality(step.id);
    let message = commit::new(lease, subject, &title, &number, about, Some(&judgement.by));
    match place.repository.commit(&place.tree, &message).await? {
        Some(sha) => Ok(Some(sha)),
        // An earlier attempt committed it and died before it could push.
        None => Ok(Some(place.repository.head(&place.tree).await?)),
    }
}

async fn evidence(
    place: &Place,
    step: &StepRun,
    entry: &Entry,
    last_commit: String,
    is_brief: bool,
) -> Result<Evidence, JobError> {
    let from = step.start_sha.as_deref().unwrap_or(&place.tree.base_sha);
    let diff = place.repository.diff(&place.tree, from, DIFF_CAP).await?;
    let mut outputs = brief::material(&place.files, &entry.output)?;
    for (name, path) in &entry.aux {
        write!(outputs, "\n\n({name})\n{}", brief::material(&place.files, path)?)
            .expect("writing to a string cannot fail");
    }
    Ok(Evidence { step: entry.prompt.text.clone(), outputs, diff, last_commit, is_brief })
}

/// Reads the verdict and keeps the report, after proving that QA left the worktree alone.
async fn report(
    attempt: &Attempt<'_>,
    place: &Place,
    step: &StepRun,
    chosen: &Chosen,
    prompt: &Prompt,
    made: &Made,
) -> Result<(Verdict, NewArtifact), JobError> {
    let Attempt { app, lease, subject, .. } = *attempt;
    prove_unchanged(attempt, place, step, chosen).await?;
    let verdict = verdict::read(&made.text);
    let text = format!(
        "{}\n\n<!-- call {} · engine {} · prompt {} · attempt {} -->\n",
        made.text.trim_end(),
        made.id,
        chosen.id(),
        prompt.version,
        lease.attempt,
    );
    let path = reports::keep(app, place, subject, step, &text)?;
    Ok((verdict, artifact("quality-report", "qa_report", &path, text.as_bytes())))
}

/// The sandbox shows a judge the worktree read-only. Without it the files are compared.
async fn prove_unchanged(
    attempt: &Attempt<'_>,
    place: &Place,
    step: &StepRun,
    chosen: &Chosen,
) -> Result<(), JobError> {
    match chosen.confinement {
        Confinement::Bwrap => return Ok(()),
        Confinement::Off => {}
    }
    let changed = place.changed(attempt.subject).await?;
    if changed.is_empty() {
        return Ok(());
    }
    let message = format!(
        "qa of {} by engine {} changed the worktree ({}); its verdict does not count",
        step.step_name,
        chosen.id(),
        changed.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ")
    );
    Err(JobError::retry(ErrorCategory::Codex, "tree_changed", message).with("engine_id", chosen.id()))
}

/// A produced file with hash and size.
pub fn artifact(name: &str, kind: &str, path: &Path, content: &[u8]) -> NewArtifact {
    NewArtifact {
        name: name.to_owned(),
        kind: kind.to_owned(),
        path: path.display().to_string(),
        sha256: canonical::sha256_hex(content),
        bytes: i64::try_from(content.len()).unwrap_or(i64::MAX),
    }
}

fn detail(attempt: &Attempt<'_>, step: &StepRun, facts: &Value) -> Map<String, Value> {
    let run = &attempt.subject.run;
    let of = |key: &str| facts.get(key).cloned().unwrap_or(Value::Null);
    known(json!({
        "protocol_run_id": run.id,
        "step_run_id": step.id,
        "verdict_line": of("verdict_line"),
        "why": of("why"),
        "summary": of("summary"),
        "report_path": of("report_path"),
        "estimated_tokens": of("estimated_tokens"),
        "prompt_versions": of("prompt_versions"),
        "engine_id": of("engine_id"),
        "model": of("model"),
        "spec_hash": run.spec_hash,
    }))
}

/// The facts of an object that say something.
pub fn known(facts: Value) -> Map<String, Value> {
    match facts {
        Value::Object(facts) => facts.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

/// Result of the call: what a later attempt needs to answer without asking again.
fn facts(chosen: &Chosen, prompt: &Prompt, verdict: &Verdict, made: &Made, file: &NewArtifact) -> Value {
    json!({
        "engine_id": chosen.id(),
        "model": chosen.model,
        "prompt_versions": prompt.versions,
        "prompt_path": prompt.path,
        "report_path": file.path,
        "verdict": verdict.word(),
        "verdict_line": verdict.line(),
        "why": verdict.why(),
        "summary": summary(&made.text),
        "estimated_tokens": {"qa": tokens::estimate(&prompt.text)},
        "engine_call": made.engine_call,
    })
}

/// First line of a report that says something.
fn summary(report: &str) -> Option<String> {
    let line = report
        .lines()
        .map(|line| line.trim_matches(|mark: char| matches!(mark, '#' | '*' | ' ' | '-' | '>')))
        .find(|line| !line.is_empty() && !line.to_lowercase().starts_with("verdict"))?;
    Some(line.chars().take(SUMMARY_CHARACTERS).collect())
}
