//! `doctor`: what this machine offers, one line per check, one remedy per line that is not well.

pub mod engines;
mod machine;
mod reaper;

use std::collections::BTreeMap;

use clap::Args;
use serde::Serialize;

use super::{CliError, ErrorKind, Global};
use crate::{
    output::{Output, Tone},
    start::{self, Chatter},
};

/// Nothing to choose.
#[derive(Debug, Args)]
pub struct DoctorArgs {}

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Well.
    Ok,
    /// Work is possible without it.
    Warn,
    /// Work is not possible.
    Fail,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// How it went.
    pub state: State,
    /// What was found.
    pub found: String,
    /// What to do, when it is not well.
    pub remedy: Option<String>,
}

impl Check {
    /// A check that went well.
    pub fn ok(name: &str, found: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state: State::Ok, found: found.into(), remedy: None }
    }

    /// A check that did not.
    pub fn not_ok(name: &str, state: State, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { name: name.to_owned(), state, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// Runs the command.
pub async fn run(global: &Global, _args: DoctorArgs, output: &Output) -> Result<(), CliError> {
    let config = start::config(global, BTreeMap::new(), Chatter::Command, output)?;
    let mut checks = machine::look(&config).await;
    checks.push(reaper::look(&config).await);
    checks.extend(engines::checks(&config).await);
    output.show(&checks, |output| {
        for check in &checks {
            let (tone, word) = match check.state {
                State::Ok => (Tone::Good, "ok  "),
                State::Warn => (Tone::Doubtful, "warn"),
                State::Fail => (Tone::Bad, "FAIL"),
            };
            output.toned(tone, &format!("{word}  {:<16}  {}", check.name, check.found));
            if let Some(remedy) = &check.remedy {
                output.line(&format!("      {:<16}  -> {remedy}", ""));
            }
        }
    });
    let bad: Vec<&Check> = checks.iter().filter(|check| check.state == State::Fail).collect();
    let Some(first) = bad.first() else { return Ok(()) };
    let names: Vec<&str> = bad.iter().map(|check| check.name.as_str()).collect();
    Err(CliError {
        kind: ErrorKind::Missing,
        error: format!("not well: {} ({})", names.join(", "), first.found),
        hint: first.remedy.clone(),
    })
}
