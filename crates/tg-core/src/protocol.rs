//! A protocol run and its steps as stored. Plain data, no rules.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ids::{ProjectId, RunId, StepId},
    lifecycle::{RunKind, RuntimeState},
    project::ModelDefaults,
    status::{ProtocolStatus, StatusReason, words},
    step::{StepStatus, StepType},
};

words! {
    /// State of the PR/MR of a run.
    PullRequestState {
        /// Open: the run waits for its merge.
        Open = "open",
        /// Merged.
        Merged = "merged",
        /// Closed without a merge.
        Closed = "closed",
    }
}

words! {
    /// Which confinement was in force for the engines of a run.
    Confinement {
        /// Outer bubblewrap sandbox.
        Bwrap = "bwrap",
        /// Switched off on request; shown wherever the run is shown.
        Off = "off",
    }
}

/// One task carried from plan to merge.
#[derive(Debug, Clone, PartialEq)]
pub struct ProtocolRun {
    /// Identity.
    pub id: RunId,
    /// Owner.
    pub project_id: ProjectId,
    /// Name = branch = directory, unique in the project.
    pub protocol_name: String,
    /// Carries a task, or sets its project up.
    pub kind: RunKind,
    /// Where it stands; written by `flow::advance` only.
    pub status: ProtocolStatus,
    /// Why it rests there.
    pub status_reason: Option<StatusReason>,
    /// Where a pause returns to.
    pub paused_from: Option<ProtocolStatus>,
    /// A pass queues the next ready step.
    pub auto_advance: bool,
    /// Engine asked for by name for the whole run.
    pub engine: Option<String>,
    /// Models asked for by name for this run (flags `--model`, `--planning-model` …); they win over
    /// the project's.
    pub models: ModelDefaults,
    /// Branch the run starts from.
    pub base_branch: String,
    /// Commit the branch was cut from; set when the worktree is made.
    pub base_sha: Option<String>,
    /// Absolute path of the worktree, once made.
    pub worktree_path: Option<String>,
    /// Path of the protocol folder below the worktree.
    pub protocol_root: Option<String>,
    /// The task, as the person said it.
    pub description: Option<String>,
    /// Holds `protocol_spec` and `spec_meta`.
    pub template_config: Option<Value>,
    /// Fingerprint of the spec.
    pub spec_hash: Option<String>,
    /// Sandbox in force, recorded before the first engine call.
    pub confinement: Option<Confinement>,
    /// `off` was asked for by name.
    pub sandbox_off: bool,
    /// PR/MR number.
    pub pr_number: Option<i64>,
    /// PR/MR address.
    pub pr_url: Option<String>,
    /// PR/MR state.
    pub pr_state: Option<PullRequestState>,
    /// Newest commit we made on the branch.
    pub head_sha: Option<String>,
    /// Newest commit known to be on the remote.
    pub pushed_sha: Option<String>,
    /// Milliseconds since the epoch, UTC; an archived run is not listed and refuses work.
    pub archived_at: Option<i64>,
    /// Milliseconds since the epoch, UTC.
    pub created_at: i64,
    /// Milliseconds since the epoch, UTC.
    pub updated_at: i64,
}

/// One step of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct StepRun {
    /// Identity.
    pub id: StepId,
    /// Owner.
    pub protocol_run_id: RunId,
    /// Position from 0, unique in the run.
    pub step_index: i64,
    /// File name of the step, e.g. `01-implement.md`; unique in the run.
    pub step_name: String,
    /// What it is for.
    pub step_type: StepType,
    /// Where it stands; written by `flow::advance` only.
    pub status: StepStatus,
    /// Why it rests there.
    pub status_reason: Option<StatusReason>,
    /// Model of this step.
    pub model: Option<String>,
    /// What it does, in a line.
    pub summary: Option<String>,
    /// Engine of this step.
    pub engine_id: Option<String>,
    /// Loop and trigger entries.
    pub policy: Option<Value>,
    /// How often it was retried.
    pub retries: i64,
    /// Loop counts, trigger depth, usage.
    pub runtime_state: RuntimeState,
    /// Commit the worktree was at when the step began.
    pub start_sha: Option<String>,
    /// Commit that holds the step's work.
    pub head_sha: Option<String>,
    /// Milliseconds since the epoch, UTC.
    pub started_at: Option<i64>,
    /// Milliseconds since the epoch, UTC; set exactly when completed, failed or cancelled.
    pub finished_at: Option<i64>,
    /// Milliseconds since the epoch, UTC.
    pub created_at: i64,
    /// Milliseconds since the epoch, UTC.
    pub updated_at: i64,
}

words! {
    /// Where one call (one attempt of a job) stands.
    CallStatus {
        /// Known, not begun.
        Queued = "queued",
        /// At work.
        Running = "running",
        /// Ended well.
        Succeeded = "succeeded",
        /// Ended badly.
        Failed = "failed",
        /// Stopped on request.
        Cancelled = "cancelled",
    }
}

/// Tokens of one engine call, as the engine reported them, or our estimate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Usage {
    /// Uncached input tokens.
    pub input: u64,
    /// Input tokens served from the provider's cache.
    pub cache_read: u64,
    /// Input tokens written to the provider's cache.
    pub cache_write: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// Reasoning part of the output, when told apart.
    pub reasoning: Option<u64>,
    /// Cost in US dollars, when the engine reports it.
    pub cost_usd: Option<f64>,
    /// The engine reported it; `false` = our estimate.
    pub reported: bool,
}

impl Usage {
    /// All tokens of the call: input (cached or not) and output.
    pub const fn total(&self) -> u64 {
        self.input + self.cache_read + self.cache_write + self.output
    }
}
