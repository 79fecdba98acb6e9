//! Steps that people add: their entries, their prompts, what is said of a check.

use std::path::Path;

use serde_json::{Value, json};

use super::{AddError, add_step, set_checked};
use crate::{
    spec::{BuildOptions, Found, Places, ProtocolSpec, SpecError, check, check_schema, spec_hash},
    wire::NewStep,
};

fn new(body: &Value) -> NewStep {
    let mut whole = json!({"step_type": "work", "step_index": 2});
    whole.as_object_mut().expect("an object").extend(body.as_object().expect("an object").clone());
    serde_json::from_value(whole).expect("reads")
}

fn add(config: &mut Option<Value>, body: &Value) -> Result<String, AddError> {
    add_step(config, &new(body), &BuildOptions::default())
}

fn spec(config: Option<&Value>) -> ProtocolSpec {
    check_schema(ProtocolSpec::stored(config).expect("there is a spec")).expect("it holds")
}

fn checked(config: Option<&Value>, at: &dyn Fn(&Path) -> Found) -> Vec<String> {
    let places = Places::of("/w", "0001-x");
    let found = check(ProtocolSpec::stored(config), &places, &|id| id == "codex", at);
    found.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn a_step_makes_the_spec_of_a_run_without_one() {
    let mut config = None;
    let body = json!({"step_name": "02-tidy.md", "summary": "Tidy up", "model": "big",
        "policy": {"behavior": "loop", "module_id": "m"}});
    let hash = add(&mut config, &body).expect("it is added");
    assert_eq!(hash, spec_hash(&config.as_ref().expect("is there")["protocol_spec"]));
    let spec = spec(config.as_ref());
    let entry = spec.step("02-tidy.md").expect("is there");
    assert_eq!((entry.id.as_str(), entry.order, entry.engine_id.as_deref()), ("02-tidy", Some(2), None));
    assert_eq!((entry.model.as_deref(), entry.policies.len()), (Some("big"), 1));
    assert_eq!(entry.qa.policy, Some(crate::step::QaPolicy::Full));
    assert_eq!(entry.own_prompt().as_deref(), Some("# 02-tidy\n\nTidy up\n"));
    assert_eq!(checked(config.as_ref(), &|_| Found::Missing), Vec::<String>::new());
    let outside = checked(config.as_ref(), &|path| {
        if path.ends_with("02-tidy.md") && !path.ends_with("outputs/02-tidy.md") {
            Found::Outside
        } else {
            Found::Missing
        }
    });
    assert_eq!(outside, ["02-tidy.md: its prompt \"02-tidy.md\" leads out of the worktree"]);
}

#[test]
fn it_takes_its_place_and_no_other_steps_files() {
    let planned = json!({"id": "00-a", "name": "00-a.md", "engine_id": null, "prompt_ref": "00-a.md", "order": 0,
        "qa": {"policy": "skip"}});
    let later = json!({"id": "05-b", "name": "05-b.md", "engine_id": null, "prompt_ref": "05-b.md", "order": 5,
        "qa": {"policy": "skip"}});
    let mut config =
        Some(json!({"protocol_spec": {"steps": [planned, later]}, "spec_meta": {"source": "files"}}));
    for name in ["00-a", "05-b"] {
        let taken = AddError::Taken { stem: name.to_owned() };
        assert_eq!(add(&mut config, &json!({"step_name": name})), Err(taken));
    }
    add(&mut config, &json!({"step_name": "x", "summary": " "})).expect("it is added");
    let again = add(&mut config, &json!({"step_name": "x", "summary": "anew"})).expect("it is replaced");
    let spec = spec(config.as_ref());
    let ids: Vec<&str> = spec.steps.iter().map(|step| step.id.as_str()).collect();
    assert_eq!(ids, ["00-a", "x", "05-b"]);
    assert_eq!(spec.steps[1].own_prompt().as_deref(), Some("# x\n\nanew\n"));
    assert_eq!(again, spec_hash(&config.as_ref().expect("is there")["protocol_spec"]));
    assert_eq!(spec.steps[0].own_prompt(), None, "a plan wrote its file");
    let errors = checked(config.as_ref(), &|_| Found::Missing);
    assert_eq!(errors.len(), 2, "only planned steps need a file: {errors:?}");

    for broken in [json!([]), json!({"protocol_spec": {"steps": 5}}), json!({"protocol_spec": 5})] {
        assert_eq!(add(&mut Some(broken), &json!({"step_name": "x"})), Err(AddError::Unreadable));
    }
}

#[test]
fn what_is_said_of_a_check_is_what_it_found() {
    let mut config = json!({"spec_meta": {"source": "files", "status": "valid", "validated_at": 5}});
    set_checked(&mut config, None);
    assert_eq!(config, json!({"spec_meta": {"source": "files"}}), "of the spec as it is nothing is known");
    set_checked(&mut config, Some((&[SpecError::Missing], 0)));
    let meta = &config["spec_meta"];
    assert_eq!(
        (&meta["status"], &meta["validated_at"]),
        (&json!("invalid"), &json!("1970-01-01T00:00:00.000Z"))
    );
    assert_eq!(meta["errors"], json!([SpecError::Missing.to_string()]));
    set_checked(&mut config, Some((&[], 0)));
    assert_eq!(
        (&config["spec_meta"]["status"], &config["spec_meta"]["errors"]),
        (&json!("valid"), &json!([]))
    );
}
