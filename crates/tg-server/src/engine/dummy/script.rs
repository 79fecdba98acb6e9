//! The script file of the dummy engine (tests only): a JSON list of rules, the first that matches
//! is played.

use serde::Deserialize;
use serde_json::Value;

use super::read::Tokens;

/// A rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rule {
    #[serde(rename = "match", default)]
    wanted: Wanted,
    #[serde(rename = "do")]
    pub acts: Vec<Act>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    phase: Option<String>,
    step: Option<String>,
    attempt: Option<i64>,
}

/// One thing to do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Act {
    /// Say a text.
    Say(String),
    /// Write a file below the working directory.
    Write(String, String),
    /// Write the prompt to a file below the working directory.
    WritePrompt(String),
    /// Run a shell script in the working directory, confined as the engine itself is. What it prints
    /// is printed; how it ends changes nothing.
    Run(String),
    /// Wait.
    SleepMs(u64),
    /// Report this usage at the end.
    Usage(Tokens),
    /// Print a line as it is.
    Raw(String),
    /// The last message.
    Final(String),
    /// The last message, as JSON.
    Structured(Value),
    /// Fail with this kind.
    Fail(String),
    /// End with this status at once.
    Exit(i32),
    /// Answer as the scenario would.
    Scenario(String),
}

/// The acts for a call; `None` when no rule matches.
pub(super) fn find(rules: Vec<Rule>, phase: &str, step: &str, attempt: i64) -> Option<Vec<Act>> {
    let fits = |rule: &Rule| {
        rule.wanted.phase.as_deref().is_none_or(|wanted| wanted == phase)
            && rule.wanted.step.as_deref().is_none_or(|wanted| wanted == step)
            && rule.wanted.attempt.is_none_or(|wanted| wanted == attempt)
    };
    rules.into_iter().find(fits).map(|rule| rule.acts)
}
