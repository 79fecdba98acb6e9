//! The API's document: written to `docs/openapi.json`, so that a changed route shows in a review.

use std::{collections::BTreeSet, path::Path};

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
    let mut names = BTreeSet::new();
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

/// Every code that a refusal may carry, as the sources of the door spell them.
fn codes() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in crate::house::sources("crates/tg-server/src/api") {
        for start in ["ApiError::conflict(", "Self::conflict(", "code: "] {
            for rest in source.text.split(start).skip(1) {
                let literal = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                found.extend(literal.map(str::to_owned));
            }
        }
        if let Some(body) = source.text.split("pub const fn code(&self)").nth(1) {
            let body = body.split("\n    }\n").next().unwrap();
            found.extend(body.split('"').skip(1).step_by(2).map(str::to_owned));
        }
    }
    // Ends a handler as an error does, but is an answer that was given before.
    found.remove("replayed");
    found
}

#[test]
fn every_code_of_a_refusal_is_explained() {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md")).unwrap();
    let explained: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next().map(str::to_owned))
        .collect();
    let codes = codes();
    assert!(codes.len() > 40, "only {} codes were found in the sources", codes.len());
    assert_eq!(codes, explained, "left: in the sources of the door; right: in docs/api.md");
}
