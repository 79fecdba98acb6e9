//! Reads the dummy engine's own lines.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tg_core::protocol::Usage;

use super::super::{EngineFailure, Exit, FailKind, Pipe, Progress, Reader, Reading};

/// A line of the dummy engine.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Line {
    /// It began.
    Session { id: String },
    /// It says something.
    Text { text: String },
    /// A tool began.
    ToolStart { tool: String },
    /// A tool ended.
    ToolEnd { exit: i32 },
    /// A file was written.
    File { path: String },
    /// It tries again.
    Retry { message: String },
    /// Terminal: it is done.
    Done { text: String, usage: Tokens },
    /// Terminal: it failed.
    Failed { kind: String, message: String },
}

/// Usage as the dummy engine reports it.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Tokens {
    /// Input tokens.
    #[serde(default)]
    pub input: u64,
    /// Output tokens.
    #[serde(default)]
    pub output: u64,
    /// Cost in US dollars.
    #[serde(default)]
    pub cost_usd: f64,
}

#[derive(Default)]
pub(super) struct DummyReader {
    session: Option<String>,
    end: Option<Result<String, EngineFailure>>,
    usage: Option<Usage>,
    /// Last line of standard error: why it ended, when it could not say it in a line of its own.
    complaint: String,
}

impl Reader for DummyReader {
    fn line(&mut self, pipe: Pipe, line: &str) -> Vec<Progress> {
        if pipe == Pipe::Err && !line.trim().is_empty() {
            self.complaint = format!(": {}", line.trim().trim_start_matches("dummy: "));
        }
        let parsed = if pipe == Pipe::Out { serde_json::from_str::<Line>(line).ok() } else { None };
        let Some(line) = parsed else { return vec![Progress::Raw] };
        vec![match line {
            Line::Session { id } => {
                self.session = Some(id.clone());
                Progress::Session(id)
            }
            Line::Text { text } => Progress::Text(text),
            Line::ToolStart { tool } => Progress::ToolStart(tool),
            Line::ToolEnd { exit } => Progress::ToolEnd { exit: Some(exit) },
            Line::File { path } => Progress::FileChange(path),
            Line::Retry { message } => Progress::Retry(message),
            Line::Done { text, usage } => {
                self.end = Some(Ok(text));
                self.usage = Some(Usage {
                    input: usage.input,
                    output: usage.output,
                    cost_usd: Some(usage.cost_usd),
                    reported: true,
                    ..Usage::default()
                });
                Progress::Raw
            }
            Line::Failed { kind, message } => {
                let kind = kind_of(&kind);
                self.end = Some(Err(EngineFailure::new(kind, message)));
                Progress::Raw
            }
        }]
    }

    fn finish(self: Box<Self>, exit: Exit) -> Reading {
        let mut final_text = None;
        let outcome = match (exit, self.end) {
            (Exit::Stopped, _) => {
                Err(EngineFailure::new(FailKind::Cancelled, "the dummy engine was stopped"))
            }
            (_, Some(Err(failure))) => Err(failure),
            (Exit::Status(0), Some(Ok(text))) => {
                final_text = Some(text);
                Ok(())
            }
            (Exit::Status(0), None) => {
                Err(EngineFailure::new(FailKind::BadOutput, "the dummy engine ended without a last line"))
            }
            (Exit::Status(status), _) => Err(EngineFailure::new(
                FailKind::Crashed,
                format!("the dummy engine ended with status {status}{}", self.complaint),
            )),
            (Exit::Signal(signal), _) => Err(EngineFailure::new(
                FailKind::Crashed,
                format!("the dummy engine was ended by signal {signal}"),
            )),
        };
        Reading { outcome, final_text, session: self.session, usage: self.usage, warnings: Vec::new() }
    }
}

/// Failure kinds by the words scripts and scenarios use.
pub(super) const KINDS: &[(&str, FailKind)] = &[
    ("auth", FailKind::Auth),
    ("bad_invocation", FailKind::BadInvocation),
    ("bad_output", FailKind::BadOutput),
    ("context_too_long", FailKind::ContextTooLong),
    ("network", FailKind::Network),
    ("provider", FailKind::Provider),
    ("quota", FailKind::Quota),
    ("rate_limited", FailKind::RateLimited),
    ("refused", FailKind::ModelRefused),
    ("sandbox", FailKind::Sandbox),
    ("session_lost", FailKind::SessionLost),
];

fn kind_of(word: &str) -> FailKind {
    KINDS.iter().find(|(known, _)| *known == word).map_or(FailKind::BadOutput, |(_, kind)| *kind)
}

/// A value as the text of an answer.
pub(super) fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
