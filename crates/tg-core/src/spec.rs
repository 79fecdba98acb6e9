//! `ProtocolSpec` and `StepSpec`: parse, check, hash.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A loop or trigger entry of a step (contract §6.7, §6.8). Conditions stay as written; their
/// tokens are read by `lifecycle::after_step`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// Names the module; loops count by it.
    pub module_id: String,
    /// `loop`, `trigger`, or a word we keep and ignore.
    pub behavior: String,
    /// Kept as written.
    pub action: Option<String>,
    /// Cap of rounds; absent = the configured default.
    pub max_iterations: Option<u32>,
    /// How many steps to go back; absent or ≤ 0 = 1.
    pub step_back: Option<i64>,
    /// Spec id to go back to; wins over `step_back`.
    pub target_step: Option<String>,
    /// Indices a loop leaves alone.
    pub skip_steps: Vec<i64>,
    /// Spec ids a loop leaves alone.
    pub skip_agents: Vec<String>,
    /// Spec id a trigger starts.
    pub trigger_agent_id: Option<String>,
    /// Second choice of target.
    pub target_agent_id: Option<String>,
    /// One condition.
    pub condition: Option<Value>,
    /// More conditions.
    pub conditions: Option<Value>,
}
