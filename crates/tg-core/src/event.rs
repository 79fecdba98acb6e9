//! The timeline vocabulary: a closed set of event kinds, their wire words and sentences.
//! An event tells what happened; it never drives anything.

use serde_json::{Map, Value};

use crate::{ids::StepId, job::Job};

mod kinds;
mod sentence;
#[cfg(test)]
mod tests;

pub use kinds::{COMMON_KEYS, Category, EventKind};

/// Most bytes the metadata of an event may take as JSON.
pub const METADATA_CAP: usize = 64 * 1024;

/// One line of the timeline before it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// Step it concerns; `None` = the run.
    pub step: Option<StepId>,
    /// A job whose id belongs into `metadata.job_id`; filled in when the job is queued.
    pub job: Option<Job>,
    /// Further facts; redacted before storage.
    pub metadata: Map<String, Value>,
}

impl Event {
    /// An event about the run.
    pub fn run(kind: EventKind) -> Self {
        Self { kind, step: None, job: None, metadata: Map::new() }
    }

    /// An event about a step.
    pub fn step(kind: EventKind, step: StepId) -> Self {
        Self { kind, step: Some(step), job: None, metadata: Map::new() }
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    /// Adds a fact, if there is one.
    #[must_use]
    pub fn with_some(self, key: &str, value: Option<&String>) -> Self {
        match value {
            Some(value) => self.with(key, value.as_str()),
            None => self,
        }
    }

    /// Adds many facts.
    #[must_use]
    pub fn with_all(mut self, facts: Map<String, Value>) -> Self {
        self.metadata.extend(facts);
        self
    }

    /// Names the job whose id the event carries.
    #[must_use]
    pub fn with_job(mut self, job: Job) -> Self {
        self.job = Some(job);
        self
    }

    /// The sentence a person reads.
    pub fn sentence(&self) -> String {
        sentence::render(self.kind.template(), &self.metadata)
    }

    /// Keeps the metadata within [`METADATA_CAP`]: the longest strings are cut first, then the
    /// largest entries dropped; `truncated: true` says that something is missing.
    #[must_use]
    pub fn capped(mut self) -> Self {
        cap(&mut self.metadata);
        self
    }
}

fn cap(metadata: &mut Map<String, Value>) {
    if json_bytes(metadata) <= METADATA_CAP {
        return;
    }
    metadata.insert("truncated".to_owned(), Value::Bool(true));
    let mut longest = METADATA_CAP / 4;
    while json_bytes(metadata) > METADATA_CAP && longest >= 64 {
        metadata.values_mut().for_each(|value| cut_strings(value, longest));
        longest /= 2;
    }
    let mut total = json_bytes(metadata);
    let mut sizes: Vec<(usize, String)> = metadata
        .iter()
        .filter(|(key, _)| key.as_str() != "truncated")
        .map(|(key, value)| (key.len() + value.to_string().len(), key.clone()))
        .collect();
    sizes.sort_unstable();
    while total > METADATA_CAP
        && let Some((size, key)) = sizes.pop()
    {
        metadata.remove(&key);
        total -= size.min(total);
    }
}

fn json_bytes(metadata: &Map<String, Value>) -> usize {
    serde_json::to_string(metadata).map_or(usize::MAX, |text| text.len())
}

/// Cuts every string below `value` to at most `longest` bytes, on a character boundary.
fn cut_strings(value: &mut Value, longest: usize) {
    match value {
        Value::String(text) => {
            if text.len() > longest {
                text.truncate(text.floor_char_boundary(longest.saturating_sub('…'.len_utf8())));
                text.push('…');
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| cut_strings(item, longest)),
        Value::Object(entries) => entries.values_mut().for_each(|entry| cut_strings(entry, longest)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
