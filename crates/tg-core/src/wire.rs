//! JSON bodies of the HTTP API, shared by server, CLI and TUI.
//! Shapes only: no secrets, no server paths, nothing that reads a database.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    job::Job as Work,
    project::{ForgeKind, ModelDefaults, Project},
    protocol::{CallStatus, ProtocolRun, PullRequestState, StepRun},
    status::{ProtocolStatus, StatusReason},
    step::{StepStatus, StepType},
};

mod access;
mod event;
pub mod example;
mod meta;
mod plan;
mod problem;
mod project;
mod protocol;
mod ready;
mod registry;
mod review;
#[cfg(test)]
mod tests;
mod time;

pub use access::{MeOut, NewSession, NewToken, ProjectTokenOut, SessionOut, TokenOut, TokenScope};
pub use event::ChainCheck;
pub use meta::{EngineOut, Version};
pub use plan::{ExecutionPlanOut, GateWord, PlannedGate, PlannedOutputs, PlannedQa};
pub use problem::{FieldError, Problem};
pub use project::{Confirm, NewProject, NewSecrets, ProjectChange, SecretSet, SecretText, SecretValue};
pub use protocol::{
    FirstStatus, FirstStepStatus, NewProtocol, NewStep, Note, ProtocolChange, Reason, StepEdit,
};
pub use ready::{
    DatabaseCheck, DiskCheck, EngineCheck, Health, QueueCheck, Readiness, Ready, ReadyChecks, RedisCheck,
};
pub use registry::{Ending, FinishRun, LogTail, NextOffset, QueueCounts, QueueStats, StartRun};
pub use review::{
    ChangedFile, CommentChoice, FileStatus, GitStatusOut, NewReviewComment, ReviewCommentChange,
    ReviewCommentOut,
};
pub use time::{CivilTime, civil, timestamp};

/// A project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(examples(example::project))]
pub struct ProjectOut {
    /// Identity.
    pub id: i64,
    /// Shown name.
    pub name: String,
    /// Organisation.
    pub org: Option<String>,
    /// Free words.
    pub tags: Vec<String>,
    /// Where the repository comes from.
    pub git_url: String,
    /// The repository on this machine.
    pub local_path: Option<String>,
    /// Branch that runs start from.
    pub base_branch: String,
    /// `github` or `gitlab`.
    pub ci_provider: Option<ForgeKind>,
    /// Picks a policy pack.
    pub project_classification: Option<String>,
    /// Model preferences.
    pub default_models: Option<ModelDefaults>,
    /// Names of the stored secrets.
    pub secrets_set: Vec<String>,
    /// Policy pack.
    pub policy_pack_key: Option<String>,
    /// Its version.
    pub policy_pack_version: Option<String>,
    /// Changes to the pack.
    pub policy_overrides: Option<Value>,
    /// The repository may add to its policy.
    pub policy_repo_local_enabled: bool,
    /// Fingerprint of the policy in force.
    pub policy_effective_hash: Option<String>,
    /// `warn` or `block`.
    pub policy_enforcement_mode: String,
    /// Checks that must be green.
    pub ci_required_checks: Option<Vec<String>>,
    /// What happens by itself.
    pub automation: Option<Automation>,
    /// Limits.
    pub budget: Option<Value>,
    /// Seconds between spec audits.
    pub spec_audit_interval_seconds: Option<i64>,
    /// Webhooks without signature are taken.
    pub allow_unsigned_webhooks: bool,
    /// RFC 3339.
    pub archived_at: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

/// What a project does by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Automation {
    /// A red CI gets a repair run.
    pub auto_fix_ci: bool,
    /// A new PR/MR gets a review run.
    pub auto_review_on_pr: bool,
}

impl From<&Project> for ProjectOut {
    fn from(project: &Project) -> Self {
        let models = &project.default_models;
        Self {
            id: project.id.0,
            name: project.name.clone(),
            org: None,
            tags: Vec::new(),
            git_url: project.git_url.clone(),
            local_path: project.local_path.clone(),
            base_branch: project.base_branch.clone(),
            ci_provider: project.ci_provider,
            project_classification: None,
            default_models: (*models != ModelDefaults::default()).then(|| models.clone()),
            secrets_set: project.secrets_set.clone(),
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
            archived_at: project.archived_at.map(timestamp),
            created_at: timestamp(project.created_at),
            updated_at: timestamp(project.updated_at),
        }
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(examples(example::running))]
pub struct ProtocolRunOut {
    /// Identity.
    pub id: i64,
    /// Owner.
    pub project_id: i64,
    /// Name = branch = directory.
    pub protocol_name: String,
    /// Where it stands.
    pub status: ProtocolStatus,
    /// Why it rests there.
    pub status_reason: Option<StatusReason>,
    /// Where a pause returns to.
    pub paused_from: Option<ProtocolStatus>,
    /// A pass queues the next step.
    pub auto_advance: bool,
    /// Engine asked for by name.
    pub engine: Option<String>,
    /// Branch it starts from.
    pub base_branch: String,
    /// Worktree, once made.
    pub worktree_path: Option<String>,
    /// Protocol folder below the worktree.
    pub protocol_root: Option<String>,
    /// The task.
    pub description: Option<String>,
    /// Holds the spec.
    pub template_config: Option<Value>,
    /// The raw template.
    pub template_source: Option<Value>,
    /// Fingerprint of the spec.
    pub spec_hash: Option<String>,
    /// `valid`, `invalid` or `missing`.
    pub spec_validation_status: Option<String>,
    /// RFC 3339.
    pub spec_validated_at: Option<String>,
    /// Policy pack in force.
    pub policy_pack_key: Option<String>,
    /// Its version.
    pub policy_pack_version: Option<String>,
    /// Fingerprint of the policy in force.
    pub policy_effective_hash: Option<String>,
    /// PR/MR number.
    pub pr_number: Option<i64>,
    /// PR/MR address.
    pub pr_url: Option<String>,
    /// PR/MR state.
    pub pr_state: Option<PullRequestState>,
    /// Newest commit of ours.
    pub head_sha: Option<String>,
    /// Run that spawned this one.
    pub parent_run_id: Option<i64>,
    /// Sandbox in force (addition).
    pub confinement: Option<String>,
    /// The run works without a sandbox, by request (addition).
    pub sandbox_off: bool,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

impl From<&ProtocolRun> for ProtocolRunOut {
    fn from(run: &ProtocolRun) -> Self {
        let meta = run.template_config.as_ref().and_then(|config| config.get("spec_meta"));
        let text = |key: &str| Some(meta?.get(key)?.as_str()?.to_owned());
        Self {
            id: run.id.0,
            project_id: run.project_id.0,
            protocol_name: run.protocol_name.clone(),
            status: run.status,
            status_reason: run.status_reason.clone(),
            paused_from: run.paused_from,
            auto_advance: run.auto_advance,
            engine: run.engine.clone(),
            base_branch: run.base_branch.clone(),
            worktree_path: run.worktree_path.clone(),
            protocol_root: run.protocol_root.clone(),
            description: run.description.clone(),
            template_config: run.template_config.clone(),
            template_source: None,
            spec_hash: run.spec_hash.clone(),
            spec_validation_status: text("status"),
            spec_validated_at: text("validated_at"),
            policy_pack_key: None,
            policy_pack_version: None,
            policy_effective_hash: None,
            pr_number: run.pr_number,
            pr_url: run.pr_url.clone(),
            pr_state: run.pr_state,
            head_sha: run.head_sha.clone(),
            parent_run_id: None,
            confinement: run.confinement.map(|word| word.as_str().to_owned()),
            sandbox_off: run.sandbox_off,
            created_at: timestamp(run.created_at),
            updated_at: timestamp(run.updated_at),
        }
    }
}

/// A step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(examples(example::executed))]
pub struct StepRunOut {
    /// Identity.
    pub id: i64,
    /// Owner.
    pub protocol_run_id: i64,
    /// Position from 0.
    pub step_index: i64,
    /// File name of the step.
    pub step_name: String,
    /// What it is for.
    pub step_type: StepType,
    /// Where it stands.
    pub status: StepStatus,
    /// Why it rests there.
    pub status_reason: Option<StatusReason>,
    /// Model.
    pub model: Option<String>,
    /// What it does, in a line.
    pub summary: Option<String>,
    /// Engine.
    pub engine_id: Option<String>,
    /// Loop and trigger entries: an object or a list.
    pub policy: Option<Value>,
    /// How often it was retried.
    pub retries: i64,
    /// Counters.
    pub runtime_state: Option<Value>,
    /// Commit that holds its work.
    pub head_sha: Option<String>,
    /// RFC 3339.
    pub started_at: Option<String>,
    /// RFC 3339.
    pub finished_at: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

impl From<&StepRun> for StepRunOut {
    fn from(step: &StepRun) -> Self {
        Self {
            id: step.id.0,
            protocol_run_id: step.protocol_run_id.0,
            step_index: step.step_index,
            step_name: step.step_name.clone(),
            step_type: step.step_type,
            status: step.status,
            status_reason: step.status_reason.clone(),
            model: step.model.clone(),
            summary: step.summary.clone(),
            engine_id: step.engine_id.clone(),
            policy: step.policy.clone(),
            retries: step.retries,
            runtime_state: serde_json::to_value(&step.runtime_state).ok(),
            head_sha: step.head_sha.clone(),
            started_at: step.started_at.map(timestamp),
            finished_at: step.finished_at.map(timestamp),
            created_at: timestamp(step.created_at),
            updated_at: timestamp(step.updated_at),
        }
    }
}

/// An event as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(examples(example::event))]
pub struct EventOut {
    /// Identity.
    pub id: i64,
    /// Position among all events.
    pub seq: i64,
    /// Position in the project's chain.
    pub project_seq: i64,
    /// Run.
    pub protocol_run_id: Option<i64>,
    /// Step.
    pub step_run_id: Option<i64>,
    /// Wire kind; text, so that a newer server's kinds can still be shown.
    pub event_type: String,
    /// Sentence.
    pub message: String,
    /// Facts.
    pub metadata: Option<Value>,
    /// Who caused it.
    pub actor: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// Link of the chain.
    pub hash: String,
    /// Name of the run.
    pub protocol_name: Option<String>,
    /// Project.
    pub project_id: Option<i64>,
    /// Name of the project.
    pub project_name: Option<String>,
}

/// A call run: one attempt of one job or call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(examples(example::succeeded))]
pub struct CodexRunOut {
    /// Identity.
    pub run_id: String,
    /// Job it belongs to.
    pub job_id: Option<String>,
    /// Wire kind of the job.
    pub job_type: String,
    /// Kind of call.
    pub run_kind: Option<String>,
    /// Where it stands.
    pub status: CallStatus,
    /// Project.
    pub project_id: Option<i64>,
    /// Run.
    pub protocol_run_id: Option<i64>,
    /// Step.
    pub step_run_id: Option<i64>,
    /// Queue.
    pub queue: Option<String>,
    /// Attempt, from 1.
    pub attempt: Option<i64>,
    /// Worker that did it.
    pub worker_id: Option<String>,
    /// Fingerprint of the assembled prompt.
    pub prompt_version: Option<String>,
    /// What it was asked.
    pub params: Option<Value>,
    /// What came out.
    pub result: Option<Value>,
    /// What went wrong.
    pub error: Option<String>,
    /// A log can be read.
    pub has_log: bool,
    /// Tokens used.
    pub cost_tokens: Option<i64>,
    /// Cost in cents.
    pub cost_cents: Option<i64>,
    /// RFC 3339.
    pub started_at: Option<String>,
    /// RFC 3339.
    pub finished_at: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub updated_at: String,
}

/// A file that a call produced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({
    "id": 1, "run_id": "019c1a2b-4d5e-7f6a-9b8c-1d2e3f4a5b6c", "name": "00-greeting.md", "kind": "report",
    "path": ".protocols/0001-greeting/outputs/00-greeting.md", "bytes": 512,
    "sha256": "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
    "created_at": "2026-01-31T08:05:00.000Z"
})))]
pub struct RunArtifactOut {
    /// Identity.
    pub id: i64,
    /// Call.
    pub run_id: String,
    /// Name, unique in the call.
    pub name: String,
    /// What it is.
    pub kind: String,
    /// Relative path.
    pub path: String,
    /// Hash of the content.
    pub sha256: Option<String>,
    /// Size.
    pub bytes: Option<i64>,
    /// RFC 3339.
    pub created_at: String,
}

/// A unit of queued work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(examples(example::queued))]
pub struct Job {
    /// Identity.
    pub job_id: String,
    /// Wire kind.
    pub job_type: String,
    /// Subject; holds `job_id` too.
    pub payload: Value,
    /// `queued`, `scheduled`, `started`, `finished`, `failed` or `cancelled`.
    pub status: String,
    /// Queue.
    pub queue: String,
    /// Rank: higher goes first.
    pub priority: i64,
    /// Project.
    pub project_id: Option<i64>,
    /// Attempts made.
    pub attempts: i64,
    /// Attempts allowed.
    pub max_attempts: i64,
    /// RFC 3339.
    pub next_run_at: Option<String>,
    /// RFC 3339.
    pub created_at: String,
    /// RFC 3339.
    pub started_at: Option<String>,
    /// RFC 3339.
    pub ended_at: Option<String>,
    /// What came out.
    pub result: Option<Value>,
    /// What went wrong.
    pub error: Option<String>,
    /// Further facts.
    pub meta: Option<Value>,
}

impl Job {
    /// Wire payload of queued work: its subject and its id, without the tag.
    pub fn payload(work: &Work, job_id: &str) -> Value {
        let mut payload = match serde_json::to_value(work) {
            Ok(Value::Object(fields)) => fields,
            Ok(_) | Err(_) => Map::new(),
        };
        payload.remove("job_type");
        payload.insert("job_id".to_owned(), Value::String(job_id.to_owned()));
        Value::Object(payload)
    }
}

/// Answer to an action.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActionResponse {
    /// What was done.
    pub message: String,
    /// The job that will do the rest.
    pub job: Option<Job>,
}
