use serde_json::json;

use super::*;

#[test]
fn sentences_lose_what_they_do_not_know() {
    let step = |kind| Event::step(kind, StepId(3));
    assert_eq!(step(EventKind::StepStarted).sentence(), "Step started");
    assert_eq!(
        step(EventKind::StepStarted).with("step_name", "01-a.md").with("engine_id", "codex").sentence(),
        "Step 01-a.md started with codex"
    );
    assert_eq!(Event::run(EventKind::LoopDecision).sentence(), "Looping back");
    assert_eq!(
        Event::run(EventKind::LoopDecision)
            .with("target_step_index", 1)
            .with("reason", "qa_failed")
            .sentence(),
        "Looping back to step 1 after qa_failed"
    );
    let many: Vec<String> = (0..9).map(|n| format!("f{n}")).collect();
    assert_eq!(
        Event::run(EventKind::PolicyAutofix).with("files", many).sentence(),
        "Required headings added to f0, f1, f2, f3, f4, f5, 3 more"
    );
}

#[test]
fn templates_use_declared_keys_only_and_leave_no_mark_behind() {
    for &kind in EventKind::ALL {
        let outside: String = kind
            .template()
            .split('[')
            .map(|part| part.split_once(']').map_or(part, |(_, after)| after))
            .collect();
        assert!(!outside.contains('{'), "{kind}: a placeholder stands outside brackets");
        let mut rest = kind.template();
        let mut all = Map::new();
        while let Some((_, after)) = rest.split_once('{') {
            let (key, next) = after.split_once('}').expect("closed placeholder");
            assert!(
                kind.keys().contains(&key) || COMMON_KEYS.contains(&key),
                "{kind}: {key} is not declared"
            );
            all.insert(key.to_owned(), json!("value"));
            rest = next;
        }
        for facts in [Map::new(), all] {
            let text = Event::run(kind).with_all(facts).sentence();
            assert!(!text.is_empty() && !text.contains(['{', '}', '[', ']']), "{kind}: {text}");
            assert!(!text.contains("  ") && text.trim() == text, "{kind}: {text:?}");
        }
        assert_eq!(EventKind::parse(kind.as_str()), Some(kind));
        assert_eq!(serde_json::to_value(kind).expect("serializes"), json!(kind.as_str()));
    }
}

#[test]
fn metadata_is_capped_longest_first() {
    let small = Event::run(EventKind::PlanningFailed).with("error", "e");
    assert_eq!(small.clone().capped(), small);

    let large = small.with("stdout", "ä\u{1}".repeat(200_000)).with("stderr", "short").capped();
    assert!(json_bytes(&large.metadata) <= METADATA_CAP);
    assert_eq!(large.metadata["truncated"], json!(true));
    assert_eq!(large.metadata["stderr"], json!("short"));
    assert!(large.metadata["stdout"].as_str().expect("text").ends_with('…'));

    let wide: Map<String, Value> = (0..20_000).map(|n| (format!("key{n}"), json!(n))).collect();
    let wide = Event::run(EventKind::Planned).with_all(wide).with("files", vec![1; 50_000]).capped();
    assert!(json_bytes(&wide.metadata) <= METADATA_CAP);
    assert_eq!(wide.metadata["truncated"], json!(true));
}
