//! Bodies of the run registry and of the queues. No body names a path: the place of a log follows from
//! the id of its run, and nobody outside may choose it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::protocol::CallStatus;

/// Registers a run that works outside: its maker reports its log and its end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "job_type": "nightly", "run_id": "nightly-42", "project_id": 1, "worker_id": "ci-runner-3" })))]
pub struct StartRun {
    /// What kind of work it is, in the maker's word.
    pub job_type: String,
    /// Kind of call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_kind: Option<String>,
    /// Project; left out, it follows from the run or step. Without any, only an admin may register it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<i64>,
    /// Run it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol_run_id: Option<i64>,
    /// Step it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_run_id: Option<i64>,
    /// Queue it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
    /// Attempt, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub attempt: Option<i64>,
    /// Who does it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<String>,
    /// Fingerprint of the prompt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompt_version: Option<String>,
    /// What it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<Value>,
    /// Identity; left out, one is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    pub run_id: Option<String>,
    /// Tokens used so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub cost_tokens: Option<i64>,
    /// Cost so far, in cents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub cost_cents: Option<i64>,
}

/// How a run that works outside may end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Well.
    Succeeded,
    /// Badly.
    Failed,
    /// Stopped on request.
    Cancelled,
}

impl From<Ending> for CallStatus {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Succeeded => Self::Succeeded,
            Ending::Failed => Self::Failed,
            Ending::Cancelled => Self::Cancelled,
        }
    }
}

/// Ends a run that was registered from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({ "status": "succeeded", "result": { "checks": 12 }, "cost_tokens": 18250 })))]
pub struct FinishRun {
    /// How it ended.
    pub status: Ending,
    /// What came out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Value>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Tokens used; replaces what was said at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub cost_tokens: Option<i64>,
    /// Cost in cents; replaces what was said at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub cost_cents: Option<i64>,
}

/// A piece of a log. Offsets count bytes; the next piece begins at `next_offset`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({
    "run_id": "019c1a2b-4d5e-7f6a-9b8c-1d2e3f4a5b6c", "offset": 0, "next_offset": 24, "eof": true, "finished": false,
    "chunk": "Reading src/greeting.rs\n"
})))]
pub struct LogTail {
    /// Run.
    pub run_id: String,
    /// Where this piece begins.
    pub offset: u64,
    /// Where the next one begins.
    pub next_offset: u64,
    /// There is no more at the moment.
    pub eof: bool,
    /// The run has ended: with `eof`, nothing will ever follow.
    pub finished: bool,
    /// The text; bytes that are none are replaced.
    pub chunk: String,
}

/// Where the next piece of a log will stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({ "next_offset": 24 })))]
pub struct NextOffset {
    /// Length of the log in bytes.
    pub next_offset: u64,
}

/// Jobs of a queue by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct QueueCounts {
    /// Due, waiting for a worker.
    pub queued: i64,
    /// Waiting for their time.
    pub scheduled: i64,
    /// At work.
    pub started: i64,
    /// Done.
    pub finished: i64,
    /// Given up.
    pub failed: i64,
    /// Stopped on request.
    pub cancelled: i64,
}

/// The queues, each under its name beside the two words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({
    "backend": "sqlite", "dispatch": "inprocess",
    "default": { "queued": 1, "scheduled": 0, "started": 1, "finished": 12, "failed": 0, "cancelled": 0 }
})))]
pub struct QueueStats {
    /// `sqlite` or `postgres`.
    pub backend: String,
    /// `inprocess` or `redis`.
    pub dispatch: String,
    /// Counts in scope by queue.
    #[serde(flatten)]
    pub queues: BTreeMap<String, QueueCounts>,
}
