//! The form of an answer: items of the model as events of the stream, or as one object.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use serde_json::{Value, json};

/// Input tokens that every answer reports.
pub const INPUT: u64 = 1234;
/// Cached part of them.
pub const CACHED: u64 = 1000;
/// Output tokens that every answer reports.
pub const OUTPUT: u64 = 56;
/// Reasoning part of them.
pub const REASONING: u64 = 16;

/// Time of every answer, in seconds; no clock is read.
const CREATED: u64 = 1_760_000_000;

/// One thing in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// Text.
    Message(String),
    /// Call of a tool with JSON arguments.
    Function {
        /// Tool.
        name: String,
        /// Arguments, as JSON text.
        arguments: String,
    },
    /// Call of a tool that takes plain text.
    Freeform {
        /// Tool.
        name: String,
        /// Its input.
        input: String,
    },
}

fn unique(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}{:016x}", NEXT.fetch_add(1, Ordering::Relaxed))
}

fn usage() -> Value {
    json!({
        "input_tokens": INPUT,
        "input_tokens_details": {"cached_tokens": CACHED},
        "output_tokens": OUTPUT,
        "output_tokens_details": {"reasoning_tokens": REASONING},
        "total_tokens": INPUT + OUTPUT,
    })
}

fn message(id: &str, text: &str) -> Value {
    let content = json!([{"type": "output_text", "text": text, "annotations": []}]);
    json!({"type": "message", "id": id, "role": "assistant", "status": "completed", "content": content})
}

/// The answer to a request that wants no stream.
pub fn whole(request: &Value, items: &[Item]) -> Value {
    let output: Vec<Value> = items
        .iter()
        .filter_map(|item| match item {
            Item::Message(text) => Some(message(&unique("msg_"), text)),
            Item::Function { .. } | Item::Freeform { .. } => None,
        })
        .collect();
    json!({
        "id": unique("resp_"),
        "object": "response",
        "created_at": CREATED,
        "status": "completed",
        "model": request["model"],
        "output": output,
        "usage": usage(),
    })
}

/// Collects events and numbers them.
struct Writer {
    events: Vec<Bytes>,
    output: Vec<Value>,
}

impl Writer {
    fn event(&mut self, kind: &str, fields: Value) {
        let mut event = fields;
        event["type"] = json!(kind);
        event["sequence_number"] = json!(self.events.len());
        self.events.push(Bytes::from(format!("event: {kind}\ndata: {event}\n\n")));
    }

    fn finish_item(&mut self, item: Value) {
        self.event("response.output_item.done", json!({"output_index": self.output.len(), "item": item}));
        self.output.push(item);
    }

    /// A short thought before everything else, as reasoning models send it.
    fn thought(&mut self) {
        let text = "**Thinking about the work**";
        let id = unique("rs_");
        let open = json!({"type": "reasoning", "id": id, "summary": []});
        self.event("response.output_item.added", json!({"output_index": 0, "item": open}));
        let at = json!({"item_id": id, "output_index": 0, "summary_index": 0});
        let part = json!({"type": "summary_text", "text": ""});
        self.event("response.reasoning_summary_part.added", with(&at, "part", part));
        self.event("response.reasoning_summary_text.delta", with(&at, "delta", json!(text)));
        self.finish_item(
            json!({"type": "reasoning", "id": id, "summary": [{"type": "summary_text", "text": text}]}),
        );
    }

    /// Text in two halves; `cut` leaves the second one out and everything after it.
    fn message(&mut self, text: &str, cut: bool) {
        let index = self.output.len();
        let id = unique("msg_");
        let open =
            json!({"type": "message", "id": id, "role": "assistant", "status": "in_progress", "content": []});
        self.event("response.output_item.added", json!({"output_index": index, "item": open}));
        let at = json!({"item_id": id, "output_index": index, "content_index": 0});
        let part = json!({"type": "output_text", "text": "", "annotations": []});
        self.event("response.content_part.added", with(&at, "part", part));
        let half = text.char_indices().nth(text.chars().count() / 2).map_or(0, |(at, _)| at);
        self.event("response.output_text.delta", with(&at, "delta", json!(&text[..half])));
        if cut {
            return;
        }
        self.event("response.output_text.delta", with(&at, "delta", json!(&text[half..])));
        self.event("response.output_text.done", with(&at, "text", json!(text)));
        self.finish_item(message(&id, text));
    }

    fn function(&mut self, name: &str, arguments: &str) {
        let (id, index) = (unique("fc_"), self.output.len());
        let item = json!({"type": "function_call", "id": id, "call_id": unique("call_"), "name": name,
            "arguments": arguments, "status": "completed"});
        self.event(
            "response.output_item.added",
            json!({"output_index": index, "item": with(&item, "arguments", json!(""))}),
        );
        let at = json!({"item_id": id, "output_index": index});
        self.event("response.function_call_arguments.delta", with(&at, "delta", json!(arguments)));
        self.event("response.function_call_arguments.done", with(&at, "arguments", json!(arguments)));
        self.finish_item(item);
    }

    fn freeform(&mut self, name: &str, input: &str) {
        let item = json!({"type": "custom_tool_call", "id": unique("ctc_"), "call_id": unique("call_"), "name": name,
            "input": input, "status": "completed"});
        let index = self.output.len();
        self.event(
            "response.output_item.added",
            json!({"output_index": index, "item": with(&item, "input", json!(""))}),
        );
        self.finish_item(item);
    }
}

fn with(value: &Value, key: &str, field: Value) -> Value {
    let mut value = value.clone();
    value[key] = field;
    value
}

/// The events of an answer; `cut` ends them inside the first text.
pub fn events(request: &Value, items: &[Item], cut: bool) -> Vec<Bytes> {
    let mut writer = Writer { events: Vec::new(), output: Vec::new() };
    let base = json!({"id": unique("resp_"), "object": "response", "created_at": CREATED,
        "status": "in_progress", "model": request["model"], "output": []});
    writer.event("response.created", json!({"response": base}));
    writer.event("response.in_progress", json!({"response": base}));
    writer.thought();
    for item in items {
        match item {
            Item::Message(text) => {
                writer.message(text, cut);
                if cut {
                    return writer.events;
                }
            }
            Item::Function { name, arguments } => writer.function(name, arguments),
            Item::Freeform { name, input } => writer.freeform(name, input),
        }
    }
    let mut done = with(&base, "status", json!("completed"));
    done["output"] = json!(writer.output);
    done["usage"] = usage();
    writer.event("response.completed", json!({"response": done}));
    writer.events
}
