//! What a schema is called on the reference: its name, or its kind in a word. Reads no other schema.

use serde_json::Value;

use super::escape;

/// The name of a schema, linked to its entry.
pub fn link(schema: &Value) -> String {
    let name = kind(schema);
    let plain = name.trim_end_matches("[]");
    if plain.chars().next().is_some_and(char::is_uppercase) {
        format!("<a href=\"#schema-{}\">{}</a>", escape(plain), escape(&name))
    } else {
        escape(&name)
    }
}

/// A schema in a word.
pub fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    for key in ["oneOf", "allOf", "anyOf"] {
        if let Some(choices) = schema[key].as_array() {
            let names: Vec<String> =
                choices.iter().filter(|choice| choice["type"] != "null").map(kind).collect();
            return names.join(" or ");
        }
    }
    match &schema["type"] {
        Value::String(name) if name == "array" => format!("{}[]", kind(&schema["items"])),
        Value::String(name) => name.clone(),
        Value::Array(names) => {
            let names: Vec<&str> =
                names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect();
            if names == ["array"] { format!("{}[]", kind(&schema["items"])) } else { names.join(" or ") }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => "any".to_owned(),
    }
}
