//! The table of the client against the API's document, in both directions.

use serde_json::{Map, Value};

use super::{Described, Form, described};

/// Operations without a command, and why.
const WITHOUT_COMMAND: &[(&str, &str, &str)] = &[
    ("get", "/health", "probes ask it; a person sees the server in every other command"),
    ("get", "/ready", "probes ask it; `doctor` looks at the same things on the machine"),
    ("get", "/metrics", "a scraper reads it"),
    ("get", "/version", "`--version` says it of the binary, and both are one"),
    ("get", "/openapi.json", "`openapi` prints the same document without a server"),
    ("get", "/docs", "a page for a browser"),
    ("get", "/docs/style.css", "a part of that page"),
    ("post", "/auth/session", "a browser signs in with it; a command shows its token every time"),
    ("get", "/auth/me", "the console asks it to draw itself"),
    ("post", "/auth/logout", "ends the session of a browser"),
];

fn document() -> Value {
    serde_json::to_value(tg_server::api::document()).unwrap()
}

/// A path without the names of its ids.
fn shape(path: &str) -> String {
    let parts: Vec<&str> =
        path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
    parts.join("/")
}

/// Every operation of the document: method, path, the operation.
fn operations(document: &Value) -> Vec<(String, String, Map<String, Value>)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            if let ("get" | "post" | "put" | "patch" | "delete", Value::Object(operation)) =
                (method.as_str(), operation)
            {
                found.push((method.clone(), path.clone(), operation.clone()));
            }
        }
    }
    found
}

fn name_of(schema: &Value) -> Option<String> {
    schema["$ref"].as_str().and_then(|place| place.strip_prefix("#/components/schemas/")).map(str::to_owned)
}

/// Forms that a map of media types offers.
fn forms(content: &Value) -> Vec<Form> {
    let Some(content) = content.as_object() else { return vec![Form::Nothing] };
    let mut forms = Vec::new();
    for (kind, media) in content {
        let schema = &media["schema"];
        match kind.as_str() {
            "application/json" => {
                forms.extend(name_of(schema).map(Form::One));
                forms.extend(name_of(&schema["items"]).map(Form::List));
                for one in schema["oneOf"].as_array().into_iter().flatten() {
                    forms.extend(name_of(one).map(Form::One));
                    forms.extend(name_of(&one["items"]).map(Form::List));
                }
            }
            "text/event-stream" => forms.push(Form::Events),
            _ => forms.push(Form::Text),
        }
    }
    forms
}

/// What is wrong with an operation of the client, by the document.
fn complaints(wanted: &Described, operation: &Map<String, Value>) -> Vec<String> {
    let mut complaints = Vec::new();
    let parameters = operation.get("parameters").and_then(Value::as_array).cloned().unwrap_or_default();
    for name in wanted.query {
        let known = parameters.iter().any(|known| known["in"] == "query" && known["name"] == *name);
        if !known {
            complaints.push(format!("takes no `{name}` in its query"));
        }
    }
    let body = operation.get("requestBody").map_or(&Value::Null, |body| &body["content"]);
    let may_be_left_out = wanted.body == Form::Nothing && !is_required(operation);
    if !(forms(body).contains(&wanted.body) || may_be_left_out) {
        complaints.push(format!("takes {:?}, the client sends {:?}", forms(body), wanted.body));
    }
    let answers: Vec<Form> = operation["responses"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(status, _)| status.starts_with('2'))
        .flat_map(|(_, response)| forms(response.get("content").unwrap_or(&Value::Null)))
        .collect();
    if !answers.contains(&wanted.answer) {
        complaints.push(format!("answers {answers:?}, the client reads {:?}", wanted.answer));
    }
    complaints
}

fn is_required(operation: &Map<String, Value>) -> bool {
    operation.get("requestBody").is_some_and(|body| body["required"] == true)
}

#[test]
fn what_the_client_asks_is_what_the_document_says() {
    let document = document();
    let operations = operations(&document);
    let mut wrong = Vec::new();
    for wanted in described() {
        let method = wanted.method.as_str().to_ascii_lowercase();
        let found =
            operations.iter().find(|(other, path, _)| *other == method && shape(path) == shape(wanted.path));
        let Some((_, _, operation)) = found else {
            wrong.push(format!("{}: the document has no {method} {}", wanted.name, wanted.path));
            continue;
        };
        for complaint in complaints(&wanted, operation) {
            wrong.push(format!("{} ({method} {}): {complaint}", wanted.name, wanted.path));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_operation_has_a_command_or_a_reason() {
    let document = document();
    let described = described();
    let mut without = Vec::new();
    for (method, path, _) in operations(&document) {
        // The predecessor's name for the same routes; one test at the server holds them together.
        let path = path.strip_prefix("/codex").unwrap_or(&path).to_owned();
        let is_known = described.iter().any(|known| {
            known.method.as_str().eq_ignore_ascii_case(&method) && shape(known.path) == shape(&path)
        });
        let is_excepted = WITHOUT_COMMAND.iter().any(|(other, place, _)| *other == method && *place == path);
        if is_known == is_excepted {
            without.push(format!("{method} {path} (known: {is_known}, excepted: {is_excepted})"));
        }
    }
    assert!(without.is_empty(), "{without:#?}");
}

#[test]
fn a_difference_is_seen() {
    let operation = serde_json::json!({
        "parameters": [{"in": "query", "name": "limit"}],
        "requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/A"}}}},
        "responses": {
            "200": {"content": {"application/json": {"schema": {"type": "array", "items": {"$ref": "#/components/schemas/B"}}}}},
            "404": {"content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}},
        },
    });
    let operation = operation.as_object().unwrap();
    let wanted = |query, body, answer| Described {
        name: "X",
        method: reqwest::Method::POST,
        path: "/x",
        query,
        body,
        answer,
    };
    let (one, list) = (|name: &str| Form::One(name.to_owned()), |name: &str| Form::List(name.to_owned()));
    let right = wanted(&["limit"], one("A"), list("B"));
    assert_eq!(complaints(&right, operation), Vec::<String>::new());
    for wrong in [
        wanted(&["cursor"], one("A"), list("B")),
        wanted(&[], Form::Nothing, list("B")),
        wanted(&[], one("B"), list("B")),
        wanted(&[], one("A"), one("B")),
        wanted(&[], one("A"), list("Problem")),
        wanted(&[], one("A"), Form::Nothing),
    ] {
        assert_eq!(complaints(&wrong, operation).len(), 1, "{wrong:?}");
    }
}
