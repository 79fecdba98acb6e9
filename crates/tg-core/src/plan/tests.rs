//! Plans that are taken or refused, and edits of protocol files.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn answer(files: &[(&str, &str)]) -> String {
    let files: Vec<Value> =
        files.iter().map(|(filename, content)| json!({ "filename": filename, "content": content })).collect();
    json!({ "plan_md": "# P", "context_md": "", "log_md": "", "step_files": files }).to_string()
}

fn error(answer: &str) -> &'static str {
    read(answer).expect_err("refused").word()
}

#[test]
fn a_good_plan_is_sorted_and_gets_a_set_up_step() {
    let plan = read(&answer(&[("02-b.md", "b"), ("01-a.md", "a")])).expect("a plan");
    let names: Vec<&str> = plan.step_files.iter().map(|file| file.filename.as_str()).collect();
    assert_eq!(names, ["00-setup.md", "01-a.md", "02-b.md"]);
    assert!(has_section(&plan.step_files[0].content, "Briefing"));
    assert!(has_section(&plan.step_files[0].content, "Sub-tasks"));

    let own = read(&answer(&[("00-prepare.md", "x")])).expect("a plan");
    assert_eq!(own.step_files.len(), 1);
    let fenced = format!("```json\n{}\n```\n", answer(&[("01-a.md", "a")]));
    assert!(read(&fenced).is_ok());
}

#[test]
fn bad_plans_are_refused() {
    let many: Vec<(String, &str)> = (0..10_000).map(|n| (format!("{:02}-x{n}.md", n % 100), "x")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, content)| (name.as_str(), *content)).collect();
    let large = "x".repeat(MAX_BYTES);
    let deep = "[".repeat(200_000);
    let cases = [
        ("not json".to_owned(), "plan_not_json"),
        (String::new(), "plan_not_json"),
        (format!("Here it is: {}", answer(&[("01-a.md", "a")])), "plan_not_json"),
        (deep, "plan_not_json"),
        ("[]".to_owned(), "plan_schema"),
        ("{}".to_owned(), "plan_schema"),
        (json!({"plan_md": 1, "context_md": "", "log_md": "", "step_files": []}).to_string(), "plan_schema"),
        (
            json!({"plan_md": "", "context_md": "", "log_md": "", "step_files": [], "x": 1}).to_string(),
            "plan_schema",
        ),
        (
            json!({"plan_md": "", "context_md": "", "log_md": "",
                   "step_files": [{"filename": "01-a.md", "content": "a", "mode": 777}]})
            .to_string(),
            "plan_schema",
        ),
        (answer(&[]), "plan_step_count"),
        (answer(&many), "plan_step_count"),
        (answer(&[("01-a.md", &large)]), "plan_too_large"),
        (answer(&[("01-a.md", "a"), ("01-a.md", "b")]), "plan_duplicate_number"),
        (answer(&[("01-a.md", "a"), ("01-b.md", "b")]), "plan_duplicate_number"),
        (answer(&[("01-a.md", " \n\t")]), "plan_blank_step"),
    ];
    for (text, word) in cases {
        assert_eq!(error(&text), word, "{}", text.chars().take(120).collect::<String>());
    }
    let long = format!("01-{}.md", "a".repeat(82));
    for name in [
        "../x.md",
        "/etc/x",
        "../01-x.md",
        "01-a/../../x.md",
        "01-a/b.md",
        "1-a.md",
        "001-a.md",
        "01_a.md",
        "01-.md",
        "01--a.md",
        "01-a.txt",
        "01-a",
        "01-a.md\n",
        "01-a.md/",
        "01-a b.md",
        "01-é.md",
        "٠١-a.md",
        "01-a\\b.md",
        ".md",
        "",
        "\u{ff}\u{ff}-a.md",
        "01-a.MD",
        "plan.md",
        &long,
    ] {
        assert_eq!(error(&answer(&[(name, "x")])), "plan_filename", "{name:?}");
    }
    let longest = format!("01-{}.md", "a".repeat(81));
    assert!(read(&answer(&[(&longest, "x")])).is_ok());
}

#[test]
fn schema_errors_name_the_place_and_not_the_content() {
    let secret = "s3cret".repeat(100);
    let text = json!({"plan_md": "", "context_md": "", "log_md": "", "step_files": [secret]}).to_string();
    let message = read(&text).expect_err("refused").to_string();
    assert!(message.contains("step_files/0: "), "{message}");
    assert!(!message.contains("s3cret"), "{message}");
}

#[test]
fn simple_steps_are_small_in_every_respect() {
    assert!(is_simple("Do it.\n\n- a\n* b\n+ c\n1. d\n2) e\n  - f\n"));
    assert!(!is_simple("- a\n* b\n+ c\n1. d\n2) e\n  - f\n10. g\n"));
    assert!(is_simple(&"x\n\n".repeat(12)) && !is_simple(&"x\n".repeat(13)));
    assert!(is_simple(&"é".repeat(1200)) && !is_simple(&"é".repeat(1201)));
    assert!(is_simple("-a\n-b\n-c\n-d\n-e\n-f\n-g\n1.5 x"), "no space, no bullet");
}

#[test]
fn missing_sections_are_appended_once() {
    let required = ["Goal", "Risks ", "risks", ""].map(str::to_owned);
    let content = "# Step\n\n### goal  \ntext\n";
    let fixed = with_sections(content, &required).expect("one is missing");
    assert_eq!(fixed, "# Step\n\n### goal  \ntext\n\n## Risks\n- TBD\n");
    assert_eq!(with_sections(&fixed, &required), None);
    for content in ["#Goal", "####### Goal", "## Goals", "Goal", "## The Goal"] {
        assert!(!has_section(content, "Goal"), "{content}");
    }
}

#[test]
fn the_current_step_changes_in_place() {
    for (before, after) in [
        ("- Current Step: 0\n- Status: x\n", "- Current Step: 01-a.md\n- Status: x\n"),
        ("- **Current Step**: old text", "- **Current Step**: 01-a.md"),
        ("* **Current Step:** old\r\nz", "* **Current Step:** 01-a.md\r\nz"),
        ("**current step:** `x`\n", "**current step:** 01-a.md\n"),
        ("Current Step:\n", "Current Step: 01-a.md\n"),
        ("# Context\n- Status: x", "# Context\n- Status: x\n- Current Step: 01-a.md\n"),
        (
            "The current step: no label here? yes\n",
            "The current step: no label here? yes\n- Current Step: 01-a.md\n",
        ),
        ("", "- Current Step: 01-a.md\n"),
        ("Current Step: a\nCurrent Step: b\n", "Current Step: 01-a.md\nCurrent Step: b\n"),
    ] {
        assert_eq!(with_current_step(before, "01-a.md"), after, "{before:?}");
        assert_eq!(with_current_step(after, "01-a.md"), after);
    }
}

#[test]
fn log_lines_and_decompositions() {
    assert_eq!(log_line(1_709_208_000_123, "a\nb"), "- 2024-02-29 12:00:00 UTC - a b\n");
    assert_eq!(decomposed("```markdown\n# A\n\ntext\n```").as_deref(), Some("# A\n\ntext\n"));
    assert_eq!(decomposed("# A\n").as_deref(), Some("# A\n"));
    assert_eq!(decomposed(" \n"), None);
    assert_eq!(decomposed("```\n```"), None);
    let inner = "```sh\nls\n```\ntext\n```sh\nls\n```";
    assert_eq!(without_fence(inner), inner);
}

proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,40}|[{}\\[\\]\":, a-z_`\n]{0,60}", step in "\\PC{0,20}") {
        prop_assert!(read(&text).is_err());
        is_simple(&text);
        has_section(&text, &step);
        prop_assert!(with_current_step(&text, &step).to_lowercase().contains("current step"));
        if let Some(fixed) = with_sections(&text, std::slice::from_ref(&step)) {
            prop_assert!(has_section(&fixed, &crate::plain::one_line(&step)));
        }
    }

    #[test]
    fn only_plain_names_become_files(name in "(\\.\\./|[0-9]{2}-|/|[a-zA-Z._-]|\\\\|\\PC){1,8}(\\.md)?") {
        if read(&answer(&[(&name, "x")])).is_ok() {
            prop_assert!(!name.contains(['/', '\\']) && !name.starts_with('.') && name.strip_suffix(".md").is_some());
            prop_assert_eq!(std::path::Path::new(&name).components().count(), 1);
        }
    }
}
