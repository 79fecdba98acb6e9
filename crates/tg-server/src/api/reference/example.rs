//! Examples on the reference: which ones the document has for a body, and a request as a `curl` line.
//! Makes plain text; the page escapes it.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{Entry, members, resolved};

/// Examples of a body: its own ones, else those of its schema.
pub fn of_body(document: &Value, content: &Value) -> Vec<Value> {
    let named = members(&content["examples"]).map(|(_, example)| &example["value"]);
    let own: Vec<Value> =
        [&content["example"]].into_iter().chain(named).filter(|value| !value.is_null()).cloned().collect();
    if own.is_empty() { of_schema(document, &content["schema"]) } else { own }
}

fn of_schema(document: &Value, schema: &Value) -> Vec<Value> {
    let schema = resolved(document, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        return choices.iter().flat_map(|choice| of_schema(document, choice)).collect();
    }
    if schema["type"] == "array" {
        let items = of_schema(document, &schema["items"]);
        return if items.is_empty() { items } else { vec![json!(items)] };
    }
    schema["examples"].as_array().cloned().unwrap_or_default()
}

/// An example as it is read: text as it stands, an event in the frame of its stream, else JSON.
pub fn shown(media: &str, example: &Value) -> String {
    if let Some(text) = example.as_str() {
        return text.to_owned();
    }
    if media == "text/event-stream" {
        let kind = example["event_type"].as_str().unwrap_or_default();
        return format!("id: {}\nevent: {kind}\ndata: {example}\n", example["seq"]);
    }
    serde_json::to_string_pretty(example).unwrap_or_default()
}

/// The request as a line of a shell. What is a variable of the shell has to be set: the address, the
/// token and the ids of the path.
pub fn curl(entry: &Entry<'_>, body: Option<(&str, &Value)>) -> String {
    let mut line = String::from("curl");
    let mut add = |part: &str| {
        write!(line, " {part}").expect("writing to a String cannot fail");
    };
    if entry.method != "GET" {
        add(&format!("-X {}", entry.method));
    }
    add(&format!("\"$TASKSGODZILLA_API_BASE{}\"", with_variables(entry.path)));
    if entry.operation["x-access"] != "open" {
        add("-H \"Authorization: Bearer $TASKSGODZILLA_API_TOKEN\"");
    }
    for parameter in entry.operation["parameters"].as_array().into_iter().flatten() {
        if let ("header", Some(name)) =
            (parameter["in"].as_str().unwrap_or_default(), parameter["name"].as_str())
            && !parameter["example"].is_null()
        {
            add(&format!("-H {}", quoted(&format!("{name}: {}", text(&parameter["example"])))));
        }
    }
    if let Some((media, example)) = body {
        add(&format!("-H 'Content-Type: {media}' --data-binary {}", quoted(&text(example))));
    }
    line
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// `/runs/{run_id}` as `/runs/$RUN_ID`.
fn with_variables(path: &str) -> String {
    let parts =
        path.split('/').map(|part| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => format!("${}", name.to_ascii_uppercase()),
            None => part.to_owned(),
        });
    parts.collect::<Vec<_>>().join("/")
}

/// A word of a shell that means nothing but itself.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_one_line_of_a_shell() {
        let operation = json!({"x-access": "member", "parameters": [
            {"name": "limit", "in": "query", "example": 5},
            {"name": "Last-Event-ID", "in": "header", "example": 7},
            {"name": "Idempotency-Key", "in": "header"}]});
        let entry = Entry { method: "POST".to_owned(), path: "/a/{run_id}/b", operation: &operation };
        let body = json!({"say": "it's $HOME"});
        assert_eq!(
            curl(&entry, Some(("application/json", &body))),
            "curl -X POST \"$TASKSGODZILLA_API_BASE/a/$RUN_ID/b\" \
             -H \"Authorization: Bearer $TASKSGODZILLA_API_TOKEN\" -H 'Last-Event-ID: 7' \
             -H 'Content-Type: application/json' --data-binary '{\"say\":\"it'\\''s $HOME\"}'"
        );
        let operation = json!({"x-access": "open"});
        let entry = Entry { method: "GET".to_owned(), path: "/health", operation: &operation };
        assert_eq!(curl(&entry, None), "curl \"$TASKSGODZILLA_API_BASE/health\"");
    }

    #[test]
    fn a_body_without_an_example_shows_that_of_its_schema() {
        let document = json!({"components": {"schemas": {"A": {"examples": [{"a": 1}, {"a": 2}]}}}});
        let schema = json!({"$ref": "#/components/schemas/A"});
        let of = |content: Value| of_body(&document, &content);
        assert_eq!(of(json!({"schema": schema})), [json!({"a": 1}), json!({"a": 2})]);
        assert_eq!(of(json!({"schema": {"oneOf": [{"type": "null"}, schema]}})).len(), 2);
        assert_eq!(of(json!({"schema": {"type": "array", "items": schema}})), [json!([{"a": 1}, {"a": 2}])]);
        assert_eq!(of(json!({"schema": schema, "example": {"a": 3}})), [json!({"a": 3})]);
        assert_eq!(of(json!({"schema": schema, "examples": {"x": {"value": {"a": 4}}}})), [json!({"a": 4})]);
        assert!(of(json!({"schema": {"type": "string"}})).is_empty());
    }
}
