//! What an execution of a step would do, as people look at it beforehand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{status::words, step::QaPolicy};

/// What an execution of a step would do now. Looking at it changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({
    "engine_id": "codex", "model": null, "prompt_path": ".protocols/0001-greeting/00-greeting.md",
    "prompt_versions": {"execute": "4f9c1b2a3d5e", "exec": "0a1b2c3d4e5f"},
    "outputs": {"protocol": ".protocols/0001-greeting/outputs/00-greeting.md", "aux": {}},
    "workdir": "/srv/state/projects/1/worktrees/0001-greeting", "timeout_seconds": 1200,
    "qa": {"policy": "full", "engine_id": "codex", "model": null, "prompt_path": "bundled:quality-validator"},
    "gates": [
        {"gate": "status", "open": true, "reason": null}, {"gate": "engine", "open": true, "reason": null},
        {"gate": "qa_engine", "open": false,
            "reason": "engine codex is not available: codex was not found on PATH (codex); install it"}
    ],
    "estimated_tokens": {"exec": 914}
})))]
pub struct ExecutionPlanOut {
    /// Engine that would be called.
    pub engine_id: String,
    /// Model it would be asked for; null = the engine's own.
    pub model: Option<String>,
    /// Where the step's prompt lies: a file below the worktree, or `spec:<step>` where a person's words
    /// stand for one.
    pub prompt_path: String,
    /// Fingerprints of what the prompt would be made of, by role.
    pub prompt_versions: Map<String, Value>,
    /// Where the answer would be written.
    pub outputs: PlannedOutputs,
    /// Directory the engine would work in.
    pub workdir: String,
    /// How long it might take.
    pub timeout_seconds: u64,
    /// How the work would be judged.
    pub qa: PlannedQa,
    /// What would be asked before the engine is called; one that is closed stops the step.
    pub gates: Vec<PlannedGate>,
    /// Size of the prompt in tokens, by phase.
    pub estimated_tokens: BTreeMap<String, u64>,
}

/// Files below the worktree that an answer is written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedOutputs {
    /// The protocol output.
    pub protocol: String,
    /// Further ones by name.
    pub aux: BTreeMap<String, String>,
}

/// How a step would be judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedQa {
    /// Whether and where; null = when somebody asks for it.
    pub policy: Option<QaPolicy>,
    /// Engine of the judge.
    pub engine_id: String,
    /// Model of the judge; null = the engine's own.
    pub model: Option<String>,
    /// Where the judge's prompt lies: a file below the worktree, or `bundled:<role>`.
    pub prompt_path: String,
}

/// Something that may stop a step before its engine is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedGate {
    /// Which.
    pub gate: GateWord,
    /// The step may pass.
    pub open: bool,
    /// Why it may not, and what to do.
    pub reason: Option<String>,
}

words! {
    /// What is asked before an engine is called.
    GateWord {
        /// Run and step are in statuses from which the step may run.
        Status = "status",
        /// The engine of the execution is there and may be called.
        Engine = "engine",
        /// The engine of the judge is there and may be called.
        QaEngine = "qa_engine",
    }
}
