//! A run without a database: applies decisions to a flow the way the store does, and keeps the jobs.

use serde_json::{Map, Value};

use super::super::*;
use crate::{
    event::{Event, EventKind},
    ids::{JobId, ProjectId, RunId, StepId},
    job::ErrorCategory,
    protocol::PullRequestState,
    spec::Policy,
    status::{ProtocolStatus, ReasonCode, StatusReason},
    step::{QaPolicy, StepStatus, StepType},
};

/// A run in memory with everything that was decided about it.
#[derive(Debug, Clone)]
pub struct World {
    pub flow: Flow,
    /// Live jobs, oldest first.
    pub jobs: Vec<Job>,
    /// Every event, oldest first.
    pub events: Vec<Event>,
    /// Ids for steps that a plan brings.
    next_step: i64,
}

pub fn step(index: i64, status: StepStatus) -> StepFlow {
    StepFlow {
        id: StepId(100 + index),
        index,
        name: format!(
            "{index:02}-{}.md",
            ["setup", "build", "check", "ship"][usize::try_from(index).unwrap() % 4]
        ),
        spec_id: format!("s{index}"),
        step_type: StepType::Work,
        status,
        reason: None,
        qa: Some(QaPolicy::Full),
        policies: Vec::new(),
        retries: 0,
        runtime: RuntimeState::default(),
        live: None,
        has_run: false,
        head_sha: None,
    }
}

pub fn flow(status: ProtocolStatus, steps: &[StepStatus]) -> Flow {
    Flow {
        run: RunFlow {
            id: RunId(1),
            project_id: ProjectId(7),
            kind: RunKind::Protocol,
            status,
            reason: None,
            paused_from: None,
            auto_advance: false,
            auto_qa_after_exec: false,
            auto_qa_on_ci: false,
            max_loop_iterations: 3,
            pr_state: None,
            head_sha: None,
            live_plan: false,
            live_push: false,
        },
        steps: (0..).zip(steps).map(|(index, status)| step(index, *status)).collect(),
    }
}

pub fn id(index: i64) -> StepId {
    StepId(100 + index)
}

pub fn why(code: ReasonCode) -> StatusReason {
    StatusReason::new(code, format!("because of {code}"))
}

pub fn failure(category: ErrorCategory, reason: Option<ReasonCode>) -> Failure {
    Failure {
        reason,
        category,
        error_type: "tested".to_owned(),
        message: "it did not work; do it again".to_owned(),
        attempts: 3,
        job_id: Some(JobId("job-1".to_owned())),
        detail: Map::new(),
    }
}

pub fn executed(step: StepId, outcome: Executed) -> Signal {
    Signal::Executed {
        step,
        outcome,
        sha: Some(format!("sha-{step}")),
        detail: Map::new(),
        verdict: Map::new(),
        push_failed: None,
    }
}

pub fn judged(step: StepId, passed: bool) -> Signal {
    Signal::Judged { step, passed, detail: Map::new() }
}

pub fn planned(names: &[&str]) -> Signal {
    let steps = (0..)
        .zip(names)
        .map(|(index, name)| PlannedStep {
            index,
            name: (*name).to_owned(),
            step_type: StepType::Work,
            engine_id: None,
            model: None,
            summary: None,
            policy: None,
        })
        .collect();
    Signal::PlanReady { steps, detail: Map::new(), events: Vec::new() }
}

pub fn looping(module: &str) -> Policy {
    Policy { module_id: module.to_owned(), behavior: "loop".to_owned(), ..Policy::default() }
}

pub fn trigger(module: &str, target: &str) -> Policy {
    Policy {
        module_id: module.to_owned(),
        behavior: "trigger".to_owned(),
        trigger_agent_id: Some(target.to_owned()),
        ..Policy::default()
    }
}

/// The job that answers with this signal, if one does.
#[expect(clippy::wildcard_enum_match_arm, reason = "a new signal of a job is noticed by the walks")]
pub fn job_of(signal: &Signal) -> Option<Job> {
    match signal {
        Signal::Executed { step, .. } | Signal::SpecInvalid { step, .. } => {
            Some(Job::ExecuteStep { step_run_id: *step })
        }
        Signal::Judged { step, .. } => Some(Job::CheckQuality { step_run_id: *step }),
        Signal::PlanReady { .. } | Signal::PlanBlocked { .. } => {
            Some(Job::PlanProtocol { protocol_run_id: RunId(1) })
        }
        Signal::PushDone { .. } => Some(Job::OpenPullRequest { protocol_run_id: RunId(1) }),
        Signal::GaveUp { job, .. } => Some(job.clone()),
        _ => None,
    }
}

impl World {
    pub fn new(flow: Flow) -> Self {
        let mut jobs = Vec::new();
        for step in &flow.steps {
            match step.live {
                Some(LiveJob::Execute) => jobs.push(Job::ExecuteStep { step_run_id: step.id }),
                Some(LiveJob::Quality) => jobs.push(Job::CheckQuality { step_run_id: step.id }),
                None => {}
            }
        }
        let protocol_run_id = flow.run.id;
        if flow.run.live_plan {
            jobs.push(Job::PlanProtocol { protocol_run_id });
        }
        if flow.run.live_push {
            jobs.push(Job::OpenPullRequest { protocol_run_id });
        }
        Self { flow, jobs, events: Vec::new(), next_step: 200 }
    }

    /// A run of these steps, all pending, walking by itself if asked.
    pub fn of(steps: usize, auto_advance: bool) -> Self {
        let mut flow = flow(ProtocolStatus::Planned, &vec![StepStatus::Pending; steps]);
        flow.run.auto_advance = auto_advance;
        Self::new(flow)
    }

    fn read_jobs(&mut self) {
        let has = |job: &Job| self.jobs.contains(job);
        let protocol_run_id = self.flow.run.id;
        self.flow.run.live_plan = has(&Job::PlanProtocol { protocol_run_id });
        self.flow.run.live_push = has(&Job::OpenPullRequest { protocol_run_id });
        for step in &mut self.flow.steps {
            step.live = if self.jobs.contains(&Job::ExecuteStep { step_run_id: step.id }) {
                Some(LiveJob::Execute)
            } else if self.jobs.contains(&Job::CheckQuality { step_run_id: step.id }) {
                Some(LiveJob::Quality)
            } else {
                None
            };
        }
    }

    /// Sends a signal and what it asks to be sent after it, as one transaction.
    pub fn send(&mut self, signal: &Signal) -> Result<Decision, Refused> {
        let mut after = self.clone();
        if let Signal::StepBlocked { step, .. } = signal {
            let (execute, quality) =
                (Job::ExecuteStep { step_run_id: *step }, Job::CheckQuality { step_run_id: *step });
            after.jobs.retain(|live| *live != execute && *live != quality);
        }
        if let Some(job) = job_of(signal) {
            after.jobs.retain(|live| *live != job);
        }
        after.read_jobs();
        let mut decision = decide(&after.flow, signal)?;
        after.apply(&decision);
        while let Some(then) = decision.then.take() {
            let mut next = decide(&after.flow, &then)?;
            after.apply(&next);
            decision.events.append(&mut next.events);
            decision.enqueue.append(&mut next.enqueue);
            decision.then = next.then;
        }
        *self = after;
        Ok(decision)
    }

    /// Sends a signal that must be accepted.
    pub fn ok(&mut self, signal: &Signal) -> Decision {
        self.send(signal).unwrap_or_else(|refused| panic!("{} refused: {refused}", signal.name()))
    }

    fn apply(&mut self, decision: &Decision) {
        if let Some(change) = &decision.run {
            let run = &mut self.flow.run;
            assert_eq!(run.status, change.from, "compare-and-set of the run");
            run.status = change.to;
            run.reason = change.reason.clone();
            run.paused_from = change.paused_from;
            run.pr_state = change.pr_state;
        }
        for change in &decision.steps {
            let step = self.flow.steps.iter_mut().find(|step| step.id == change.id).unwrap();
            assert_eq!(step.status, change.from, "compare-and-set of a step");
            step.status = change.to;
            step.reason = change.reason.clone();
            step.retries = change.retries;
            step.runtime = change.runtime.clone();
            if let Some(sha) = &change.head_sha {
                step.head_sha = Some(sha.clone());
                step.has_run = true;
                self.flow.run.head_sha = Some(sha.clone());
            }
        }
        if let Some(steps) = &decision.sync {
            self.flow.steps.retain(|step| step.has_run);
            for planned in steps {
                let id = StepId(self.next_step);
                self.next_step += 1;
                let spec_id = planned.name.trim_end_matches(".md").to_owned();
                let base = step(planned.index, StepStatus::Pending);
                self.flow.steps.push(StepFlow { id, name: planned.name.clone(), spec_id, ..base });
            }
        }
        self.jobs.retain(|job| !decision.cancel.contains(job));
        for queued in &decision.enqueue {
            assert!(!self.jobs.contains(&queued.job), "{:?} is queued twice", queued.job);
            self.jobs.push(queued.job.clone());
        }
        self.events.extend(decision.events.clone());
        self.read_jobs();
    }

    pub fn run(&self) -> ProtocolStatus {
        self.flow.run.status
    }

    pub fn reason(&self) -> Option<ReasonCode> {
        self.flow.run.reason.as_ref().map(|reason| reason.code)
    }

    pub fn steps(&self) -> Vec<StepStatus> {
        self.flow.steps.iter().map(|step| step.status).collect()
    }

    /// Work that a worker may claim now: none while the run is paused.
    pub fn due(&self) -> Vec<&'static str> {
        let held = self.run() == ProtocolStatus::Paused;
        self.jobs.iter().filter(|_| !held).map(Job::kind).collect()
    }

    /// Kinds of all events since the last call.
    pub fn told(&mut self) -> Vec<EventKind> {
        self.events.drain(..).map(|event| event.kind).collect()
    }

    pub fn pr(mut self, state: PullRequestState) -> Self {
        self.flow.run.pr_state = Some(state);
        self
    }
}

/// Status changes of a decision, read back from its events.
pub fn transitions(decision: &Decision) -> Vec<(String, i64, String, String)> {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
    decision
        .events
        .iter()
        .filter_map(|event| event.metadata.get("transitions"))
        .flat_map(|list| list.as_array().unwrap().clone())
        .map(|it| (text(&it, "entity"), it["id"].as_i64().unwrap(), text(&it, "from"), text(&it, "to")))
        .collect()
}
