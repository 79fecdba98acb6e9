//! One log line from its fields, as JSON or for people. What others said is escaped, so a line stays
//! one line.

use std::fmt::{Debug, Write as _};

use serde_json::Value;
use tg_core::wire::timestamp;
use tracing::{
    Level,
    field::{Field, Visit},
};

use crate::app::Clock;

/// Ids that a JSON line always holds; `-` where there is none.
const IDS: [&str; 6] = ["request_id", "run_id", "job_id", "project_id", "protocol_run_id", "step_run_id"];
const MESSAGE: &str = "message";
/// Why writing to a string is no matter.
const TEXT: &str = "writing to a string cannot fail";

/// Fields in the order they came; a later value takes the place of an earlier one.
#[derive(Debug, Default)]
pub(super) struct Fields(Vec<(&'static str, Value)>);

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field.name(), Value::from(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field.name(), Value::from(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field.name(), Value::from(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field.name(), Value::from(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field.name(), Value::from(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field.name(), Value::from(format!("{value:?}")));
    }
}

impl Fields {
    fn set(&mut self, name: &'static str, value: Value) {
        match self.0.iter_mut().find(|(known, _)| *known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    pub(super) fn add(&mut self, others: &Self) {
        for (name, value) in &others.0 {
            self.set(name, value.clone());
        }
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    fn message(&self) -> String {
        self.get(MESSAGE).map(plain).unwrap_or_default()
    }

    /// Everything but the message and the ids.
    fn extras(&self) -> impl Iterator<Item = &(&'static str, Value)> {
        self.0.iter().filter(|(name, _)| *name != MESSAGE && !IDS.contains(name))
    }

    pub(super) fn json(&self, level: Level, target: &str) -> String {
        let mut text = String::with_capacity(256);
        let time = timestamp(Clock::System.now());
        let lead = [("timestamp", time), ("level", level.to_string()), ("logger", target.to_owned())];
        for (name, value) in lead.into_iter().chain([(MESSAGE, self.message())]) {
            write!(text, "{}\"{name}\":{}", mark(&text), Value::from(value)).expect(TEXT);
        }
        for name in IDS {
            let value = self.get(name).map_or_else(|| Value::from("-"), Value::clone);
            write!(text, ",\"{name}\":{value}").expect(TEXT);
        }
        for (name, value) in self.extras() {
            write!(text, ",{}:{value}", Value::from(*name)).expect(TEXT);
        }
        text.push('}');
        text
    }

    /// For people: only the ids there are.
    pub(super) fn text(&self, level: Level, target: &str, colour: bool) -> String {
        let time = timestamp(Clock::System.now());
        let (on, off) = match (colour, level) {
            (false, _) => ("", ""),
            (true, Level::ERROR) => ("\u{1b}[31m", "\u{1b}[0m"),
            (true, Level::WARN) => ("\u{1b}[33m", "\u{1b}[0m"),
            (true, Level::INFO) => ("\u{1b}[32m", "\u{1b}[0m"),
            (true, _) => ("\u{1b}[2m", "\u{1b}[0m"),
        };
        let mut text = format!("{time} {on}{level:>5}{off} {target}: {}", one_line(&self.message()));
        let ids = IDS.iter().filter_map(|name| Some((*name, self.get(name)?)));
        for (name, value) in ids.chain(self.extras().map(|(name, value)| (*name, value))) {
            let value = one_line(&plain(value));
            let quote = if value.contains([' ', '"']) { "\"" } else { "" };
            write!(text, " {name}={quote}{value}{quote}").expect(TEXT);
        }
        text
    }
}

fn mark(text: &str) -> char {
    if text.is_empty() { '{' } else { ',' }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    }
}

/// Control characters written out: no line break, no escape sequence of a terminal.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for sign in text.chars() {
        if sign.is_control() {
            line.extend(sign.escape_default());
        } else {
            line.push(sign);
        }
    }
    line
}
