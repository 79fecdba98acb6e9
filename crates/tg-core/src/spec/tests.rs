//! Building, checking, hashing and resolving specs.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn places() -> Places {
    Places::of("/w", "0001-x")
}

/// A worktree that holds these files below `/w`; links are not in it.
fn checked(spec: &Value, files: &[&str]) -> Result<Checked, Vec<String>> {
    let look = |path: &Path| {
        let file = |name: &&&str| path == Path::new("/w").join(name);
        if path.starts_with("/w/link") {
            Found::Outside
        } else if files.iter().any(|name| file(&name)) {
            Found::File
        } else {
            Found::Missing
        }
    };
    let known = |engine: &str| matches!(engine, "codex" | "dummy");
    check(Some(spec), &places(), &known, &look)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

const FILES: &[&str] = &[".protocols/0001-x/a.md", ".protocols/0001-x/b.md", "prompts/own.md"];

fn one(changes: &Value) -> Value {
    let mut step = json!({"id": "a", "name": "01-a.md", "engine_id": "codex", "prompt_ref": "a.md", "qa": {"policy": "skip"}});
    for (key, value) in changes.as_object().expect("an object") {
        step[key] = value.clone();
    }
    json!({ "steps": [step] })
}

#[test]
fn hashes_are_golden() {
    assert_eq!(spec_hash(&json!({})), "44136fa355b3");
    let spec = json!({"steps":[{"id":"a","name":"é","engine_id":"codex","prompt_ref":"p.md","qa":{"policy":"skip"}}]});
    assert_eq!(spec_hash(&spec), "54284f69b9fc");
}

#[test]
fn a_spec_is_built_from_files() {
    let files =
        ["02-scan.md", "plan.md", "00-setup.md", "01-add.md", "03-final-qa.md", "x/04-no.md", "1-no.md"]
            .map(|name| (name.to_owned(), format!("intro\n#hash\n## The  {name}\n")));
    let spec = from_files(&files, &BuildOptions { engine: Some("dummy".to_owned()), qa_policy: None });
    let steps: Vec<_> = spec
        .planned_steps()
        .into_iter()
        .map(|step| (step.index, step.name, step.step_type, step.summary.unwrap_or_default()))
        .collect();
    let expected = [
        (0, "00-setup.md", StepType::Setup),
        (1, "01-add.md", StepType::Work),
        (2, "02-scan.md", StepType::Work),
        (3, "03-final-qa.md", StepType::Qa),
    ]
    .map(|(index, name, kind)| (index, name.to_owned(), kind, format!("The {name}")));
    assert_eq!(steps, expected);
    let policies: Vec<_> = spec.steps.iter().map(|step| step.qa.policy).collect();
    assert_eq!(policies, [QaPolicy::Skip, QaPolicy::Full, QaPolicy::Skip, QaPolicy::Full].map(Some));
    assert_eq!(
        spec.to_value()["steps"][1],
        json!({
            "id": "01-add", "name": "01-add.md", "engine_id": "dummy", "model": null, "prompt_ref": "01-add.md",
            "description": "The 01-add.md", "step_type": "work", "outputs": {"protocol": "outputs/01-add.md"},
            "policies": [], "order": 1, "timeout_seconds": 1200,
            "qa": {"policy": "full", "prompt": "prompts/quality-validator.prompt.md"},
        })
    );
    let light = from_files(&files, &BuildOptions { engine: None, qa_policy: Some(QaPolicy::Light) });
    assert_eq!(light.steps[1].qa.policy, Some(QaPolicy::Light));
    assert_eq!(light.steps[0].qa.policy, Some(QaPolicy::Skip));
    assert_eq!(light.steps[1].engine_id.as_deref(), Some("codex"));

    let on_disk: Vec<String> =
        spec.steps.iter().map(|step| format!(".protocols/0001-x/{}", step.prompt_ref)).collect();
    let on_disk: Vec<&str> = on_disk.iter().map(String::as_str).collect();
    let read = checked(&spec.to_value(), &on_disk).expect("a built spec holds");
    assert_eq!(read.spec, spec);
    assert_eq!(read.spec.hash(), spec.hash());
    assert!(read.warnings.is_empty());
}

#[test]
fn unknown_keys_are_kept() {
    let mut spec = one(&json!({"colour": "red", "qa": {"policy": null, "note": 1}}));
    spec["owner"] = json!("me");
    spec["steps"][0]["policies"] = json!([]);
    spec["steps"][0]["model"] = Value::Null;
    assert_eq!(checked(&spec, FILES).expect("holds").spec.to_value(), spec);
}

#[test]
fn every_error_is_told_with_its_place() {
    let told = |changes: Value| checked(&one(&changes), FILES).expect_err("refused").join("\n");
    for (changes, expected) in [
        (json!({"qa": {}}), "schema:steps/0/qa: "),
        (json!({"qa": {"policy": "maybe"}}), "schema:steps/0/qa/policy: "),
        (json!({"engine_id": 7}), "schema:steps/0/engine_id: "),
        (json!({"outputs": {"protocol": "x", "more": "y"}}), "schema:steps/0/outputs: "),
        (json!({"outputs": {"aux": {"k": 1}}}), "schema:steps/0/outputs/aux/k: "),
        (json!({"step_type": "other"}), "schema:steps/0/step_type: "),
        (json!({"policies": {}}), "schema:steps/0/policies: "),
        (json!({"engine_id": "other"}), "01-a.md: engine \"other\" is not registered"),
        (json!({"qa": {"policy": "full", "engine_id": "judge"}}), "01-a.md: engine \"judge\""),
        (
            json!({"qa": {"policy": "full", "second_opinion": {"engine_id": "third"}}}),
            "01-a.md: engine \"third\"",
        ),
        (json!({"prompt_ref": "none.md"}), "01-a.md: its prompt \"none.md\" does not exist"),
        (json!({"prompt_ref": "../../../x.md"}), "01-a.md: its prompt \"../../../x.md\" lies outside"),
        (json!({"prompt_ref": "/etc/passwd"}), "01-a.md: its prompt \"/etc/passwd\" lies outside"),
        (json!({"prompt_ref": ""}), "01-a.md: the path of its prompt is empty"),
        (json!({"prompt_ref": "../../.git/config"}), "lies inside .git"),
        (json!({"prompt_ref": "../../link/x.md"}), "leads out of the worktree"),
        (
            json!({"qa": {"policy": "full", "prompt": "/etc/x"}}),
            "01-a.md: its QA prompt \"/etc/x\" lies outside",
        ),
        (json!({"outputs": {"protocol": "../../../x"}}), "01-a.md: its output \"../../../x\" lies outside"),
        (json!({"outputs": {"protocol": "../../.GIT/hooks/x"}}), "lies inside .git"),
        (json!({"outputs": {"aux": {"k": "/tmp/x"}}}), "its aux output \"/tmp/x\" lies outside"),
        (json!({"outputs": {"aux": {"k": "../../link/x"}}}), "leads out of the worktree"),
        (json!({"outputs": {"protocol": "01-a.md"}}), "is the file of step 01-a.md"),
        (json!({"outputs": {"protocol": "./x/../a.md"}}), "is the prompt of step 01-a.md"),
        (json!({"name": "../x"}), "its name must be a plain file name"),
        (
            json!({"policies": [{"behavior": "loop", "module_id": "m", "target_step": "zz"}]}),
            "01-a.md: loop \"m\" goes back to \"zz\"",
        ),
        (
            json!({"policies": [{"behavior": "trigger", "module_id": "m", "target_agent_id": "zz"}]}),
            "01-a.md: trigger \"m\" starts \"zz\"",
        ),
        (json!({"policies": [{"behavior": "loop", "max_iterations": -1}]}), "01-a.md: policies/0: "),
    ] {
        assert!(told(changes.clone()).contains(expected), "{changes}: {}", told(changes.clone()));
    }
    assert!(checked(&json!({}), FILES).expect_err("refused")[0].starts_with("schema:: "));
    assert!(checked(&json!({"steps": []}), FILES).expect_err("refused")[0].starts_with("schema:steps: "));
    assert!(checked(&json!([]), FILES).is_err());
    let missing = check(None, &places(), &|_| true, &|_| Found::File).expect_err("refused");
    assert_eq!(missing, [SpecError::Missing]);
    let many = checked(&json!({"steps": [{"id": 1}, {"id": 2}]}), FILES).expect_err("refused");
    assert!(many.len() >= 8, "all errors are told: {many:?}");
}

#[test]
fn ids_and_names_are_unique() {
    let step = |id: &str, name: &str| json!({"id": id, "name": name, "engine_id": null, "prompt_ref": "a.md", "qa": {"policy": null}});
    let errors =
        |steps: Vec<Value>| checked(&json!({ "steps": steps }), FILES).expect_err("refused").join("\n");
    assert!(errors(vec![step("a", "x"), step("a", "y")]).contains("y: the id \"a\" is taken"));
    assert!(errors(vec![step("a", "x"), step("b", "x")]).contains("x: the name is taken"));
    assert!(errors(vec![step("", "x")]).contains("x: its id is empty"));
}

#[test]
fn triggers_find_their_targets() {
    let step = |id: &str, name: &str, target: &str| {
        json!({"id": id, "name": name, "engine_id": null, "prompt_ref": "a.md", "qa": {"policy": null},
               "policies": [{"behavior": "trigger", "module_id": "m", "trigger_agent_id": target}]})
    };
    let check = |steps: Vec<Value>| checked(&json!({ "steps": steps }), FILES);
    assert!(check(vec![step("a", "01-one.md", "two"), step("b", "02-two.md", "a")]).is_ok());
    let own = check(vec![step("a", "01-one.md", "one")]).expect("holds");
    assert_eq!(own.warnings, ["01-one.md: trigger \"m\" names its own step and will never fire"]);
    let both =
        check(vec![step("a", "01-x.md", "x"), step("b", "02-x.md", "a")]).expect_err("refused").join("\n");
    assert!(both.contains("names several steps"), "{both}");
    let mut none = one(&json!({}));
    none["steps"][0]["policies"] = json!([{"behavior": "trigger", "module_id": "m"}, {"behavior": "other"}]);
    assert_eq!(checked(&none, FILES).expect("holds").warnings.len(), 1);
}

#[test]
fn prompts_and_outputs_resolve_inside_their_roots() {
    let places = places();
    let paths = |texts: &[&str]| texts.iter().map(PathBuf::from).collect::<Vec<_>>();
    assert_eq!(
        places.prompt_candidates("a.md").expect("inside"),
        paths(&["/w/.protocols/0001-x/a.md", "/w/a.md"])
    );
    assert_eq!(places.prompt_candidates("../../prompts/p.md").expect("inside"), paths(&["/w/prompts/p.md"]));
    assert_eq!(places.prompt_candidates("/w/prompts/p.md").expect("inside"), paths(&["/w/prompts/p.md"]));
    for outside in
        ["/w", "/w2/x", "/etc/passwd", "../..", "../../..", "/w/../x", "a\0b", " ", ".git/config", "x/.Git/y"]
    {
        assert!(places.prompt_candidates(outside).is_err(), "{outside:?}");
    }
    assert_eq!(
        places.qa_prompt_candidates(None).expect("inside"),
        paths(&["/w/prompts/quality-validator.prompt.md"])
    );
    assert_eq!(
        places.qa_prompt_candidates(Some("own.md")).expect("inside"),
        paths(&["/w/.protocols/0001-x/own.md", "/w/own.md", "/w/prompts/quality-validator.prompt.md"])
    );

    let outputs = places.outputs(&StepSpec::default(), "01-a.md").expect("inside");
    assert_eq!(outputs.protocol, PathBuf::from("/w/.protocols/0001-x/outputs/01-a.md"));
    let stated = OutputsSpec {
        protocol: Some("out/x.md".to_owned()),
        aux: [("k".to_owned(), "/w/docs/k.md".to_owned())].into(),
    };
    let step = StepSpec { outputs: Some(stated), ..StepSpec::default() };
    let outputs = places.outputs(&step, "01-a.md").expect("inside");
    assert_eq!(outputs.protocol, PathBuf::from("/w/.protocols/0001-x/out/x.md"));
    assert_eq!(outputs.aux["k"], PathBuf::from("/w/docs/k.md"));
    let bad = StepSpec {
        outputs: Some(OutputsSpec { protocol: Some("../../../x".to_owned()), ..OutputsSpec::default() }),
        ..StepSpec::default()
    };
    assert!(places.outputs(&bad, "01-a.md").is_err());
}

#[test]
fn a_prompt_in_the_worktree_is_used_and_aliases_count() {
    assert!(checked(&one(&json!({"prompt_ref": "prompts/own.md"})), FILES).is_ok());
    for alias in ["prompt", "file"] {
        let mut spec = one(&json!({ alias: "b.md" }));
        spec["steps"][0].as_object_mut().expect("an object").remove("prompt_ref");
        assert_eq!(checked(&spec, FILES).expect("holds").spec.steps[0].prompt_ref, "b.md");
    }
    let both = one(&json!({"prompt": "b.md"}));
    assert_eq!(checked(&both, FILES).expect("holds").spec.steps[0].prompt_ref, "a.md");
}

#[test]
fn steps_are_found_by_name_then_id() {
    let spec = check_schema(&json!({"steps": [
        {"id": "b", "name": "a", "engine_id": null, "prompt_ref": "1", "qa": {"policy": null}},
        {"id": "a", "engine_id": null, "prompt_ref": "2", "qa": {"policy": null}},
    ]}))
    .expect("by schema");
    assert_eq!(spec.step("a").map(|step| step.prompt_ref.as_str()), Some("1"));
    assert_eq!(spec.step("b").map(|step| step.prompt_ref.as_str()), Some("1"));
    assert_eq!(spec.step("c"), None);
    let names: Vec<String> = spec.planned_steps().into_iter().map(|step| step.name).collect();
    assert_eq!(names, ["a", "a"]);
    assert_eq!(StepSpec::default().step_name(3), "03-step");
    let config = json!({"protocol_spec": {"steps": []}});
    assert!(ProtocolSpec::stored(Some(&config)).is_some());
    assert!(ProtocolSpec::stored(Some(&json!({"protocol_spec": null}))).is_none());
    assert!(ProtocolSpec::stored(None).is_none());
}

#[test]
fn policies_are_one_or_many() {
    let entry = json!({"module_id": "m", "behavior": "loop", "step_back": 2, "more": 1});
    let read = |value: Option<&Value>| Policy::read_all(value).expect("reads").len();
    assert_eq!((read(None), read(Some(&Value::Null)), read(Some(&entry))), (0, 0, 1));
    assert_eq!(read(Some(&json!([entry, entry]))), 2);
    assert!(Policy::read_all(Some(&json!(["x"]))).expect_err("refused").starts_with("policies/0: "));
}

#[test]
fn timeouts_and_changes_are_as_stated() {
    let work = StepSpec { name: Some("01-a.md".to_owned()), ..StepSpec::default() };
    let setup = StepSpec { name: Some("00-a.md".to_owned()), ..StepSpec::default() };
    assert_eq!((work.exec_timeout_seconds(60), setup.exec_timeout_seconds(60)), (1200, 60));
    let stated = StepSpec { timeout_seconds: Some(5), exec_timeout_seconds: Some(7), ..work.clone() };
    assert_eq!(stated.exec_timeout_seconds(60), 7);
    assert_eq!(StepSpec { timeout_seconds: Some(5), ..work.clone() }.exec_timeout_seconds(60), 5);
    assert_eq!(StepSpec { timeout_seconds: Some(-5), ..work.clone() }.exec_timeout_seconds(60), 1200);

    let expects =
        |facts: Value| StepSpec { metadata: facts.as_object().cloned(), ..work.clone() }.expects_change();
    assert!(expects(json!({"expects_change": true})));
    assert!(
        !expects(json!({"expects_change": false}))
            && !expects(json!({"expects_change": "true"}))
            && !work.expects_change()
    );
}

#[test]
fn models_and_engines_come_from_the_first_level_that_names_one() {
    let more = ["c".to_owned(), "a".to_owned()];
    assert_eq!(choose_models(&[None, Some(" "), Some("a, b"), Some("z")], &more), ["a", "b", "c"]);
    assert_eq!(choose_models(&[None], &[]), Vec::<String>::new());
    assert_eq!(choose_engine(&[None, Some(""), Some("dummy"), Some("x")]), "dummy");
    assert_eq!(choose_engine(&[]), "codex");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "(\\.\\./|/|a|b\\.md|\\PC){0,4}".prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "steps",
        "id",
        "name",
        "engine_id",
        "prompt_ref",
        "prompt",
        "qa",
        "policy",
        "outputs",
        "protocol",
        "aux",
        "policies",
        "behavior",
        "metadata",
        "x",
    ]);
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(key.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_is_checked_without_panic(value in any_json(), step in any_json()) {
        let _checked = checked(&value, FILES);
        let _one = checked(&json!({ "steps": [step.clone()] }), FILES);
        let _policies = Policy::read_all(Some(&step));
        prop_assert_eq!(spec_hash(&value).len(), 12);
    }

    #[test]
    fn no_path_leaves_the_worktree(path in "(\\.\\./|\\./|/|w/|\\.git/|a|b|//|\\PC){0,8}") {
        for candidate in places().prompt_candidates(&path).unwrap_or_default() {
            prop_assert!(candidate.starts_with("/w") && candidate != Path::new("/w"));
            prop_assert!(candidate.components().all(|part| part.as_os_str() != ".." && part.as_os_str() != ".git"));
        }
    }
}

#[test]
fn a_change_by_hand_is_written_into_the_spec() {
    let edit = |body: Value| serde_json::from_value(body).expect("reads");
    let entry = json!({"id": "a", "name": "01-a.md", "engine_id": "codex", "model": null,
        "prompt_ref": "01-a.md", "qa": {"policy": "skip"}, "policies": []});
    let mut config = json!({"protocol_spec": {"steps": [entry.clone()]}, "spec_meta": {"status": "valid"}});
    let one = json!({"behavior": "loop", "module_id": "m"});
    let change =
        edit(json!({"engine_id": null, "model": "big", "summary": "does it", "policy": one.clone()}));
    let hash = super::edit_step(&mut config, "01-a.md", &change).expect("the entry is there");
    let spec = super::check_schema(&config["protocol_spec"]).expect("it still holds");
    let step = spec.step("a").expect("is there");
    assert_eq!((step.engine_id.as_deref(), step.model.as_deref()), (None, Some("big")));
    assert_eq!((step.description.as_deref(), &step.policies), (Some("does it"), &vec![one]));
    assert_eq!(hash, spec_hash(&config["protocol_spec"]));
    let before = config.clone();
    assert_eq!(super::edit_step(&mut config, "02-b.md", &change), None, "no such entry");
    assert_eq!(super::edit_step(&mut config, "a", &edit(json!({}))), Some(hash), "nothing was asked");
    assert_eq!(config, before);
    super::edit_step(&mut config, "a", &edit(json!({"policy": null}))).expect("the entry is there");
    assert_eq!(config["protocol_spec"]["steps"][0]["policies"], json!([]));
    for none in [json!({}), json!({"protocol_spec": null}), Value::Null] {
        assert_eq!(super::edit_step(&mut none.clone(), "a", &change), None);
    }
}
