//! Reads what `codex exec --json` prints. Decides nothing about the run.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;
use tg_core::protocol::Usage;

use super::super::{EngineFailure, Exit, FailKind, Pipe, Progress, Reader, Reading};

/// Lines of standard error that are kept to tell why it failed.
const KEPT_LINES: usize = 40;
/// Notes and open tools that are kept; a flood of them must not fill the memory.
const KEPT: usize = 200;
/// Most characters of each.
const KEPT_CHARACTERS: usize = 1000;

/// Reads one run of codex.
pub(super) struct CodexReader {
    prior: Option<Usage>,
    session: Option<String>,
    last_text: Option<String>,
    end: Option<End>,
    last_error: Option<String>,
    errors: Vec<String>,
    usage: Option<Usage>,
    sandbox: Option<String>,
    open: BTreeSet<String>,
    warnings: Vec<String>,
}

/// A terminal event.
enum End {
    Completed,
    Failed(String),
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum Line {
    #[serde(rename = "thread.started")]
    ThreadStarted { thread_id: String },
    #[serde(rename = "turn.started")]
    TurnStarted,
    #[serde(rename = "turn.completed")]
    TurnCompleted { usage: Option<Tokens> },
    #[serde(rename = "turn.failed")]
    TurnFailed { error: Option<Message> },
    #[serde(rename = "item.started")]
    ItemStarted { item: Value },
    #[serde(rename = "item.completed")]
    ItemCompleted { item: Value },
    #[serde(rename = "error")]
    Error { message: String },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(rename = "input_tokens", default)]
    input: u64,
    #[serde(rename = "cached_input_tokens", default)]
    cached: u64,
    #[serde(rename = "cache_write_input_tokens", default)]
    written: u64,
    #[serde(rename = "output_tokens", default)]
    output: u64,
    #[serde(rename = "reasoning_output_tokens")]
    reasoning: Option<u64>,
}

impl CodexReader {
    pub(super) const fn new(prior: Option<Usage>) -> Self {
        Self {
            prior,
            session: None,
            last_text: None,
            end: None,
            last_error: None,
            errors: Vec::new(),
            usage: None,
            sandbox: None,
            open: BTreeSet::new(),
            warnings: Vec::new(),
        }
    }

    fn warn(&mut self, text: String) -> Vec<Progress> {
        if self.warnings.len() < KEPT {
            self.warnings.push(short(&text));
        }
        vec![Progress::Warning(text)]
    }

    fn standard_error(&mut self, line: &str) -> Vec<Progress> {
        if line.contains("could not create PATH aliases") {
            let why = line.trim().trim_start_matches("WARNING: proceeding, even though we ");
            self.sandbox.get_or_insert_with(|| why.to_owned());
        }
        if !line.trim().is_empty() {
            if self.errors.len() == KEPT_LINES {
                // The first half tells the cause, the last line how it ended.
                self.errors.remove(KEPT_LINES / 2);
            }
            self.errors.push(short(line.trim_end()));
        }
        vec![Progress::Raw]
    }

    fn standard_output(&mut self, line: &str) -> Vec<Progress> {
        let Ok(line) = serde_json::from_str::<Line>(line) else { return vec![Progress::Raw] };
        match line {
            Line::ThreadStarted { thread_id } => {
                self.session = Some(thread_id.clone());
                vec![Progress::Session(thread_id)]
            }
            Line::TurnStarted => {
                self.end = None;
                vec![Progress::Raw]
            }
            Line::TurnCompleted { usage } => {
                self.end = Some(End::Completed);
                if let Some(tokens) = usage {
                    self.usage = Some(self.normalised(&tokens));
                }
                vec![Progress::Raw]
            }
            Line::TurnFailed { error } => {
                let why = error.map(|error| error.message).or_else(|| self.last_error.clone());
                self.end =
                    Some(End::Failed(why.unwrap_or_else(|| "the turn failed without a reason".to_owned())));
                vec![Progress::Raw]
            }
            Line::ItemStarted { item } => self.started(&item),
            Line::ItemCompleted { item } => self.completed(&item),
            Line::Error { message } if message.starts_with("Reconnecting") => vec![Progress::Retry(message)],
            Line::Error { message } => {
                self.last_error = Some(short(&message));
                vec![Progress::Warning(message)]
            }
            Line::Other => vec![Progress::Raw],
        }
    }

    fn started(&mut self, item: &Value) -> Vec<Progress> {
        let Some(tool) = tool(item) else { return vec![Progress::Raw] };
        if self.open.len() < KEPT && self.open.insert(short(text(item, "id"))) {
            return vec![Progress::ToolStart(tool)];
        }
        vec![Progress::Raw]
    }

    fn completed(&mut self, item: &Value) -> Vec<Progress> {
        match text(item, "type") {
            "agent_message" => {
                self.last_text = Some(text(item, "text").to_owned());
                return vec![Progress::Text(text(item, "text").to_owned())];
            }
            "reasoning" => return vec![Progress::Text(text(item, "text").to_owned())],
            "error" => return self.warn(text(item, "message").to_owned()),
            "file_change" => {
                let changes =
                    item.get("changes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
                return changes
                    .iter()
                    .map(|change| Progress::FileChange(text(change, "path").to_owned()))
                    .collect();
            }
            _ => {}
        }
        let Some(tool) = tool(item) else { return vec![Progress::Raw] };
        let exit = item.get("exit_code").and_then(Value::as_i64).and_then(|code| i32::try_from(code).ok());
        let mut progress = Vec::new();
        // Some commands show up only when they are over.
        if !self.open.remove(&short(text(item, "id"))) {
            progress.push(Progress::ToolStart(tool.clone()));
        }
        progress.push(Progress::ToolEnd { exit });
        if text(item, "status") == "failed" {
            let status = exit.map_or_else(String::new, |exit| format!(" (exit {exit})"));
            progress.extend(self.warn(format!("command failed{status}: {tool}")));
        }
        progress
    }

    /// Totals count the cached part of the input twice and run over the whole thread.
    fn normalised(&self, tokens: &Tokens) -> Usage {
        let prior = self.prior.unwrap_or_default();
        Usage {
            input: tokens.input.saturating_sub(tokens.cached).saturating_sub(prior.input),
            cache_read: tokens.cached.saturating_sub(prior.cache_read),
            cache_write: tokens.written.saturating_sub(prior.cache_write),
            output: tokens.output.saturating_sub(prior.output),
            reasoning: tokens
                .reasoning
                .map(|reasoning| reasoning.saturating_sub(prior.reasoning.unwrap_or(0))),
            cost_usd: None,
            reported: true,
        }
    }

    fn outcome(&self, exit: Exit) -> Result<(), EngineFailure> {
        if exit == Exit::Stopped {
            return Err(EngineFailure::new(FailKind::Cancelled, "codex was stopped"));
        }
        if let Some(why) = &self.sandbox {
            return Err(EngineFailure::new(FailKind::Sandbox, why.clone()));
        }
        match (&self.end, exit) {
            (Some(End::Failed(why)), _) => {
                Err(EngineFailure::new(kind_of(why).unwrap_or(FailKind::Provider), why.clone()))
            }
            (Some(End::Completed), Exit::Status(0)) => Ok(()),
            (None, Exit::Status(0)) => Err(EngineFailure::new(
                FailKind::BadOutput,
                "codex ended without saying that the turn is complete",
            )),
            (_, Exit::Status(status)) => Err(self.without_terminal(status)),
            (_, Exit::Signal(signal)) => {
                Err(EngineFailure::new(FailKind::Crashed, format!("codex was ended by signal {signal}")))
            }
            (_, Exit::Stopped) => Err(EngineFailure::new(FailKind::Cancelled, "codex was stopped")),
        }
    }

    /// It failed before or beside its own report; standard error is all there is.
    fn without_terminal(&self, status: i32) -> EngineFailure {
        let said = self.last_error.clone().into_iter().chain(self.errors.iter().cloned());
        let telling: Vec<String> = said.collect();
        let is_error = |line: &&String| line.to_ascii_lowercase().starts_with("error");
        let cause = telling
            .iter()
            .find(|line| kind_of(line).is_some())
            .or_else(|| telling.iter().find(is_error))
            .or_else(|| telling.last());
        let kind = match (status, cause.and_then(|line| kind_of(line))) {
            (_, Some(kind)) => kind,
            (2, None) => FailKind::BadInvocation,
            (_, None) => FailKind::Crashed,
        };
        let message = cause.map_or_else(
            || format!("codex ended with status {status} and said nothing"),
            |line| line.trim_start_matches("Error: ").trim_start_matches("error: ").to_owned(),
        );
        EngineFailure::new(kind, message)
    }
}

impl Reader for CodexReader {
    fn line(&mut self, pipe: Pipe, line: &str) -> Vec<Progress> {
        match pipe {
            Pipe::Out => self.standard_output(line),
            Pipe::Err => self.standard_error(line),
        }
    }

    fn finish(self: Box<Self>, exit: Exit) -> Reading {
        let outcome = self.outcome(exit);
        let final_text = if outcome.is_ok() { self.last_text } else { None };
        Reading { outcome, final_text, session: self.session, usage: self.usage, warnings: self.warnings }
    }
}

/// The beginning of a text that is kept beside others: a flood of long ones must not fill the memory.
fn short(text: &str) -> String {
    text.chars().take(KEPT_CHARACTERS).collect()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// What a tool item is shown as; `None` for items that are no tools.
fn tool(item: &Value) -> Option<String> {
    match text(item, "type") {
        "command_execution" => Some(text(item, "command").to_owned()),
        "mcp_tool_call" | "collab_tool_call" => Some(text(item, "tool").to_owned()),
        "web_search" => Some(format!("web search: {}", text(item, "query"))),
        _ => None,
    }
}

/// Kind of a failure by the sentence it came with; the first that fits, most telling first.
fn kind_of(message: &str) -> Option<FailKind> {
    const KINDS: &[(&str, FailKind)] = &[
        ("401 unauthorized", FailKind::Auth),
        ("403 forbidden", FailKind::Auth),
        ("missing environment variable", FailKind::Auth),
        ("not logged in", FailKind::Auth),
        ("quota exceeded", FailKind::Quota),
        ("usage limit", FailKind::Quota),
        ("429 too many requests", FailKind::RateLimited),
        ("rate limit", FailKind::RateLimited),
        ("context window", FailKind::ContextTooLong),
        ("context_length_exceeded", FailKind::ContextTooLong),
        ("high demand", FailKind::Provider),
        ("unexpected status 5", FailKind::Provider),
        ("unexpected status 4", FailKind::Provider),
        ("stream disconnected", FailKind::Network),
        ("error sending request", FailKind::Network),
        ("connection refused", FailKind::Network),
        ("dns error", FailKind::Network),
        ("no rollout found", FailKind::SessionLost),
        ("unexpected argument", FailKind::BadInvocation),
        ("invalid value", FailKind::BadInvocation),
        ("error loading config", FailKind::BadInvocation),
        ("not inside a trusted directory", FailKind::BadInvocation),
        ("no prompt provided", FailKind::BadInvocation),
    ];
    let message = message.to_lowercase();
    KINDS.iter().find(|(part, _)| message.contains(part)).map(|(_, kind)| *kind)
}
