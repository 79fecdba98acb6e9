//! Renders the sentence of an event from its template and metadata. Never fails and never shows a
//! placeholder; knows nothing of the kinds.

use serde_json::{Map, Value};

use crate::plain::one_line;

/// Longest value shown in a sentence, in characters.
const VALUE_CHARACTERS: usize = 240;
/// Most entries of a list shown in a sentence.
const LIST_ENTRIES: usize = 6;

/// Fills `{key}`; a `[…]` part with an absent key is left out as a whole.
pub fn render(template: &str, metadata: &Map<String, Value>) -> String {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('[') {
        out.push_str(&fill(before, metadata).unwrap_or_default());
        let (optional, next) = after.split_once(']').unwrap_or((after, ""));
        out.push_str(&fill(optional, metadata).unwrap_or_default());
        rest = next;
    }
    out.push_str(&fill(rest, metadata).unwrap_or_default());
    out.trim().to_owned()
}

/// `None` when a key is absent or says nothing.
fn fill(part: &str, metadata: &Map<String, Value>) -> Option<String> {
    let mut out = String::new();
    let mut rest = part;
    while let Some((before, after)) = rest.split_once('{') {
        let (key, next) = after.split_once('}')?;
        out.push_str(before);
        out.push_str(&shown(metadata.get(key)?)?);
        rest = next;
    }
    out.push_str(rest);
    Some(out)
}

fn shown(value: &Value) -> Option<String> {
    let text = match value {
        Value::Null => return None,
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => one_line(text),
        Value::Array(items) => {
            let mut words: Vec<String> = items.iter().take(LIST_ENTRIES).filter_map(shown).collect();
            if items.len() > LIST_ENTRIES {
                words.push(format!("{} more", items.len() - LIST_ENTRIES));
            }
            words.join(", ")
        }
        Value::Object(entries) => entries
            .iter()
            .take(LIST_ENTRIES)
            .filter_map(|(key, entry)| Some(format!("{} {}", one_line(key), shown(entry)?)))
            .collect::<Vec<_>>()
            .join(", "),
    };
    if text.is_empty() {
        return None;
    }
    Some(match text.char_indices().nth(VALUE_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    })
}
