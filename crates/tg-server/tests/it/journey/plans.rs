//! Plans that break a rule write nothing and block the run with the rule.

use serde_json::{Value, json};

use super::{NAME, answered, plan, short, short_plan, worked};
use tg_server::testing::app::{Setup, TestApp};

async fn refused(rule: Value) -> (TestApp, String, Vec<i64>) {
    let app = Setup::new(super::SHIM).script(Value::Array(vec![rule])).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    let delays = app.run_to_rest().await;
    let row = app.run(run).await;
    assert_eq!(app.standing(run).await, "blocked (planning_invalid)", "{:?}", row.status_reason);
    assert!(app.event_types(run).await.contains(&"planning_failed".to_owned()));
    assert!(app.file(run, &format!(".protocols/{NAME}/plan.md")).await.is_none(), "nothing is written");
    assert!(app.pushed(NAME).await.is_empty());
    (app, row.status_reason.unwrap().message, delays)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_that_lead_elsewhere_write_nothing() {
    for name in ["../x.md", "/etc/x.md", "01-../../x.md", ".git/hooks/01-x.md", "01-a/b.md"] {
        let (app, told, delays) = refused(plan(&[(name, "# X\n")])).await;
        assert!(told.contains("names the step file"), "{told}");
        assert!(delays.is_empty(), "a rule broken is no accident");
        assert!(!app.folder().join("x.md").exists() && !std::path::Path::new("/etc/x.md").exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_files_duplicates_blanks_and_nothing_are_refused() {
    let names: Vec<String> =
        (0..10_000).map(|number| format!("{:02}-step-{number}.md", number % 100)).collect();
    let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "# Step\n")).collect();
    let (_, told, _) = refused(plan(&many)).await;
    assert!(told.contains("10000"), "{told}");
    let (_, told, _) = refused(plan(&[("01-a.md", "# A\n"), ("01-b.md", "# B\n")])).await;
    assert!(told.contains("number 01"), "{told}");
    let (_, told, _) = refused(plan(&[("01-a.md", "  \n")])).await;
    assert!(told.contains("blank"), "{told}");
    let (_, told, _) = refused(plan(&[])).await;
    assert!(told.contains("step"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_in_the_wrong_form_is_asked_for_once_more() {
    let (_, told, delays) = refused(answered(&json!({"plan_md": 7}))).await;
    assert_eq!(delays, [2], "{told}");
    let rule = json!({"match": {"phase": "plan"}, "do": [{"final": "Sure, here is the plan!"}]});
    let (_, _, delays) = refused(rule).await;
    assert_eq!(delays, [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_without_set_up_gets_one() {
    let app = Setup::new(super::SHIM)
        .set("PROTOCOL_SKIP_SIMPLE_DECOMPOSE", "true")
        .script(json!([plan(&[("01-work.md", "# Work\n")])]))
        .make()
        .await;
    let run = worked(&app, None).await;
    assert_eq!(app.standing(run).await, "completed | 00-setup.md completed | 01-work.md completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_refinement_keeps_the_original() {
    let refine = json!({"match": {"phase": "plan", "step": "01-work.md"}, "do": [{"final": ""}]});
    let app = Setup::new(super::SHIM).script(json!([refine, short_plan()])).make().await;
    let run = app.create(NAME, None).await;
    app.start(run).await;
    app.run_one_job().await;
    let file = app.file(run, &format!(".protocols/{NAME}/01-work.md")).await.unwrap();
    assert!(file.starts_with("# Work\n"), "{file}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planning_again_replaces_steps_that_never_ran() {
    let app = short(&[]).make().await;
    let mut new = app.usual(NAME, None);
    new.auto_advance = false;
    let run = app.create_as(new).await;
    app.start(run).await;
    app.run_to_rest().await;
    let first = app.run(run).await.spec_hash;
    app.replace_script(&json!([plan(&[("00-setup.md", "# Set-up\n"), ("02-other.md", "# Other\n")])]));
    app.start(run).await;
    app.run_to_rest().await;
    assert_eq!(app.standing(run).await, "planned | 00-setup.md pending | 02-other.md pending");
    assert_ne!(app.run(run).await.spec_hash, first);
    assert!(app.file(run, &format!(".protocols/{NAME}/01-work.md")).await.is_none(), "its file went too");
}
