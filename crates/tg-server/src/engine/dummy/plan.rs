//! What the dummy engine answers: plan, step text, report. Derived from the prompt alone.

use serde_json::json;
use sha2::{Digest, Sha256};

/// Most characters of the task that a plan repeats.
const GOAL_CHARACTERS: usize = 20_000;

/// Material of a prompt: what stands between the marks that carry this label.
pub(super) fn material<'a>(prompt: &'a str, label: &str) -> Option<&'a str> {
    let begin = format!("<<<BEGIN {label} ");
    let (_, rest) = prompt.split_once(&begin)?;
    let (mark, rest) = rest.split_once(">>>\n")?;
    let (text, _) = rest.split_once(&format!("\n<<<END {label} {mark}>>>"))?;
    Some(text)
}

/// First 8 hex digits of the prompt's SHA-256.
pub(super) fn digest(prompt: &str) -> String {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(prompt.as_bytes()).into();
    format!("{a:02x}{b:02x}{c:02x}{d:02x}")
}

/// First line of the task, short enough for a heading.
fn task(prompt: &str) -> String {
    let text = material(prompt, "task").unwrap_or(prompt);
    let line =
        text.lines().map(|line| line.trim_start_matches(['#', ' '])).find(|line| !line.trim().is_empty());
    line.unwrap_or("the task").trim().chars().take(120).collect()
}

/// A valid plan: set-up and two steps of work.
pub(super) fn plan(prompt: &str) -> String {
    let task = task(prompt);
    // An answer is one line, and lines have a cap: a task of a megabyte is not repeated whole.
    let whole = material(prompt, "task").unwrap_or(&task).trim();
    let whole: String = whole.chars().take(GOAL_CHARACTERS).collect();
    let digest = digest(prompt);
    let step = |title: &str, briefing: &str, tasks: [&str; 2]| {
        format!(
            "# {title}\n\n## Briefing\n{briefing}\n\n## Sub-tasks\n- {}\n- {}\n\n\
             ## Workflow\n1. Read the plan.\n2. Do the sub-tasks in order.\n3. Look at what was changed.\n",
            tasks[0], tasks[1]
        )
    };
    json!({
        "plan_md": format!(
            "# Plan: {task}\n\nMade by the scripted engine ({digest}); no model was asked.\n\n## Goal\n{whole}\n\n\
             ## Steps\n- 00-setup.md\n- 01-implement.md\n- 02-verify.md\n"
        ),
        "context_md": format!(
            "# Context\n\n- Task: {task}\n- Current Step: 00-setup.md\n- Next Action: begin with the set-up\n"
        ),
        "log_md": format!("# Work log\n\n- Plan made for: {task}\n"),
        "step_files": [
            {"filename": "00-setup.md", "content": step(
                "Set-up", &format!("Make sure that work on \"{task}\" can begin."),
                ["Read plan and context.", "Note in the context what is missing."])},
            {"filename": "01-implement.md", "content": step(
                "Implement", &format!("Do the work: {task}."),
                ["Make the change.", "Keep it small."])},
            {"filename": "02-verify.md", "content": step(
                "Verify", &format!("Show that \"{task}\" is done."),
                ["Check the change.", "Write down what was checked."])},
        ],
    })
    .to_string()
}

/// The step text that was to be decomposed, with its parts spelled out.
pub(super) fn decomposed(prompt: &str) -> String {
    let step = material(prompt, "step").unwrap_or(prompt).trim();
    let mut text = format!("{step}\n");
    for (heading, body) in [
        ("Briefing", "The step as planned."),
        ("Sub-tasks", "- Carry the step out as written."),
        ("Workflow", "1. Do the sub-tasks in order.\n2. Look at what was changed."),
    ] {
        if !tg_core::plan::has_section(&text, heading) {
            text.extend(["\n## ", heading, "\n", body, "\n"]);
        }
    }
    text
}

/// A report of quality assurance; `verdict` is its last line.
pub(super) fn report(step: &str, prompt: &str, verdict: Option<&str>) -> String {
    let mut text = format!(
        "# Report on {step}\n\n## Summary\nChecked by the scripted engine ({}); no model was asked.\n\n## Findings\n",
        digest(prompt)
    );
    text.push_str(match verdict {
        Some("FAIL") => "- The work of this step is not complete: this scenario always says so.\n",
        Some(_) => "- None.\n",
        None => "- Hard to say; it may be fine, or not.\n",
    });
    if let Some(verdict) = verdict {
        text.extend(["\nVerdict: ", verdict, "\n"]);
    }
    text
}
