//! Sentences, the metadata cap, and the page of all kinds.

use std::fmt::Write as _;

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
    assert_eq!(
        Event::run(EventKind::PlanningFailed).with("error", "a\n\u{1b}]8;;x\u{7}\u{202e}b").sentence(),
        "Planning failed: a ]8;;x b"
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

/// The page of all kinds, as `docs/events.md` must hold it.
fn page() -> String {
    let mut page = String::from(
        "# Events\n\nThe closed vocabulary of the timeline, made from `tg-core/src/event/kinds.rs`. Do not edit: run\n\
         `TASKSGODZILLA_BLESS=1 cargo test -p tg-core event` after a change of the table.\n\n\
         A `[…]` part of a sentence is left out when a value inside it is not known. Every event may also carry: ",
    );
    page.push_str(&COMMON_KEYS.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", "));
    page.push_str(".\n");
    for &category in Category::ALL {
        writeln!(page, "\n## {category}\n\n| Event | When | Metadata | Sentence |\n|---|---|---|---|")
            .expect("a string");
        for kind in EventKind::ALL.iter().filter(|kind| kind.category() == category) {
            let keys = kind.keys().join(", ");
            writeln!(page, "| `{kind}` | {} | {keys} | {} |", kind.when(), kind.template())
                .expect("a string");
        }
    }
    page
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test is told to bless by its environment")]
fn the_page_of_events_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/events.md");
    if std::env::var_os("TASKSGODZILLA_BLESS").is_some() {
        std::fs::write(path, page()).expect("the page can be written");
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == page(),
        "docs/events.md is stale; run TASKSGODZILLA_BLESS=1 cargo test -p tg-core event"
    );
}

/// The words of contract section 4, so that none gets lost.
const CONTRACT_WORDS: &str = "
    project_created project_updated project_archived project_secret_set project_secret_removed
    project_token_rotated policy_pack_saved policy_pack_deprecated policy_changed clarification_created
    clarification_answered protocol_created protocol_updated step_created step_updated setup_enqueued
    setup_started setup_repo_present setup_pending_clone setup_clone_failed setup_cloned
    setup_local_path_recorded setup_discovery_started setup_discovery_completed setup_discovery_skipped
    setup_discovery_warning setup_assets setup_warning setup_git_remote setup_git_identity
    setup_clarifications setup_blocked setup_completed setup_failed planning_enqueued
    planning_blocked_clarifications planning_failed decompose_started decompose_completed planned
    policy_autofix policy_findings policy_blocked spec_validation_error spec_audit paused resumed cancelled
    step_enqueued step_retry_enqueued step_stuck_watchdog step_blocked_clarifications step_blocked
    step_started step_completed step_execution_failed step_reset codemachine_step_completed
    codemachine_step_failed codemachine_import_enqueued codemachine_imported codemachine_import_failed
    qa_enqueued qa_skipped_policy qa_blocked_clarifications qa_blocked_repo qa_passed qa_failed
    qa_passed_inline qa_failed_inline qa_error qa_inline_error manual_approval protocol_completed
    loop_decision loop_limit_reached loop_condition_skipped trigger_decision trigger_condition_skipped
    trigger_missing_target trigger_skipped trigger_enqueued trigger_enqueue_failed trigger_pending
    trigger_inline_depth_exceeded repo_missing repo_clone_failed open_pr_enqueued open_pr open_pr_skipped
    open_pr_failed open_pr_branch_exists ci_triggered branch_created branch_deleted branch_delete_failed
    webhook_received webhook_ignored ci_passed ci_failed fix_ci_spawned review_spawned pr_merged mr_merged
    pr_closed mr_closed budget_warning budget_exceeded model_fallback job_retry_scheduled job_failed
    unknown_job token_created token_revoked worker_changed";

#[test]
fn the_vocabulary_is_the_contracts_and_its_additions() {
    let mut expected: Vec<&str> = CONTRACT_WORDS.split_whitespace().chain(["sandbox_off"]).collect();
    let mut found: Vec<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    expected.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, expected);
}
