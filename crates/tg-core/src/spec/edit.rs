//! What a person adds to a run or changes about a step by hand, written into the stored spec as well: the
//! spec is asked first for prompt, engine, model and policies, so a step beside it would mean nothing.

use serde_json::{Map, Value, json};

use super::{
    BuildOptions, ProtocolSpec, SpecError, StepSpec,
    build::{self, VERSION},
    spec_hash,
};
use crate::{
    layout,
    wire::{NewStep, StepEdit, timestamp},
};

#[cfg(test)]
mod tests;

/// Why a step cannot be added to a spec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// Outputs and reports are named after it, so another step must not be.
    #[error(
        "the spec names another step {stem:?}, which outputs and reports are called after; choose another name"
    )]
    Taken {
        /// Name without `.md`.
        stem: String,
    },
    /// The stored spec is no spec.
    #[error("the stored spec does not read")]
    Unreadable,
}

/// Adds the entry of a step that a person adds, and the spec if there is none. Gives the new fingerprint.
/// An entry of that name is one that no step has any more; it is replaced.
pub fn add_step(
    template_config: &mut Option<Value>,
    new: &NewStep,
    options: &BuildOptions,
) -> Result<String, AddError> {
    let config = template_config.get_or_insert_with(|| json!({}));
    let config = config.as_object_mut().ok_or(AddError::Unreadable)?;
    let spec = config.entry("protocol_spec").or_insert(Value::Null);
    if spec.is_null() {
        *spec = json!({"version": VERSION, "steps": []});
    }
    let entries = spec.get_mut("steps").and_then(Value::as_array_mut).ok_or(AddError::Unreadable)?;
    let entry = by_hand(new, options);
    entries.retain(|other| other["name"] != new.step_name.as_str());
    if entries.iter().any(|other| names(other, &entry.id)) {
        return Err(AddError::Taken { stem: entry.id });
    }
    let is_later = |other: &Value| other["order"].as_i64().is_some_and(|order| order > new.step_index);
    let at = entries.iter().position(is_later).unwrap_or(entries.len());
    entries.insert(at, serde_json::to_value(entry).expect("an entry has text keys only"));
    Ok(spec_hash(spec))
}

/// Is this the entry's id, or its name without `.md`?
fn names(entry: &Value, stem: &str) -> bool {
    entry["id"] == stem || entry["name"].as_str().is_some_and(|name| layout::step_stem(name) == stem)
}

fn by_hand(new: &NewStep, options: &BuildOptions) -> StepSpec {
    StepSpec {
        engine_id: new.engine_id.clone(),
        model: new.model.clone(),
        description: new.summary.clone(),
        policies: entries_of(new.policy.as_ref()),
        metadata: Some(Map::from_iter([(BY_HAND.to_owned(), Value::from(true))])),
        ..build::step(new.step_index, &new.step_name, new.step_type, options)
    }
}

/// Metadata of an entry that a person added.
const BY_HAND: &str = "by_hand";

impl StepSpec {
    /// What an agent is told of a step that a person added, as long as its prompt file is not there: its
    /// name and what was said of it. `None` for a step whose plan wrote a file.
    pub fn own_prompt(&self) -> Option<String> {
        let is_by_hand = self.metadata.as_ref()?.get(BY_HAND)?.as_bool()?;
        let title = layout::step_stem(self.name.as_deref().unwrap_or(&self.id));
        let text = self.description.as_deref().map(str::trim).filter(|text| !text.is_empty());
        is_by_hand.then(|| match text {
            Some(text) => format!("# {title}\n\n{text}\n"),
            None => format!("# {title}\n"),
        })
    }
}

/// Writes down what a check of the stored spec found at this time (milliseconds since the epoch); without
/// a check, that the spec was not checked as it is now.
pub fn set_checked(template_config: &mut Value, checked: Option<(&[SpecError], i64)>) {
    let Some(config) = template_config.as_object_mut() else { return };
    let meta = config.entry("spec_meta").or_insert_with(|| json!({"source": "files"}));
    let Some(meta) = meta.as_object_mut() else { return };
    match checked {
        Some((errors, at)) => {
            let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
            let status = if errors.is_empty() { "valid" } else { "invalid" };
            meta.extend([
                ("status".to_owned(), Value::from(status)),
                ("errors".to_owned(), Value::from(errors)),
                ("validated_at".to_owned(), Value::from(timestamp(at))),
            ]);
        }
        None => ["status", "errors", "validated_at"].iter().for_each(|key| drop(meta.remove(*key))),
    }
}

/// Changes the entry of a step in a stored spec. Gives the new fingerprint; `None` when the spec has no
/// such entry, so that the step's own row counts.
pub fn edit_step(template_config: &mut Value, name_or_id: &str, edit: &StepEdit) -> Option<String> {
    ProtocolSpec::stored(Some(template_config))?;
    let spec = template_config.get_mut("protocol_spec")?;
    let entries = spec.get_mut("steps")?.as_array_mut()?;
    let has = |key: &str| entries.iter().position(|entry| entry[key] == name_or_id);
    let at = has("name").or_else(|| has("id"))?;
    write(entries[at].as_object_mut()?, edit);
    Some(spec_hash(spec))
}

fn write(entry: &mut Map<String, Value>, edit: &StepEdit) {
    for (key, text) in
        [("engine_id", &edit.engine_id), ("model", &edit.model), ("description", &edit.summary)]
    {
        if let Some(text) = text {
            entry.insert(key.to_owned(), text.clone().map_or(Value::Null, Value::String));
        }
    }
    if let Some(policy) = &edit.policy {
        entry.insert("policies".to_owned(), Value::Array(entries_of(policy.as_ref())));
    }
}

/// Loop and trigger entries of what a person gave: nothing, one, or a list.
fn entries_of(policy: Option<&Value>) -> Vec<Value> {
    match policy {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(entries)) => entries.clone(),
        Some(one) => vec![one.clone()],
    }
}
