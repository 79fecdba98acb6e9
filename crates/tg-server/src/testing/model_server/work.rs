//! Scenarios that carry a whole run: `work` plans, executes and judges; `work-qafail` judges FAIL;
//! `work-badplan` plans outside the folder.
//!
//! The model obeys mechanically. It tells the kind of request by what the answer must look like: a
//! schema with `step_files` wants a plan; the last marker line of the prompt, `Verdict: …` or
//! `Commit: …`, wants a report or work; a prompt with a fenced step and no marker wants that step back.
//! It runs the first `Command: …` line it is shown, and changes nothing when there is none.

use serde_json::{Value, json};

use super::script::Action;

/// Flavours of the scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// Everything goes well.
    Passes,
    /// The judge says FAIL.
    FailsQuality,
    /// The plan names a file outside its folder.
    BadPlan,
}

impl Variant {
    /// The flavour a scenario stands for.
    pub fn named(scenario: &str) -> Option<Self> {
        Some(match scenario {
            "work" => Self::Passes,
            "work-qafail" => Self::FailsQuality,
            "work-badplan" => Self::BadPlan,
            _ => return None,
        })
    }
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Plan,
    Report,
    Work,
    Step(String),
    Nothing,
}

/// What the model does at this turn.
pub fn actions(variant: Variant, request: &Value, turn: usize) -> Vec<Action> {
    let prompt = prompt_of(request);
    match (asked(request, &prompt), turn) {
        (Asked::Plan, _) => vec![Action::Structured(plan(variant))],
        (Asked::Report, _) => vec![Action::Text(report(variant))],
        (Asked::Step(step), _) => vec![Action::Text(format!("{step}\n- Say what was changed.\n"))],
        (Asked::Work, 0) => command_in(&prompt).map_or_else(
            || vec![Action::Text("Nothing to change in this step.".to_owned())],
            |command| vec![Action::Text("I will run the command.".to_owned()), Action::Shell(command)],
        ),
        (Asked::Work, _) => vec![Action::Text(
            "- Ran the command of the step; it printed what it wrote.\n\nCommit: feat(work): carry out the step"
                .to_owned(),
        )],
        (Asked::Nothing, _) => vec![Action::Text("Nothing was asked.".to_owned())],
    }
}

fn asked(request: &Value, prompt: &str) -> Asked {
    if request["text"]["format"]["schema"]["properties"]["step_files"].is_object() {
        return Asked::Plan;
    }
    let marker = prompt
        .lines()
        .map(str::trim)
        .rfind(|line| line.starts_with("Verdict: ") || line.starts_with("Commit: "));
    match marker {
        Some(line) if line.starts_with("Verdict: ") => Asked::Report,
        Some(_) => Asked::Work,
        None => fenced(prompt, "step").map_or(Asked::Nothing, Asked::Step),
    }
}

/// The last words of the user.
fn prompt_of(request: &Value) -> String {
    let items = request["input"].as_array().map(Vec::as_slice).unwrap_or_default();
    let last = items.iter().rfind(|item| item["role"] == "user");
    let parts = last.and_then(|item| item["content"].as_array()).map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<&str> = parts.iter().filter_map(|part| part["text"].as_str()).collect();
    texts.join("\n")
}

/// The content of the block `name`, between its BEGIN and END lines.
fn fenced(prompt: &str, name: &str) -> Option<String> {
    let (begin, end) = (format!("<<<BEGIN {name} "), format!("<<<END {name} "));
    let inside: Vec<&str> = prompt
        .lines()
        .skip_while(|line| !line.starts_with(&begin))
        .skip(1)
        .take_while(|line| !line.starts_with(&end))
        .collect();
    (!inside.is_empty()).then(|| inside.join("\n"))
}

/// The first order in the prompt.
fn command_in(prompt: &str) -> Option<String> {
    prompt.lines().find_map(|line| {
        let line = line.trim().trim_start_matches("- ");
        line.strip_prefix("Command: ").map(|command| command.trim_matches('`').to_owned())
    })
}

fn step(title: &str, goal: &str, command: &str) -> String {
    format!(
        "# {title}\n\n## Briefing\n- Goal: {goal}\n- Key files: greeting.txt\n\n\
         ## Sub-tasks\n- Command: `{command}`\n\n## Workflow\n- `cat greeting.txt` prints the lines in order.\n"
    )
}

fn plan(variant: Variant) -> Value {
    let hello = step("Greet", "greeting.txt greets", "printf 'hello\\n' > greeting.txt && cat greeting.txt");
    let bye =
        step("Part", "greeting.txt parts too", "printf 'goodbye\\n' >> greeting.txt && cat greeting.txt");
    let setup = "# Set-up\n\n## Briefing\nNothing has to be prepared.\n\n## Sub-tasks\n- Look round.\n";
    let first = if variant == Variant::BadPlan { "../01-greet.md" } else { "01-greet.md" };
    json!({
        "plan_md": "# Greeting\n\n## Summary\n- Problem: nobody is greeted.\n- Decision: a file that greets.\n\n\
            ## Steps\n- [00 Set-up](00-setup.md)\n- [01 Greet](01-greet.md)\n- [02 Part](02-part.md)\n",
        "context_md": "# Context\n\n- Current Step: 00-setup.md\n- Status: planned\n- Next Action: carry out 00-setup.md\n",
        "log_md": "# Log\n",
        "step_files": [
            {"filename": "00-setup.md", "content": setup},
            {"filename": first, "content": hello},
            {"filename": "02-part.md", "content": bye},
        ],
    })
}

fn report(variant: Variant) -> String {
    let (finding, verdict) = match variant {
        Variant::Passes | Variant::BadPlan => ("none", "PASS"),
        Variant::FailsQuality => ("greeting.txt: does not say what it should", "FAIL"),
    };
    format!(
        "## Summary\nThe step was compared with the worktree.\n\n## Findings\n### Blocking\n- {finding}\n\n\
         ## Next actions\n- {finding}\n\nVerdict: {verdict}"
    )
}
