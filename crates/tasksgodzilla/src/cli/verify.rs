//! `verify`: the event chain is whole, the rows are what the events add up to, and the commits that
//! steps claim are there and say so. The first thing that is not so is named.

mod fold;

use clap::Args;
use serde::Serialize;
use tg_core::{
    naming,
    protocol::{ProtocolRun, StepRun},
    scope::Scope,
};
use tg_server::{app::App, db::Tx, store};

use self::fold::Fold;
use super::{CliError, Global, run};
use crate::{output::Output, start};

/// What to verify.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Compare rows and commits only of the runs on this branch.
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
}

/// Runs looked at, at most.
const RUNS: i64 = 1_000_000;

/// Events read at once.
const PAGE: i64 = 500;

/// What was looked at, and the first thing that is wrong.
#[derive(Debug, Default, Serialize)]
struct Report {
    events: u64,
    transitions: u64,
    runs: usize,
    steps: usize,
    commits: usize,
    first_bad: Option<String>,
}

/// Runs the command.
pub async fn run(global: &Global, args: VerifyArgs, output: &Output) -> Result<(), CliError> {
    let app = start::steering(global, output).await?;
    let report = look(&app, args.branch.as_deref()).await?;
    output.show(&report, |output| {
        output.line(&format!(
            "{} events, {} transitions, {} runs, {} steps, {} commits checked",
            report.events, report.transitions, report.runs, report.steps, report.commits
        ));
    });
    match report.first_bad {
        None => Ok(()),
        Some(bad) => Err(CliError::failed(bad)
            .hint("the database or the control repository was changed from outside; restore a backup")),
    }
}

async fn look(app: &App, branch: Option<&str>) -> Result<Report, CliError> {
    let mut report = Report::default();
    // One reading transaction: what others write meanwhile is not seen half.
    let mut tx = app.db.read().await?;
    let chain = store::event::verify(&mut tx, None).await?;
    report.events = chain.checked;
    report.first_bad = chain.first_bad.map(|(seq, why)| format!("event {seq}: {why}"));
    let runs = store::protocol::list(&mut tx, &Scope::All, None, RUNS).await?;
    let wanted = |run: &ProtocolRun| branch.is_none_or(|branch| run.protocol_name == branch);
    let mut all = Vec::new();
    for run in runs.into_iter().filter(wanted) {
        let steps = store::step::list(&mut tx, &Scope::All, run.id).await?;
        all.push((run, steps));
    }
    report.runs = all.len();
    report.steps = all.iter().map(|(_, steps)| steps.len()).sum();
    let mut fold = Fold::new(&all);
    walk(&mut tx, &mut fold).await?;
    report.transitions = fold.seen();
    report.first_bad = report.first_bad.or(fold.first_bad());
    drop(tx);
    for (run, steps) in &all {
        if let Err(bad) = commits(app, run, steps, &mut report.commits).await? {
            report.first_bad = report.first_bad.or(Some(bad));
        }
    }
    Ok(report)
}

/// Hands every event to the fold, newest first.
async fn walk(tx: &mut Tx, fold: &mut Fold) -> Result<(), CliError> {
    let mut filter = store::event::Filter::default();
    loop {
        let events = store::event::list(tx, &Scope::All, &filter, PAGE).await?;
        let Some(oldest) = events.last() else { return Ok(()) };
        filter.before = Some(oldest.seq);
        for event in &events {
            fold.add(event.seq, &event.metadata);
        }
    }
}

/// Looks up the commit of every step that claims one; the inner error is what is wrong.
async fn commits(
    app: &App,
    run: &ProtocolRun,
    steps: &[StepRun],
    count: &mut usize,
) -> Result<Result<(), String>, CliError> {
    if steps.iter().all(|step| step.head_sha.is_none()) {
        return Ok(Ok(()));
    }
    let mut tx = app.db.read().await?;
    let project = store::project::load(&mut tx, &Scope::All, run.project_id).await?;
    drop(tx);
    let repository = run::repository(app, &project);
    for step in steps {
        let Some(sha) = &step.head_sha else { continue };
        let claim = format!("step {} of run {}: commit {sha}", step.id, run.id);
        *count += 1;
        let message = match repository.message(sha).await {
            Ok(message) => message,
            Err(error) => return Ok(Err(format!("{claim} cannot be read: {error}"))),
        };
        if naming::trailer(&message, "TG-Step") != Some(step.id.to_string().as_str()) {
            return Ok(Err(format!("{claim} does not carry TG-Step: {}", step.id)));
        }
    }
    Ok(Ok(()))
}
