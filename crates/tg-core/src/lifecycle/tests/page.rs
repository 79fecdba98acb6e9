//! Writes `docs/lifecycle.md` from the tables and from `decide` itself, and fails when it is stale.
//! Set `TASKSGODZILLA_BLESS=1` to write it anew.

use std::{fmt::Write as _, path::PathBuf};

use serde_json::Map;

use super::{super::*, simulator::*};
use crate::{
    event::{Event, EventKind},
    ids::JobId,
    job::ErrorCategory,
    protocol::PullRequestState,
    spec::Policy,
    status::{ProtocolStatus, ReasonCode, RunMove},
    step::{QaPolicy, StepMove, StepStatus},
};

/// One line of a computed table: a signal, and the step and run it meets.
struct Case {
    label: &'static str,
    /// Status of the step it is about, where that is not the column.
    step: StepStatus,
    /// Where a paused run came from.
    paused_from: ProtocolStatus,
    /// Why a blocked run is blocked.
    blocked_for: ReasonCode,
    change: fn(&mut Flow),
    signal: Signal,
}

fn case(label: &'static str, step: StepStatus, signal: Signal) -> Case {
    Case {
        label,
        step,
        paused_from: ProtocolStatus::Running,
        blocked_for: ReasonCode::StepFailed,
        change: |_| {},
        signal,
    }
}

impl Case {
    fn from(mut self, paused_from: ProtocolStatus) -> Self {
        self.paused_from = paused_from;
        self
    }

    fn blocked_for(mut self, code: ReasonCode) -> Self {
        self.blocked_for = code;
        self
    }

    fn with(mut self, change: fn(&mut Flow)) -> Self {
        self.change = change;
        self
    }

    fn flow(&self, run: ProtocolStatus, step: StepStatus) -> Flow {
        let mut flow = flow(run, &[step, StepStatus::Pending]);
        flow.run.paused_from = (run == ProtocolStatus::Paused).then_some(self.paused_from);
        flow.run.reason = (run == ProtocolStatus::Blocked).then(|| why(self.blocked_for));
        flow.run.head_sha = Some("sha".to_owned());
        flow.run.live_plan = run == ProtocolStatus::Planning;
        (self.change)(&mut flow);
        flow
    }
}

fn detail() -> Map<String, serde_json::Value> {
    Map::new()
}

fn gave_up(job: Job, reason: Option<ReasonCode>) -> Signal {
    Signal::GaveUp { job, failure: failure(ErrorCategory::Codex, reason) }
}

fn cancel_job(job: Job) -> Signal {
    Signal::JobCancelled { job, job_id: JobId("job".to_owned()) }
}

fn push_failed() -> Signal {
    let Signal::Executed { step, outcome, sha, detail, verdict, .. } = executed(id(0), Executed::Unjudged)
    else {
        panic!("executed makes an Executed")
    };
    Signal::Executed { step, outcome, sha, detail, verdict, push_failed: Some("refused".to_owned()) }
}

fn all_done(flow: &mut Flow) {
    flow.steps[1].status = StepStatus::Completed;
    flow.run.auto_advance = true;
}

fn no_plan_job(flow: &mut Flow) {
    flow.run.live_plan = false;
}

fn auto(flow: &mut Flow) {
    flow.run.auto_advance = true;
}

fn about_plan_and_people() -> Vec<Case> {
    use ProtocolStatus::Planning;
    use StepStatus::{Failed, Pending, Running};
    let protocol_run_id = RunId(1);
    let setup: fn(&mut Flow) = |flow| {
        flow.run.kind = RunKind::Setup;
        flow.steps.clear();
    };
    let ran: fn(&mut Flow) = |flow| flow.steps[0].has_run = true;
    let cancel = || Signal::Cancel { reason: None };
    let import = Signal::ImportReady { steps: Vec::new(), detail: detail() };
    let import_failed = Signal::ImportFailed { reason: why(ReasonCode::SpecInvalid), detail: detail() };
    let plan_blocked = Signal::PlanBlocked { reason: why(ReasonCode::SpecInvalid), events: Vec::new() };
    let setup_blocked = Signal::SetupBlocked { reason: why(ReasonCode::RepoMissing), detail: detail() };
    vec![
        case("start, no step ran yet", Pending, Signal::Start),
        case("start, a step ran", Failed, Signal::Start).with(ran),
        case("plan_ready", Pending, planned(&["01-a.md"])).from(Planning),
        case("plan_ready, auto_advance", Pending, planned(&["01-a.md"])).from(Planning).with(auto),
        case("plan_blocked", Pending, plan_blocked).from(Planning),
        case("gave_up: plan job", Pending, gave_up(Job::PlanProtocol { protocol_run_id }, None))
            .from(Planning),
        case("plan_lost", Pending, Signal::PlanLost { age_seconds: 900 }).from(Planning).with(no_plan_job),
        case("import_ready", Pending, import).from(Planning),
        case("import_failed", Pending, import_failed).from(Planning),
        case("setup_started (set-up run)", Pending, Signal::SetupStarted { detail: detail() }).with(setup),
        case("setup_ready (set-up run)", Pending, Signal::SetupReady).with(setup),
        case("setup_blocked (set-up run)", Pending, setup_blocked).with(setup),
        case("start (set-up run)", Pending, Signal::Start).with(setup),
        case("run_next", Pending, Signal::RunNext),
        case("retry_latest", Failed, Signal::RetryLatest),
        case("approve, another step is open", Pending, Signal::Approve { step: id(0), note: None }),
        case("approve, it is the last", Pending, Signal::Approve { step: id(0), note: None }).with(all_done),
        case("pause", Pending, Signal::Pause { reason: None }),
        case("resume", Pending, Signal::Resume { reason: None }),
        case("cancel", Running, cancel()),
        case("open_pr", Failed, Signal::OpenPullRequest),
        case("open_pr, its push is live", Failed, Signal::OpenPullRequest)
            .with(|flow| flow.run.live_push = true),
        case("open_pr (set-up run)", Pending, Signal::OpenPullRequest).with(setup),
        case("cancel_job: plan job", Pending, cancel_job(Job::PlanProtocol { protocol_run_id }))
            .from(Planning),
        case("cancel_job: push job", Failed, cancel_job(Job::OpenPullRequest { protocol_run_id }))
            .with(|flow| flow.run.live_push = true),
        case("cancel_job: maintenance", Pending, cancel_job(Job::Maintenance)),
    ]
}

fn about_push_and_walk() -> Vec<Case> {
    use StepStatus::{Completed, Failed, Pending};
    let protocol_run_id = RunId(1);
    let walk = || Signal::WalkOn { source: Source::Scheduler };
    let merged = Signal::PullRequestMerged { detail: detail(), merge_request: false };
    let closed = Signal::PullRequestClosed { detail: detail(), merge_request: false };
    let pushed = || Signal::PushDone { sha: None, events: Vec::new() };
    let red = Signal::CiRed { sha: "sha".to_owned(), step: None, detail: detail() };
    let green = Signal::CiGreen { sha: "sha".to_owned(), step: None, detail: detail() };
    vec![
        case("push_done, all steps done", Completed, pushed())
            .with(all_done)
            .blocked_for(ReasonCode::PushFailed),
        case("push_done, a step is open", Completed, pushed()).blocked_for(ReasonCode::PushFailed),
        case("push_done, blocked for another reason", Failed, pushed()),
        case("gave_up: push job", Completed, gave_up(Job::OpenPullRequest { protocol_run_id }, None)),
        case("gave_up: maintenance", Pending, gave_up(Job::Maintenance, None)),
        case("ci_red, no step owns the commit", Pending, red),
        case("ci_green, no step owns the commit", Completed, green).blocked_for(ReasonCode::CiFailed),
        case("ci_pending", Pending, Signal::CiPending { sha: "sha".to_owned() }),
        case(
            "pull_request_opened, all steps done",
            Completed,
            Signal::PullRequestOpened { detail: detail() },
        )
        .with(all_done)
        .blocked_for(ReasonCode::PrClosed),
        case("pull_request_closed", Completed, closed),
        case("pull_request_reopened", Completed, Signal::PullRequestReopened)
            .blocked_for(ReasonCode::PrClosed),
        case("pull_request_merged", Pending, merged),
        case("answered", Pending, Signal::Answered).blocked_for(ReasonCode::Clarifications),
        case("answered, auto_advance", Pending, Signal::Answered)
            .blocked_for(ReasonCode::Clarifications)
            .with(auto),
        case("walk_on", Pending, walk()),
        case("walk_on, no live plan job", Pending, walk()).with(no_plan_job),
        case("walk_on, auto_advance", Pending, walk()).with(auto),
        case("walk_on, all steps done", Completed, walk()).with(all_done),
        case("walk_on, all steps done, PR/MR open", Completed, walk()).with(|flow| {
            flow.steps[1].status = StepStatus::Completed;
            flow.run.pr_state = Some(PullRequestState::Open);
        }),
        case("walk_on, all steps done, push not done", Completed, walk()).with(|flow| {
            flow.steps[1].status = StepStatus::Completed;
            flow.run.live_push = true;
        }),
    ]
}

fn about_the_run() -> Vec<Case> {
    let mut cases = about_plan_and_people();
    cases.extend(about_push_and_walk());
    cases
}

fn about_a_step() -> Vec<Case> {
    use StepStatus::Pending;
    let step = id(0);
    let (execute, quality) =
        (Job::ExecuteStep { step_run_id: step }, Job::CheckQuality { step_run_id: step });
    let execute_again = execute.clone();
    let at_work: fn(&mut Flow) = |flow| {
        if flow.steps[0].status == StepStatus::Running {
            flow.steps[0].live = Some(LiveJob::Execute);
        }
    };
    let looped: fn(&mut Flow) = |flow| flow.steps[0].policies = vec![looping("again")];
    let triggering: fn(&mut Flow) = |flow| flow.steps[0].policies = vec![trigger("then", "s1")];
    let on_failure: fn(&mut Flow) = |flow| {
        flow.steps[0].policies =
            vec![Policy { condition: Some("qa_failed".into()), ..trigger("then", "s1") }];
    };
    let judging: fn(&mut Flow) = |flow| flow.steps[0].qa = Some(QaPolicy::Full);
    let unjudging: fn(&mut Flow) = |flow| flow.steps[0].qa = None;
    let red = || Signal::CiRed { sha: "sha".to_owned(), step: Some(id(0)), detail: detail() };
    let green = || Signal::CiGreen { sha: "sha".to_owned(), step: Some(id(0)), detail: detail() };
    let stuck = Signal::Stuck { step, age_seconds: 4000, threshold_seconds: 3600 };
    let event = Event::step(EventKind::StepBlocked, step);
    let blocked = Signal::StepBlocked { step, reason: why(ReasonCode::RepoMissing), event };
    let lost_engine = gave_up(execute.clone(), Some(ReasonCode::EngineUnavailable));
    vec![
        case("run", Pending, Signal::RunStep { step, source: Source::Api }).with(at_work),
        case("retry_latest", Pending, Signal::RetryLatest).with(at_work),
        case("run_qa", Pending, Signal::RunQa { step }).with(at_work),
        case("approve", Pending, Signal::Approve { step, note: None }),
        case("executed, QA skip", Pending, executed(step, Executed::Unjudged)),
        case("executed, QA skip, auto_advance", Pending, executed(step, Executed::Unjudged)).with(auto),
        case("executed, QA skip, trigger", Pending, executed(step, Executed::Unjudged)).with(triggering),
        case("executed, QA skip, push failed", Pending, push_failed()),
        case("executed, QA full", Pending, executed(step, Executed::NeedsQa)),
        case("executed, QA full, auto QA", Pending, executed(step, Executed::NeedsQa))
            .with(|flow| flow.run.auto_qa_after_exec = true),
        case("executed, QA light: pass", Pending, executed(step, Executed::LightPass)),
        case("executed, QA light: fail", Pending, executed(step, Executed::LightFail)),
        case("executed, QA light: error", Pending, executed(step, Executed::LightError)),
        case("step_blocked (gate)", Pending, blocked),
        case("spec_invalid", Pending, Signal::SpecInvalid { step, errors: vec!["e".to_owned()] }),
        case("gave_up: execution", Pending, gave_up(execute.clone(), None)),
        case("gave_up: execution, no engine", Pending, lost_engine),
        case("gave_up: execution, loop", Pending, gave_up(execute, None)).with(looped),
        case("judged PASS", Pending, judged(step, true)),
        case("judged PASS, trigger", Pending, judged(step, true)).with(triggering),
        case("judged FAIL", Pending, judged(step, false)),
        case("judged FAIL, loop", Pending, judged(step, false)).with(looped),
        case("judged FAIL, loop, auto_advance", Pending, judged(step, false)).with(|flow| {
            flow.steps[0].policies = vec![looping("again")];
            flow.run.auto_advance = true;
        }),
        case("judged FAIL, trigger on qa_failed", Pending, judged(step, false)).with(on_failure),
        case("gave_up: QA", Pending, gave_up(quality.clone(), None)),
        case("directive: loop", Pending, Signal::Directive { step, reason: PolicyReason::DirectiveLoop })
            .with(looped),
        case("ci_red of its commit", Pending, red()),
        case("ci_red of its commit, agent at work", Pending, red()).with(at_work),
        case("ci_green of its commit, QA asked for", Pending, green()).with(judging),
        case("ci_green of its commit, no QA asked for", Pending, green()).with(unjudging),
        case("stuck, no live job", Pending, stuck.clone()),
        case("stuck, job is live", Pending, stuck).with(at_work),
        case("cancel_job: execution", Pending, cancel_job(execute_again)).with(at_work),
        case("cancel_job: QA", Pending, cancel_job(quality)).with(|flow| {
            flow.steps[0].live = (flow.steps[0].status == StepStatus::NeedsQa).then_some(LiveJob::Quality);
        }),
        case("cancel", Pending, Signal::Cancel { reason: None }),
        case(
            "pull_request_merged",
            Pending,
            Signal::PullRequestMerged { detail: detail(), merge_request: false },
        ),
    ]
}

fn jobs(decision: &Decision) -> String {
    let kinds: Vec<_> = decision.enqueue.iter().map(|queued| queued.job.run_kind()).collect();
    if kinds.is_empty() { String::new() } else { format!(" + {}", kinds.join(", ")) }
}

fn without_effect(decision: &Decision) -> &'static str {
    match decision.events.first() {
        Some(event) if event.metadata.contains_key("late_result") => "late",
        Some(_) => "noted",
        None => "·",
    }
}

fn run_cell(case: &Case, status: ProtocolStatus) -> String {
    match World::new(case.flow(status, case.step)).send(&case.signal) {
        Err(Refused::NoStepReady) => "404".to_owned(),
        Err(_) => "409".to_owned(),
        Ok(decision) => {
            let mut world = World::new(case.flow(status, case.step));
            world.ok(&case.signal);
            let to = match world.flow.run.paused_from {
                Some(from) if status == ProtocolStatus::Paused && from != case.paused_from => {
                    format!("*{from}*")
                }
                _ if world.run() != status => world.run().to_string(),
                _ if world.reason() != case.flow(status, case.step).run.reason.map(|reason| reason.code) => {
                    format!("{} ({})", world.run(), world.reason().map_or("", ReasonCode::as_str))
                }
                _ if decision.enqueue.is_empty() => without_effect(&decision).to_owned(),
                _ => world.run().to_string(),
            };
            format!("{to}{}", jobs(&decision))
        }
    }
}

fn step_cell(case: &Case, status: StepStatus) -> String {
    let mut world = World::new(case.flow(ProtocolStatus::Running, status));
    match world.send(&case.signal) {
        Err(Refused::NoStepReady) => "404".to_owned(),
        Err(_) => "409".to_owned(),
        Ok(decision) => {
            let step = world.steps()[0];
            let run = Some(world.run()).filter(|run| *run != ProtocolStatus::Running);
            let run = run.map(|run| format!(", run {run}")).unwrap_or_default();
            let to = if step != status || !decision.enqueue.is_empty() || !run.is_empty() {
                step.to_string()
            } else {
                without_effect(&decision).to_owned()
            };
            format!("{to}{run}{}", jobs(&decision))
        }
    }
}

fn words<S: Copy + std::fmt::Display + PartialEq>(list: &[S], all: &[S]) -> String {
    if list.len() == all.len() {
        return "any".to_owned();
    }
    list.iter().map(S::to_string).collect::<Vec<_>>().join(", ")
}

fn computed<S: Copy + std::fmt::Display>(
    page: &mut String,
    all: &[S],
    cases: &[Case],
    cell: impl Fn(&Case, S) -> String,
) {
    let titles: Vec<_> = all.iter().map(S::to_string).collect();
    writeln!(page, "| Signal | {} |\n|---|{}", titles.join(" | "), "---|".repeat(all.len())).unwrap();
    for case in cases {
        let cells: Vec<_> = all.iter().map(|status| cell(case, *status)).collect();
        writeln!(page, "| {} | {} |", case.label, cells.join(" | ")).unwrap();
    }
}

const INTRODUCTION: &str = "\
# Lifecycle

Written by a test from the tables of `tg-core` and from `decide` itself; do not edit by hand.
`TASKSGODZILLA_BLESS=1 cargo test -p tg-core lifecycle_page` writes it anew.

A job, a person, a forge or a timer sends a signal; `decide` says what follows; nothing else moves a
status. A person's action that is not legal is refused (409, both sides named, nothing written). A
fact that comes too late or twice is recorded with `late_result` and changes nothing.

## Rules that hold across the tables

- **Terminal is final.** Nothing leaves completed, cancelled or failed.
- **One worktree, one agent.** While a step is running or has a live job, no other is queued: a
  person is refused, a trigger's target waits (`trigger_pending`), the walk does nothing.
- **Paused** runs keep results: the step moves, the run's part is applied to the status it returns
  to, the next job is withheld. Queued jobs stay queued (the queue holds them), agents at work
  finish. Resume walks on from the statuses. Merge and cancel act at once.
- **Blocked** runs do not walk on. A blocked run leaves that status when a person queues a step,
  when the step that blocked it is settled, or when the fact it waits for arrives.
- **Complete** means: at least one step, every step completed or cancelled, no PR/MR open, not
  paused, and no push still to be done. While a push job is live the run stays running; when the push
  failed for good it is blocked for `push_failed`, whatever its steps say, until a push succeeds. Who
  runs a step of such a run has the push tried again too.
- **Walking on** queues at most one job: QA of a step in needs_qa (`auto_advance` or auto QA after
  execution), else a triggered step that waits, else, with `auto_advance`, the lowest step that is
  not settled if it is pending; a blocked or failed one stops the walk. A planning run without a live
  plan job gets one. Doing it twice changes nothing, so the scheduler may ask at any time.
- **A job that a person cancels** is not tried again by itself: its step rests blocked for `job_lost`
  (a plan blocks the run for it, a push for `push_failed`), and running or retrying is legal at once.
- **Failures** try loops first, then triggers; only when neither applies is the run blocked. Gates,
  absent engines, QA that could not be carried out, broken specs and stuck steps say nothing about
  the work: no loop, no trigger.
";

fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n## Moves of a run\n\n| Move | Legal from | May lead to |\n|---|---|---|\n");
    for by in RunMove::ALL {
        let row = by.row();
        let (from, to) = (words(row.from, ProtocolStatus::ALL), words(row.to, ProtocolStatus::ALL));
        writeln!(page, "| {by} | {from} | {to} |").unwrap();
    }
    page.push_str("\n## Moves of a step\n\n| Move | Legal from | May lead to |\n|---|---|---|\n");
    for by in StepMove::ALL {
        let row = by.row();
        let (from, to) = (words(row.from, StepStatus::ALL), words(row.to, StepStatus::ALL));
        writeln!(page, "| {by} | {from} | {to} |").unwrap();
    }
    page.push_str(
        "\n## What a signal does to a run\n\n\
         Computed. The run has two steps, the second pending; a planning run has a live plan job. A word\n\
         is the status the run gets, with `+` the jobs that are queued; *slanted* is what a paused run\n\
         will return to (it was paused while running; plans and imports: while planning). `noted` an\n\
         event only, `late` an event with `late_result`, `·` nothing, 409 and 404 refused.\n\n",
    );
    computed(&mut page, ProtocolStatus::ALL, &about_the_run(), run_cell);
    page.push_str(
        "\n## What a signal does to a step\n\n\
         Computed for the first of two steps of a running run, by the status the step has.\n\n",
    );
    computed(&mut page, StepStatus::ALL, &about_a_step(), step_cell);
    page
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test reads the switch that rewrites the page")]
fn lifecycle_page_is_up_to_date() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/lifecycle.md");
    let page = page();
    if std::env::var("TASKSGODZILLA_BLESS").is_ok_and(|value| value == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        page == written,
        "docs/lifecycle.md is stale: run with TASKSGODZILLA_BLESS=1 and read what changed"
    );
}

#[test]
fn every_signal_has_a_line_on_the_page() {
    let mut shown: Vec<_> =
        about_the_run().iter().chain(&about_a_step()).map(|case| case.signal.name()).collect();
    shown.sort_unstable();
    shown.dedup();
    assert_eq!(shown.len(), 36, "{shown:?}");
}
