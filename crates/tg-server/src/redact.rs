//! Streaming redactor: takes known secrets, and values that look like credentials, out of bytes
//! before they reach a log, an event or a person. Keeps nothing.

mod encode;
mod pattern;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::Value;

use crate::secret::Secret;

/// What stands where a secret stood.
pub const MARK: &str = "[redacted]";

/// Shorter values are not looked for: they would black out ordinary text.
const SHORTEST: usize = 4;
/// Longest line that is judged as a whole; a longer one is judged in pieces.
const LINE_WINDOW: usize = 64 * 1024;

/// Replaces secrets in text; cheap to clone.
#[derive(Clone, Default)]
pub struct Redactor {
    known: Arc<Known>,
}

/// Known values in every form we expect, found by their first byte.
#[derive(Default)]
struct Known {
    /// Longest first, so that a value goes as a whole before one of its parts does.
    forms: Vec<Vec<u8>>,
    longest: usize,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("forms", &self.known.forms.len()).finish()
    }
}

impl Redactor {
    /// A redactor for these secret values (raw and encoded forms are matched).
    pub fn new(secrets: &[Secret<String>]) -> Self {
        let mut forms: Vec<Vec<u8>> = secrets
            .iter()
            .map(|secret| secret.expose().trim())
            .filter(|secret| secret.len() >= SHORTEST)
            .flat_map(encode::forms)
            .filter(|form| form.len() >= SHORTEST)
            .collect();
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        let longest = forms.first().map_or(0, Vec::len);
        Self { known: Arc::new(Known { forms, longest }) }
    }

    /// Redacts a whole text: known values and whatever looks like a credential.
    pub fn text(&self, text: &str) -> String {
        lossless(&pattern::redact(&self.known.replace(text.as_bytes())))
    }

    /// Takes only known values out, for text that is worked with further (answers of an engine),
    /// where a guess would damage the work.
    pub fn known(&self, text: &str) -> String {
        lossless(&self.known.replace(text.as_bytes()))
    }

    /// Redacts a piece of a text whose sender cuts it where he likes: what may be the end of a known value
    /// at its start, or the beginning of one at its end, goes as well.
    pub fn piece(&self, bytes: &[u8]) -> Vec<u8> {
        let (head, tail) = self.known.edges(bytes);
        let mut out = Vec::with_capacity(bytes.len());
        if head > 0 {
            out.extend_from_slice(MARK.as_bytes());
        }
        out.extend(pattern::redact(&self.known.replace(&bytes[head..tail])));
        if tail < bytes.len() {
            out.extend_from_slice(MARK.as_bytes());
        }
        out
    }

    /// Redacts every text in a JSON value, keys left alone; a text is judged together with its key.
    pub fn json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.json(item)).collect(),
            Value::Object(fields) => {
                let judged = |(key, value): (String, Value)| {
                    let is_secret = value.is_string() && pattern::is_secret_key(&key);
                    let value = if is_secret { Value::from(MARK) } else { self.json(value) };
                    (key, value)
                };
                fields.into_iter().map(judged).collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }

    /// Redacts bytes that come in pieces.
    pub fn stream(&self) -> Stream {
        Stream { redactor: self.clone(), pending: Vec::new() }
    }
}

/// Every form is text and the replacement is ASCII, so what was UTF-8 stays UTF-8.
fn lossless(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Known {
    fn replace(&self, bytes: &[u8]) -> Vec<u8> {
        if self.forms.is_empty() {
            return bytes.to_vec();
        }
        let mut by_first: [Vec<&[u8]>; 256] = std::array::from_fn(|_| Vec::new());
        for form in &self.forms {
            if let Some(&first) = form.first() {
                by_first[usize::from(first)].push(form);
            }
        }
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while let Some(&byte) = bytes.get(at) {
            if let Some(form) = by_first[usize::from(byte)].iter().find(|form| bytes[at..].starts_with(form))
            {
                out.extend_from_slice(MARK.as_bytes());
                at += form.len();
            } else {
                out.push(byte);
                at += 1;
            }
        }
        out
    }

    /// What is left between a value that ends in these bytes and one that begins in them.
    fn edges(&self, bytes: &[u8]) -> (usize, usize) {
        let (mut head, mut tail) = (0, bytes.len());
        for form in &self.forms {
            let most = form.len().saturating_sub(1).min(bytes.len());
            if bytes.len() >= SHORTEST && form.windows(bytes.len()).any(|part| part == bytes) {
                return (bytes.len(), bytes.len());
            }
            for length in SHORTEST..=most {
                if bytes.starts_with(&form[form.len() - length..]) {
                    head = head.max(length);
                }
                if bytes.ends_with(&form[..length]) {
                    tail = tail.min(bytes.len() - length);
                }
            }
        }
        (head, tail.max(head))
    }

    /// Moves a cut back so that no known value, whole or begun, lies across it.
    fn safe_cut(&self, bytes: &[u8], cut: usize) -> usize {
        let from = cut.saturating_sub(self.longest.saturating_sub(1));
        (from..cut)
            .find(|&start| {
                self.forms.iter().any(|form| {
                    let seen = form.len().min(bytes.len() - start);
                    form.len() > cut - start && bytes[start..start + seen] == form[..seen]
                })
            })
            .unwrap_or(cut)
    }
}

/// Redacts a stream. Whole lines go on at once, except for a tail that may be the beginning of a
/// known value: that waits for what comes next.
#[derive(Debug)]
pub struct Stream {
    redactor: Redactor,
    pending: Vec<u8>,
}

impl Stream {
    /// Takes the next piece and returns what may be shown now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.pending.extend_from_slice(bytes);
        let cut = match self.pending.iter().rposition(|&byte| byte == b'\n') {
            Some(end) => end + 1,
            None if self.pending.len() > LINE_WINDOW => self.pending.len() - LINE_WINDOW / 2,
            None => return Vec::new(),
        };
        let cut = self.redactor.known.safe_cut(&self.pending, cut);
        let rest = self.pending.split_off(cut);
        let ready = std::mem::replace(&mut self.pending, rest);
        pattern::redact(&self.redactor.known.replace(&ready))
    }

    /// The stream ended: returns what was held back.
    pub fn finish(mut self) -> Vec<u8> {
        pattern::redact(&self.redactor.known.replace(&std::mem::take(&mut self.pending)))
    }
}
