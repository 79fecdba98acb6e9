//! What `decide` knows of a run and its steps. Data only: no rule lives here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    ids::{ProjectId, RunId, StepId},
    protocol::PullRequestState,
    status::{ProtocolStatus, StatusReason, words},
    step::{QaPolicy, StepStatus, StepType},
};

/// A run and its steps, as far as deciding needs them. Steps are sorted by index.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// The run.
    pub run: RunFlow,
    /// Its steps by index.
    pub steps: Vec<StepFlow>,
}

words! {
    /// A set-up run moves by rows of its own.
    RunKind {
        /// Plans and executes a task.
        Protocol = "protocol",
        /// Sets a project up.
        Setup = "setup",
    }
}

/// The run's part of a flow.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "settings and facts of a row, each read on its own")]
pub struct RunFlow {
    /// Identity.
    pub id: RunId,
    /// Owner.
    pub project_id: ProjectId,
    /// Protocol or set-up.
    pub kind: RunKind,
    /// Status now.
    pub status: ProtocolStatus,
    /// Why.
    pub reason: Option<StatusReason>,
    /// Where a pause returns to.
    pub paused_from: Option<ProtocolStatus>,
    /// A pass queues the next ready step.
    pub auto_advance: bool,
    /// Setting: QA is queued after execution even without `auto_advance`.
    pub auto_qa_after_exec: bool,
    /// Setting: QA is queued when CI turns green.
    pub auto_qa_on_ci: bool,
    /// Setting: cap for loops without a limit of their own.
    pub max_loop_iterations: u32,
    /// PR/MR, if one is known.
    pub pr_state: Option<PullRequestState>,
    /// Newest commit of the run.
    pub head_sha: Option<String>,
    /// A live plan job (queued or started), the signalling job itself not counted.
    pub live_plan: bool,
    /// A live push/PR job, the signalling job itself not counted.
    pub live_push: bool,
}

words! {
    /// Which job of a step is queued or at work.
    LiveJob {
        /// Execution.
        Execute = "execute",
        /// QA.
        Quality = "quality",
    }
}

/// One step's part of a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct StepFlow {
    /// Identity.
    pub id: StepId,
    /// Position from 0.
    pub index: i64,
    /// Step name (file name).
    pub name: String,
    /// Id of the step's spec entry; what `target_step` and `trigger_agent_id` name.
    pub spec_id: String,
    /// Kind.
    pub step_type: StepType,
    /// Status now.
    pub status: StepStatus,
    /// Why.
    pub reason: Option<StatusReason>,
    /// How it is judged; `None` = nothing stated: rests in `needs_qa` like full.
    pub qa: Option<QaPolicy>,
    /// Loop and trigger entries, in order (contract §6.7, §6.8), as parsed by `spec::Policy`.
    pub policies: Vec<crate::spec::Policy>,
    /// How often it was retried.
    pub retries: i64,
    /// Counters that survive restarts.
    pub runtime: RuntimeState,
    /// Live job of the step, the signalling job itself not counted.
    pub live: Option<LiveJob>,
    /// It was executed at least once (`started_at` is set).
    pub has_run: bool,
    /// Commit that holds its work.
    pub head_sha: Option<String>,
}

words! {
    /// What a step waits for that its status alone does not say.
    Awaits {
        /// A trigger chose it while it could not be queued (paused run, other step at work).
        Trigger = "trigger",
        /// Its QA, not its execution, was held back by a gate.
        Quality = "quality",
    }
}

/// What a step remembers between attempts, loops and triggers (wire: `runtime_state`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimeState {
    /// Rounds taken, by loop module.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub loop_counts: BTreeMap<String, u32>,
    /// Last loop or trigger action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_action: Option<String>,
    /// Module of that action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_policy_module_id: Option<String>,
    /// Target of that action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_target_step_index: Option<i64>,
    /// Step id that triggered this one last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_triggered_by: Option<i64>,
    /// Depth of the trigger chain that led here; 0 when a person or rule started the step.
    pub inline_trigger_depth: u32,
    /// What it waits for, cleared when it is queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub awaits: Option<Awaits>,
    /// Positions in `policies` of the triggers that fired in this attempt; each fires once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fired_triggers: Vec<usize>,
    /// Tokens used over all attempts.
    pub tokens_used: u64,
    /// Last verdict: `pass`, `fail` or `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qa_verdict: Option<String>,
    /// The judge's sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qa_summary: Option<String>,
}
