//! The API's document: written to `docs/openapi.json`, so that a changed route shows in a review.

use std::path::Path;

#[test]
fn the_document_is_the_one_in_the_docs() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    let mut made = serde_json::to_string_pretty(&tg_server::api::document()).unwrap();
    made.push('\n');
    if tg_server::testing::require::variable("TASKSGODZILLA_BLESS").is_some() {
        std::fs::write(&path, &made).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        made == kept,
        "docs/openapi.json is stale; `make bless` writes it anew, then look at the difference"
    );
}

#[test]
fn every_operation_has_a_name_of_its_own_and_says_what_it_does() {
    let document = serde_json::to_value(tg_server::api::document()).unwrap();
    let mut names = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap_or_default();
            assert!(names.insert(name.to_owned()), "{method} {path}: the name {name:?} is taken");
            assert!(
                operation["summary"].as_str().is_some_and(|text| text.len() > 8),
                "{method} {path} says nothing"
            );
        }
    }
}
