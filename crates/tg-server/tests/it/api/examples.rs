//! The examples of the API's document: each fits the schema it stands for and the wire type behind it, so
//! that whoever copies one sends or reads what the server does.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tg_core::wire;
use tg_server::testing::api::Api;

use super::world;

/// A schema's name and what its wire type says of an example.
type Reader = (&'static str, fn(&Value) -> Result<(), String>);

/// What a person sends: the type takes it.
fn sent<T: DeserializeOwned>(example: &Value) -> Result<(), String> {
    serde_json::from_value::<T>(example.clone()).map(drop).map_err(|error| error.to_string())
}

/// What the server sends: the type writes exactly this, so no field is forgotten.
fn answered<T: DeserializeOwned + Serialize>(example: &Value) -> Result<(), String> {
    let read: T = serde_json::from_value(example.clone()).map_err(|error| error.to_string())?;
    let written = serde_json::to_value(read).map_err(|error| error.to_string())?;
    if written == *example { Ok(()) } else { Err(format!("the type writes {written}")) }
}

const READERS: &[Reader] = &[
    ("ActionResponse", answered::<wire::ActionResponse>),
    ("ChainCheck", answered::<wire::ChainCheck>),
    ("ChangedFile", answered::<wire::ChangedFile>),
    ("CodexRunOut", answered::<wire::CodexRunOut>),
    ("Confirm", sent::<wire::Confirm>),
    ("EngineOut", answered::<wire::EngineOut>),
    ("EventOut", answered::<wire::EventOut>),
    ("ExecutionPlanOut", answered::<wire::ExecutionPlanOut>),
    ("FinishRun", sent::<wire::FinishRun>),
    ("GitStatusOut", answered::<wire::GitStatusOut>),
    ("Health", answered::<wire::Health>),
    ("Job", answered::<wire::Job>),
    ("LogTail", answered::<wire::LogTail>),
    ("MeOut", answered::<wire::MeOut>),
    ("NewProject", sent::<wire::NewProject>),
    ("NewProtocol", sent::<wire::NewProtocol>),
    ("NewReviewComment", sent::<wire::NewReviewComment>),
    ("NewSession", sent::<wire::NewSession>),
    ("NewStep", sent::<wire::NewStep>),
    ("NewToken", sent::<wire::NewToken>),
    ("NextOffset", answered::<wire::NextOffset>),
    ("Note", sent::<wire::Note>),
    ("Problem", answered::<wire::Problem>),
    ("ProjectChange", sent::<wire::ProjectChange>),
    ("ProjectOut", answered::<wire::ProjectOut>),
    ("ProjectTokenOut", answered::<wire::ProjectTokenOut>),
    ("ProtocolChange", sent::<wire::ProtocolChange>),
    ("ProtocolRunOut", answered::<wire::ProtocolRunOut>),
    ("QueueStats", answered::<wire::QueueStats>),
    ("Ready", answered::<wire::Ready>),
    ("Reason", sent::<wire::Reason>),
    ("ReviewCommentChange", sent::<wire::ReviewCommentChange>),
    ("ReviewCommentOut", answered::<wire::ReviewCommentOut>),
    ("RunArtifactOut", answered::<wire::RunArtifactOut>),
    ("SecretSet", answered::<wire::SecretSet>),
    ("SecretValue", sent::<wire::SecretValue>),
    ("SessionOut", answered::<wire::SessionOut>),
    ("StartRun", sent::<wire::StartRun>),
    ("StepEdit", sent::<wire::StepEdit>),
    ("StepRunOut", answered::<wire::StepRunOut>),
    ("TokenOut", answered::<wire::TokenOut>),
    ("Version", answered::<wire::Version>),
];

fn document() -> Value {
    serde_json::to_value(tg_server::api::document()).unwrap()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The names of the schemas that a body has: its own, that of its items, those it chooses from.
fn names(schema: &Value) -> Vec<&str> {
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    let places = [schema, &schema["items"]].into_iter().chain(choices);
    places.filter_map(|one| one["$ref"].as_str()?.strip_prefix("#/components/schemas/")).collect()
}

/// What a schema and the type of this name say of an example.
fn complain(document: &Value, schema: &Value, example: &Value) -> Vec<String> {
    let mut schema_in_place = schema.clone();
    schema_in_place["components"] = document["components"].clone();
    let validator = jsonschema::validator_for(&schema_in_place).unwrap();
    let mut complaints: Vec<String> =
        validator.iter_errors(example).map(|error| format!("{}: {error}", error.instance_path())).collect();
    let is_list = schema["type"] == "array";
    for name in names(schema) {
        let reader = READERS.iter().find(|(known, _)| *known == name);
        let Some((_, reads)) = reader else {
            complaints.push(format!("{name} has an example and no line in READERS"));
            continue;
        };
        let items =
            if is_list { example.as_array().cloned().unwrap_or_default() } else { vec![example.clone()] };
        complaints.extend(items.iter().filter_map(|item| reads(item).err()));
    }
    complaints.into_iter().map(|complaint| format!("{complaint}, for {example}")).collect()
}

/// Examples of a body: its own, and those of the schemas it names, each under the schema it has to fit.
fn examples<'a>(document: &'a Value, content: &'a Value) -> Vec<(Value, &'a Value)> {
    let own = members(&content["examples"]).map(|(_, one)| &one["value"]).chain([&content["example"]]);
    let own = own.filter(|one| !one.is_null()).map(|one| (content["schema"].clone(), one));
    let named = names(&content["schema"]).into_iter().flat_map(|name| {
        let listed = document["components"]["schemas"][name]["examples"].as_array().into_iter().flatten();
        listed.map(move |one| (json!({ "$ref": format!("#/components/schemas/{name}") }), one))
    });
    own.chain(named).collect()
}

/// Every operation with its method and path in words.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    members(&document["paths"])
        .flat_map(|(path, item)| {
            members(item).map(move |(method, operation)| (format!("{method} {path}"), operation))
        })
        .collect()
}

fn complaints_of(document: &Value, place: &str, content: &Value, must_be_there: bool) -> Vec<String> {
    let found = examples(document, content);
    if found.is_empty() && must_be_there {
        return vec![format!("{place} has no example")];
    }
    let complaints = found.iter().flat_map(|(schema, example)| complain(document, schema, example));
    complaints.map(|complaint| format!("{place}: {complaint}")).collect()
}

#[test]
fn every_body_that_is_sent_has_an_example_that_the_server_reads() {
    let document = document();
    let (mut complaints, mut bodies) = (Vec::new(), 0);
    for (place, operation) in operations(&document) {
        for (_, content) in members(&operation["requestBody"]["content"]) {
            bodies += 1;
            complaints.extend(complaints_of(&document, &place, content, true));
        }
    }
    assert!(bodies > 20, "only {bodies} bodies were found");
    crate::house::none(&complaints, "examples of bodies that are sent");
}

#[test]
fn every_json_that_is_answered_has_an_example_as_the_server_writes_it() {
    let document = document();
    let (mut complaints, mut bodies) = (Vec::new(), 0);
    for (place, operation) in operations(&document) {
        for (status, answer) in members(&operation["responses"]) {
            for (media, content) in members(&answer["content"]) {
                let must =
                    status.starts_with('2') && media == "application/json" && place != "get /openapi.json";
                bodies += usize::from(must);
                complaints.extend(complaints_of(&document, &format!("{place} {status}"), content, must));
            }
        }
    }
    for (name, answer) in members(&document["components"]["responses"]) {
        let content = &answer["content"]["application/problem+json"];
        complaints.extend(complaints_of(&document, name, content, true));
    }
    assert!(bodies > 60, "only {bodies} answers were found");
    crate::house::none(&complaints, "examples of answers");
}

#[test]
fn every_example_of_a_parameter_and_of_a_header_fits_its_schema() {
    let document = document();
    let (mut complaints, mut found) = (Vec::new(), 0);
    for (place, operation) in operations(&document) {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let headers = members(&operation["responses"]["200"]["headers"]).map(|(_, header)| header);
        for one in parameters.chain(headers).filter(|one| !one["example"].is_null()) {
            found += 1;
            let wrong = complain(&document, &one["schema"], &one["example"]);
            complaints.extend(wrong.into_iter().map(|wrong| format!("{place} {}: {wrong}", one["name"])));
        }
    }
    assert!(found > 30, "only {found} examples were found");
    crate::house::none(&complaints, "examples of parameters and headers");
}

#[test]
fn a_refusal_is_shown_with_the_status_it_stands_for() {
    let document = document();
    for (_, operation) in operations(&document) {
        for (status, answer) in members(&operation["responses"]) {
            if let Some(place) = answer["$ref"].as_str() {
                let named = document.pointer(&place[1..]).unwrap_or_else(|| panic!("{place} is not there"));
                let shown = &named["content"]["application/problem+json"]["example"]["status"];
                assert_eq!(shown.to_string(), *status, "{place}");
            }
        }
    }
}

#[tokio::test]
async fn the_page_shows_requests_answers_and_refusals() {
    let world = world().await;
    let page = Api::new(&world.app).call("GET", "/docs").send().await;
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    for shown in [
        "curl -X POST &quot;$TASKSGODZILLA_API_BASE/projects/$ID/protocols&quot; -H &quot;Authorization: Bearer \
         $TASKSGODZILLA_API_TOKEN&quot; -H &#39;Content-Type: application/json&#39; --data-binary ",
        "<pre>curl -X POST &quot;$TASKSGODZILLA_API_BASE/protocols/$ID/actions/start&quot;",
        "-H &#39;Last-Event-ID: 1041&#39;",
        "id: 1041\nevent: step_enqueued\ndata: {",
        "`X-Next-Cursor` of the page before.\n<code>protocol-7</code>",
        "<code>X-Next-Cursor</code>",
        "&quot;code&quot;: &quot;illegal_transition&quot;",
        "&quot;short_name&quot;: &quot;greet the reader&quot;",
    ] {
        assert!(page.contains(shown), "the page does not show {shown}");
    }
    assert!(!page.contains("<code></code>"), "the page shows examples that are none");
}

/// Beyond its schema, a body has to keep rules that no schema says. Each example finds what it is about,
/// because the ones before it made it; 409 is about what is there, not about what was said.
#[tokio::test]
async fn every_example_that_is_sent_keeps_the_rules_of_the_door() {
    let world = world().await;
    let (api, document) = (Api::new(&world.app), document());
    let mut operations = operations(&document);
    // What has ended takes nothing more.
    let ends =
        |place: &str| place.starts_with("delete") || place.ends_with("cancel") || place.ends_with("finish");
    operations.sort_by_key(|(place, _)| ends(place));
    let mut complaints = Vec::new();
    for (place, operation) in operations {
        let (method, path) = place.split_once(' ').unwrap();
        let path =
            path.replace("{run_id}", "nightly-42").replace("{key}", "github_token").replace("{id}", "1");
        // The code of a login link is made for one person, so that of the example never works.
        let expected = if path == "/auth/session" { 401 } else { 409 };
        for (media, content) in members(&operation["requestBody"]["content"]) {
            for (_, example) in examples(&document, content) {
                let body = example.as_str().map_or_else(|| example.to_string(), str::to_owned);
                let call = api.call(&method.to_uppercase(), &path).as_admin().header("content-type", media);
                let got = call.body(body).send().await;
                if !got.status.is_success() && got.status != expected {
                    complaints.push(format!("{place} {example}: {}", String::from_utf8_lossy(&got.body)));
                }
            }
        }
    }
    crate::house::none(&complaints, "examples that the server refuses");
}
