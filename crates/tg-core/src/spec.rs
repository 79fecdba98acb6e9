//! `ProtocolSpec` and `StepSpec`: parse, check, hash.
//! Paths are arithmetic here; what exists on disk is told by the caller.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    canonical,
    lifecycle::PlannedStep,
    step::{QaPolicy, StepType},
};

mod build;
mod check;
mod edit;
mod paths;
#[cfg(test)]
mod tests;

pub use build::{BuildOptions, from_files, is_step_file, step_type_of};
pub use check::{Checked, SpecError, check, check_schema};
pub use edit::{AddError, add_step, edit_step, set_checked};
pub use paths::{Found, Outputs, PathError, Places};

/// The spec schema as shipped.
pub const SCHEMA: &str = include_str!("../../../schemas/protocol-spec.schema.json");

/// Engine used when nothing else is said.
pub const DEFAULT_ENGINE: &str = "codex";
/// Seconds a work step may take when its spec says nothing.
pub const WORK_TIMEOUT_SECONDS: u64 = 1200;

/// How a protocol is carried out. Keys we do not know are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ProtocolSpec {
    /// Version of the form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Steps in order.
    pub steps: Vec<StepSpec>,
    /// Words replaced in paths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placeholders: Option<Map<String, Value>>,
    /// Template the spec came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Value>,
    /// Free facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Further keys.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// How one step is carried out. Keys we do not know are kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StepSpec {
    /// Identity in the spec; what loops and triggers name.
    pub id: String,
    /// Name of the step; absent = the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Engine; `None` = the run's.
    #[serde(default)]
    pub engine_id: Option<String>,
    /// Model; `None` = by precedence.
    #[serde(default)]
    pub model: Option<String>,
    /// What it does, in a line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Kind; absent = by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_type: Option<StepType>,
    /// File of the prompt.
    #[serde(alias = "prompt", alias = "file")]
    pub prompt_ref: String,
    /// Free inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Map<String, Value>>,
    /// Where the answer is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs: Option<OutputsSpec>,
    /// Loop and trigger entries as written.
    #[serde(default)]
    pub policies: Vec<Value>,
    /// Position from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<i64>,
    /// How it is judged.
    pub qa: QaSpec,
    /// Free facts; `expects_change: true` makes an execution without a change a failure, `by_hand: true`
    /// lets name and description stand for a prompt file that is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Map<String, Value>>,
    /// Seconds the step may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<i64>,
    /// Seconds its execution may take; wins over `timeout_seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec_timeout_seconds: Option<i64>,
    /// Models taken after the first one is not to be had.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback_models: Vec<String>,
    /// `CodeMachine` agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_id: Option<String>,
    /// Further keys.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// Where the answer of a step is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputsSpec {
    /// Output below the protocol folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// Further outputs by name.
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub aux: std::collections::BTreeMap<String, String>,
}

/// How a step is judged.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct QaSpec {
    /// `None` = the policy's default, else judged on request only.
    pub policy: Option<QaPolicy>,
    /// File of the QA prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_id: Option<String>,
    /// Free inputs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Map<String, Value>>,
    /// A second judge; both must pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second_opinion: Option<SecondOpinion>,
    /// Further keys.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

/// A second judge of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SecondOpinion {
    /// File of its prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt: Option<String>,
    /// Model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_id: Option<String>,
    /// Further keys.
    #[serde(flatten)]
    pub more: Map<String, Value>,
}

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

impl Policy {
    /// Reads what a step stores as its policy: nothing, one entry, or a list of them. The error says
    /// which entry and why.
    pub fn read_all(stored: Option<&Value>) -> Result<Vec<Self>, String> {
        let entries = match stored {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Array(entries)) => entries.as_slice(),
            Some(entry) => std::slice::from_ref(entry),
        };
        let read = |(position, entry): (usize, &Value)| {
            Self::deserialize(entry).map_err(|error| format!("policies/{position}: {error}"))
        };
        entries.iter().enumerate().map(read).collect()
    }

    /// Id of the step a trigger starts.
    pub fn trigger_target(&self) -> Option<&str> {
        self.trigger_agent_id.as_deref().or(self.target_agent_id.as_deref())
    }
}

/// First 12 hex characters of SHA-256 over the canonical JSON of a spec.
pub fn spec_hash(spec: &Value) -> String {
    canonical::short_hash(canonical::json(spec).as_bytes())
}

impl ProtocolSpec {
    /// The stored form.
    pub fn to_value(&self) -> Value {
        serde_json::to_value(self).expect("a spec has text keys only")
    }

    /// Fingerprint of the stored form.
    pub fn hash(&self) -> String {
        spec_hash(&self.to_value())
    }

    /// The spec inside a run's `template_config`, unchecked.
    pub fn stored(template_config: Option<&Value>) -> Option<&Value> {
        template_config?.get("protocol_spec").filter(|spec| !spec.is_null())
    }

    /// Entry of a step: the one of that name, else the one of that id.
    pub fn step(&self, name_or_id: &str) -> Option<&StepSpec> {
        let by_name = self.steps.iter().find(|step| step.name.as_deref() == Some(name_or_id));
        by_name.or_else(|| self.steps.iter().find(|step| step.id == name_or_id))
    }

    /// Steps as `lifecycle` takes them, by position.
    pub fn planned_steps(&self) -> Vec<PlannedStep> {
        (0..).zip(&self.steps).map(|(index, step)| step.planned(index)).collect()
    }
}

impl StepSpec {
    /// Name of the step: name, else id, else `NN-step`.
    pub fn step_name(&self, index: i64) -> String {
        let known = self.name.as_deref().filter(|name| !name.trim().is_empty());
        match known.or(Some(self.id.as_str()).filter(|id| !id.trim().is_empty())) {
            Some(name) => name.to_owned(),
            None => format!("{index:02}-step"),
        }
    }

    /// Kind: as stated, else by name.
    pub fn kind(&self) -> StepType {
        self.step_type.unwrap_or_else(|| step_type_of(self.name.as_deref().unwrap_or(&self.id)))
    }

    fn planned(&self, index: i64) -> PlannedStep {
        PlannedStep {
            index,
            name: self.step_name(index),
            step_type: self.kind(),
            engine_id: self.engine_id.clone(),
            model: self.model.clone(),
            summary: self.description.clone(),
            policy: (!self.policies.is_empty()).then(|| Value::Array(self.policies.clone())),
        }
    }

    /// An execution without a change is a failure (`metadata.expects_change`).
    pub fn expects_change(&self) -> bool {
        let stated = self.metadata.as_ref().and_then(|facts| facts.get("expects_change"));
        stated.and_then(Value::as_bool).unwrap_or(false)
    }

    /// Seconds its execution may take; `configured` is for steps other than work.
    pub fn exec_timeout_seconds(&self, configured: u64) -> u64 {
        let stated = [self.exec_timeout_seconds, self.timeout_seconds];
        let stated =
            stated.into_iter().flatten().find_map(|seconds| u64::try_from(seconds).ok().filter(|s| *s > 0));
        stated.unwrap_or(match self.kind() {
            StepType::Work => WORK_TIMEOUT_SECONDS,
            StepType::Setup | StepType::Qa => configured,
        })
    }
}

/// Models to try, in order: the entries of the first level that names any, then `fallbacks`.
///
/// Give the levels from the strongest: spec, step, run, project, policy, setting, engine default. A
/// level may hold several names separated by commas. Doubles are left out; nothing named = empty, so
/// that the engine takes its own.
pub fn choose_models(levels: &[Option<&str>], fallbacks: &[String]) -> Vec<String> {
    let names = |level: &str| -> Vec<String> {
        level.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
    };
    let first = levels.iter().flatten().map(|level| names(level)).find(|names| !names.is_empty());
    let mut chosen: Vec<String> = Vec::new();
    for name in first.unwrap_or_default().into_iter().chain(fallbacks.iter().flat_map(|level| names(level))) {
        if !chosen.contains(&name) {
            chosen.push(name);
        }
    }
    chosen
}

/// Engine of a step: the first level that names one, else `codex`. Give the levels from the
/// strongest: spec, step, agent, run, project default.
pub fn choose_engine<'a>(levels: &[Option<&'a str>]) -> &'a str {
    levels.iter().flatten().copied().find(|name| !name.trim().is_empty()).unwrap_or(DEFAULT_ENGINE)
}
