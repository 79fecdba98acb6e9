//! What a person changes about a step by hand, written into the stored spec as well: the spec is asked
//! first for engine, model and policies, so a change beside it would mean nothing.

use serde_json::{Map, Value};

use super::{ProtocolSpec, spec_hash};
use crate::wire::StepEdit;

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
        let entries = match policy {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(entries)) => entries.clone(),
            Some(one) => vec![one.clone()],
        };
        entry.insert("policies".to_owned(), Value::Array(entries));
    }
}
