//! Answers of a planner that are no plan, and verdicts that are none.

use std::path::Path;

use serde_json::{Value, json};

use super::world::{World, in_worktree, plan};

/// Lets the planner answer this; everything else goes well.
fn planner(world: &mut World, acts: &Value) {
    world.script(&json!([{"match": {"phase": "plan"}, "do": acts}]));
}

/// Nothing of a refused plan is anywhere: no step, no commit, no file.
#[track_caller]
fn nothing_written(world: &World, run: &Value) {
    assert_eq!(world.steps(run), Vec::<Value>::new());
    assert_eq!(world.pushed(run), Vec::<String>::new());
    assert_eq!(in_worktree(run, ".protocols"), None);
    let events = world.list(&["events", "recent", "--protocol", &run["id"].to_string(), "--limit", "500"]);
    let failed = events.iter().find(|event| event["event_type"] == "planning_failed");
    assert!(failed.is_some(), "{events:?}");
    assert!(events.iter().all(|event| event["event_type"] != "planned"), "{events:?}");
}

#[test]
fn a_plan_that_is_no_json_blocks_after_one_more_try() {
    let mut world = World::new();
    planner(&mut world, &json!([{"final": "First I would look at the code, then change it."}]));
    let run = world.blocked(&world.run("dummy", &[]), "planning_invalid", "not JSON");
    nothing_written(&world, &run);
    let attempts: Vec<_> = world.calls(&run).iter().map(|call| call["status"].clone()).collect();
    assert_eq!(attempts, ["failed", "failed"]);
}

#[test]
fn a_plan_that_breaks_the_schema_blocks() {
    let mut world = World::new();
    let mut extra = plan(&[("01-work.md", "# Work\n")]);
    extra["steps"] = json!([]);
    let mut incomplete = plan(&[("01-work.md", "# Work\n")]);
    incomplete.as_object_mut().unwrap().remove("context_md");
    let nested = json!({"plan_md": 1, "context_md": [], "log_md": {}, "step_files": "01-work.md"});
    for (answer, sentence) in [(extra, "steps"), (incomplete, "context_md"), (nested, "plan_md")] {
        planner(&mut world, &json!([{"structured": answer}]));
        let run = world.blocked(&world.run("dummy", &[]), "planning_invalid", sentence);
        nothing_written(&world, &run);
    }
}

#[test]
fn a_plan_that_names_files_elsewhere_blocks_at_once() {
    let mut world = World::new();
    let planted = format!("/etc/tasksgodzilla-bad-input-{}", std::process::id());
    for name in [
        "../x.md",
        "../../../x.md",
        planted.as_str(),
        "/etc/passwd",
        "01-a/../../x.md",
        "01-work.md/",
        "01-\u{202e}dm.md",
        "01-work.md\n02-more.md",
        ".git/hooks/pre-commit",
        "plan.md",
    ] {
        planner(&mut world, &json!([{"structured": plan(&[("01-work.md", "# Work\n"), (name, "# X\n")])}]));
        let run = world.blocked(&world.run("dummy", &[]), "planning_invalid", "only names like");
        nothing_written(&world, &run);
        // No second try: the planner broke a rule, not a form.
        assert_eq!(world.calls(&run).len(), 1, "{name}");
        assert_eq!(in_worktree(&run, "x.md"), None);
        assert!(!world.env.path("x.md").exists());
        assert!(!Path::new(&planted).exists());
    }
}

#[test]
fn a_plan_of_ten_thousand_files_or_with_duplicate_numbers_blocks() {
    let mut world = World::new();
    let names: Vec<String> =
        (0..10_000).map(|number| format!("{:02}-step-{number}.md", number % 100)).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "# X\n")).collect();
    for (answer, sentence) in [
        (plan(&many), "10000 step files"),
        (plan(&[("01-one.md", "# One\n"), ("01-two.md", "# Two\n")]), "number 01"),
        (plan(&[("01-one.md", "# One\n"), ("01-one.md", "# One\n")]), "number 01"),
        (plan(&[]), "0 step files"),
        (plan(&[("01-one.md", " \n\t")]), "blank"),
    ] {
        planner(&mut world, &json!([{"structured": answer}]));
        let run = world.blocked(&world.run("dummy", &[]), "planning_invalid", sentence);
        nothing_written(&world, &run);
        assert_eq!(world.calls(&run).len(), 1, "{sentence}");
    }
}

#[test]
fn a_verdict_of_maybe_never_passes() {
    let mut world = World::new();
    for verdict in ["maybe", "PASS (with remarks)", ""] {
        let report = format!("# Report\n\nIt looks fine.\n\nVerdict: {verdict}\n");
        world.script(&json!([{"match": {"phase": "qa"}, "do": [{"final": report}]}]));
        let run = world.blocked(&world.run("dummy", &[]), "qa_failed", "");
        let judged: Vec<_> =
            world.steps(&run).into_iter().filter(|step| step["step_type"] == "work").collect();
        assert_eq!(judged[0]["status"], "failed", "{verdict}: {judged:?}");
        assert_eq!(judged[1]["status"], "pending", "{verdict}: {judged:?}");
        // The work itself is kept, with the report that did not pass it.
        let pushed = world.pushed(&run);
        assert!(
            pushed.iter().any(|subject| subject.contains("[protocol-") && subject.contains("/01]")),
            "{pushed:?}"
        );
        assert!(in_worktree(&run, "dummy/01-implement.md").is_some());
    }
}
