//! What the API's document shows of the larger answers: one small story of a project, its run and a
//! step. Values of the wire types themselves, so a field that is added is added here too. Nothing else
//! may use them.

use serde_json::json;

use super::{
    ActionResponse, CodexRunOut, EventOut, Job, ProjectOut, ProtocolRunOut, StepRunOut, TokenOut, TokenScope,
};
use crate::{
    event::{Event, EventKind},
    ids::{RunId, StepId},
    job::{Job as Work, JobStatus},
    lifecycle::Source,
    project::ForgeKind,
    protocol::{CallStatus, Confinement},
    status::ProtocolStatus,
    step::{StepStatus, StepType},
};

const JOB: &str = "019c1a2b-3c4d-7e5f-8a9b-0c1d2e3f4a5b";
const CALL: &str = "019c1a2b-4d5e-7f6a-9b8c-1d2e3f4a5b6c";
const SHA: &str = "3f786850e387550fdab836ed7e6dc881de23001b";
const CREATED: &str = "2026-01-31T08:00:00.000Z";
const UPDATED: &str = "2026-01-31T08:05:00.000Z";
const STEP: &str = "00-greeting.md";

/// A project.
pub fn project() -> ProjectOut {
    ProjectOut {
        id: 1,
        name: "hello".to_owned(),
        org: None,
        tags: Vec::new(),
        git_url: "https://github.com/octocat/Hello-World.git".to_owned(),
        local_path: None,
        base_branch: "main".to_owned(),
        ci_provider: Some(ForgeKind::Github),
        project_classification: None,
        default_models: None,
        secrets_set: vec!["github_token".to_owned()],
        policy_pack_key: None,
        policy_pack_version: None,
        policy_overrides: None,
        policy_repo_local_enabled: false,
        policy_effective_hash: None,
        policy_enforcement_mode: "warn".to_owned(),
        ci_required_checks: None,
        automation: None,
        budget: None,
        spec_audit_interval_seconds: None,
        allow_unsigned_webhooks: false,
        archived_at: None,
        created_at: CREATED.to_owned(),
        updated_at: CREATED.to_owned(),
    }
}

/// A run in this status.
pub fn run(status: ProtocolStatus) -> ProtocolRunOut {
    let is_new = status == ProtocolStatus::Pending;
    ProtocolRunOut {
        id: 1,
        project_id: 1,
        protocol_name: "0001-greeting".to_owned(),
        status,
        status_reason: None,
        paused_from: (status == ProtocolStatus::Paused).then_some(ProtocolStatus::Running),
        auto_advance: true,
        engine: Some("codex".to_owned()),
        base_branch: "main".to_owned(),
        worktree_path: None,
        protocol_root: (!is_new).then(|| ".protocols/0001-greeting".to_owned()),
        description: Some("Greet the reader in their language.".to_owned()),
        template_config: None,
        template_source: None,
        spec_hash: None,
        spec_validation_status: None,
        spec_validated_at: None,
        policy_pack_key: None,
        policy_pack_version: None,
        policy_effective_hash: None,
        pr_number: None,
        pr_url: None,
        pr_state: None,
        head_sha: (!is_new).then(|| SHA.to_owned()),
        parent_run_id: None,
        confinement: (!is_new).then(|| Confinement::Bwrap.as_str().to_owned()),
        sandbox_off: false,
        created_at: CREATED.to_owned(),
        updated_at: (if is_new { CREATED } else { UPDATED }).to_owned(),
    }
}

/// A run at work.
pub fn running() -> ProtocolRunOut {
    run(ProtocolStatus::Running)
}

/// A step in this status.
pub fn step(status: StepStatus) -> StepRunOut {
    let is_new = status == StepStatus::Pending;
    StepRunOut {
        id: 1,
        protocol_run_id: 1,
        step_index: 0,
        step_name: STEP.to_owned(),
        step_type: StepType::Work,
        status,
        status_reason: None,
        model: None,
        summary: Some("Choose the greeting by language.".to_owned()),
        engine_id: None,
        policy: None,
        retries: 0,
        runtime_state: Some(json!({ "inline_trigger_depth": 0 })),
        head_sha: (!is_new).then(|| SHA.to_owned()),
        started_at: (!is_new).then(|| CREATED.to_owned()),
        finished_at: (status == StepStatus::Completed).then(|| UPDATED.to_owned()),
        created_at: CREATED.to_owned(),
        updated_at: (if is_new { CREATED } else { UPDATED }).to_owned(),
    }
}

/// A step that waits for its verdict.
pub fn executed() -> StepRunOut {
    step(StepStatus::NeedsQa)
}

/// An event of the step.
pub fn event() -> EventOut {
    let told = Event::step(EventKind::StepEnqueued, StepId(1))
        .with("step_name", STEP)
        .with("source", Source::Api.as_str())
        .with("job_id", JOB);
    EventOut {
        id: 1041,
        seq: 1041,
        project_seq: 12,
        protocol_run_id: Some(1),
        step_run_id: Some(1),
        event_type: told.kind.as_str().to_owned(),
        message: told.sentence(),
        metadata: Some(told.metadata.into()),
        actor: Some("admin".to_owned()),
        created_at: CREATED.to_owned(),
        hash: "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae".to_owned(),
        protocol_name: Some("0001-greeting".to_owned()),
        project_id: Some(1),
        project_name: Some("hello".to_owned()),
    }
}

/// A call run of the step in this status.
pub fn call(status: CallStatus) -> CodexRunOut {
    let is_over = !matches!(status, CallStatus::Queued | CallStatus::Running);
    CodexRunOut {
        run_id: CALL.to_owned(),
        job_id: Some(JOB.to_owned()),
        job_type: step_work().kind().to_owned(),
        run_kind: Some("exec".to_owned()),
        status,
        project_id: Some(1),
        protocol_run_id: Some(1),
        step_run_id: Some(1),
        queue: Some("default".to_owned()),
        attempt: Some(1),
        worker_id: Some("worker-1".to_owned()),
        prompt_version: None,
        params: None,
        result: None,
        error: None,
        has_log: true,
        cost_tokens: is_over.then_some(18_250),
        cost_cents: None,
        started_at: Some(CREATED.to_owned()),
        finished_at: is_over.then(|| UPDATED.to_owned()),
        created_at: CREATED.to_owned(),
        updated_at: UPDATED.to_owned(),
    }
}

/// A call run that ended well.
pub fn succeeded() -> CodexRunOut {
    call(CallStatus::Succeeded)
}

/// A run that was registered from outside, in this status.
pub fn outside(status: CallStatus) -> CodexRunOut {
    CodexRunOut {
        run_id: "nightly-42".to_owned(),
        job_id: None,
        job_type: "nightly".to_owned(),
        run_kind: None,
        protocol_run_id: None,
        step_run_id: None,
        attempt: None,
        worker_id: Some("ci-runner-3".to_owned()),
        ..call(status)
    }
}

/// A job for this work in this status.
pub fn job(work: &Work, status: JobStatus) -> Job {
    let waits = matches!(status, JobStatus::Queued | JobStatus::Scheduled);
    Job {
        job_id: JOB.to_owned(),
        job_type: work.kind().to_owned(),
        payload: Job::payload(work, JOB),
        status: status.as_str().to_owned(),
        queue: "default".to_owned(),
        priority: 10,
        project_id: Some(1),
        attempts: 0,
        max_attempts: 3,
        next_run_at: waits.then(|| CREATED.to_owned()),
        created_at: CREATED.to_owned(),
        started_at: None,
        ended_at: (!waits).then(|| UPDATED.to_owned()),
        result: None,
        error: None,
        meta: Some(json!({ "request_id": "019c1a2b-2b3c-7d4e-8f5a-6b7c8d9e0f1a", "worker": null })),
    }
}

/// A job of the step that waits for a worker.
pub fn queued() -> Job {
    job(&step_work(), JobStatus::Queued)
}

/// A job of the step that was stopped.
pub fn cancelled() -> Job {
    job(&step_work(), JobStatus::Cancelled)
}

/// What an action says that queued this work.
pub fn said(kind: EventKind, work: &Work) -> ActionResponse {
    let told = match work {
        Work::PlanProtocol { .. } | Work::Maintenance => Event::run(kind),
        Work::OpenPullRequest { .. } => Event::run(kind).with("branch", "0001-greeting"),
        Work::ExecuteStep { step_run_id } | Work::CheckQuality { step_run_id } => {
            Event::step(kind, *step_run_id).with("step_name", STEP)
        }
    };
    ActionResponse { message: told.sentence(), job: Some(job(work, JobStatus::Queued)) }
}

/// Work on the run: its planning.
pub const fn plan_work() -> Work {
    Work::PlanProtocol { protocol_run_id: RunId(1) }
}

/// Work on the step.
pub const fn step_work() -> Work {
    Work::ExecuteStep { step_run_id: StepId(1) }
}

/// A token as the lists show it.
pub fn token() -> TokenOut {
    TokenOut {
        id: 3,
        name: "ci".to_owned(),
        scope: TokenScope::Project,
        project_id: Some(1),
        project_token: false,
        prefix: "tgz_0a1b2c3d".to_owned(),
        created_at: CREATED.to_owned(),
        expires_at: Some("2099-01-31T00:00:00.000Z".to_owned()),
        last_used_at: None,
        token: None,
    }
}

/// A token in the one answer that holds its text.
pub fn fresh_token() -> TokenOut {
    TokenOut { token: Some(format!("tgz_{}", "0a1b2c3d".repeat(8))), ..token() }
}
