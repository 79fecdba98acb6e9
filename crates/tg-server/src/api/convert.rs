//! Stored rows as wire objects, where `tg_core` cannot do it because the row is ours.

use serde_json::{Value, json};
use tg_core::{
    job::JobStatus,
    wire::{CodexRunOut, EventOut, Job, RunArtifactOut, timestamp},
};

use crate::{
    queue::JobRow,
    store::{artifact::Artifact, call::Call, event::StoredEvent},
};

/// An event.
pub fn event(event: &StoredEvent) -> EventOut {
    EventOut {
        id: event.seq,
        seq: event.seq,
        project_seq: event.project_seq,
        protocol_run_id: event.protocol_run_id.map(|id| id.0),
        step_run_id: event.step_run_id.map(|id| id.0),
        event_type: event.event_type.clone(),
        message: event.message.clone(),
        metadata: (!event.metadata.is_null()).then(|| event.metadata.clone()),
        actor: event.actor.clone(),
        created_at: timestamp(event.created_at),
        hash: event.hash.clone(),
        protocol_name: event.protocol_name.clone(),
        project_id: event.project_id.map(|id| id.0),
        project_name: event.project_name.clone(),
    }
}

/// A call; its log is named by its id only.
pub fn call(call: &Call) -> CodexRunOut {
    CodexRunOut {
        run_id: call.id.0.clone(),
        job_id: call.job_id.clone(),
        job_type: call.job_type.clone(),
        run_kind: call.run_kind.clone(),
        status: call.status,
        project_id: call.project_id.map(|id| id.0),
        protocol_run_id: call.protocol_run_id.map(|id| id.0),
        step_run_id: call.step_run_id.map(|id| id.0),
        queue: Some(call.queue.clone()),
        attempt: call.attempt,
        worker_id: call.worker_id.clone(),
        prompt_version: call.prompt_version.clone(),
        params: call.params.clone().map(without_places),
        result: call.result.clone(),
        error: call.error.clone(),
        has_log: call.has_log,
        cost_tokens: call
            .usage
            .map(|usage| i64::try_from(usage.total()).unwrap_or(i64::MAX))
            .or(call.cost_tokens),
        cost_cents: call.cost_cents,
        started_at: call.started_at.map(timestamp),
        finished_at: call.finished_at.map(timestamp),
        created_at: timestamp(call.created_at),
        updated_at: timestamp(call.updated_at),
    }
}

/// What a call was asked, without the place of its program on this machine.
fn without_places(mut params: Value) -> Value {
    if let Some(Value::String(place)) = params.get_mut("binary") {
        *place = place.rsplit('/').next().unwrap_or_default().to_owned();
    }
    params
}

/// A file of a call; its path is below the worktree, or below the folder of the call.
pub fn artifact(artifact: &Artifact) -> RunArtifactOut {
    RunArtifactOut {
        id: artifact.id.0,
        run_id: artifact.run_id.0.clone(),
        name: artifact.file.name.clone(),
        kind: artifact.file.kind.clone(),
        path: artifact.file.path.clone(),
        sha256: Some(artifact.file.sha256.clone()),
        bytes: Some(artifact.file.bytes),
        created_at: timestamp(artifact.created_at),
    }
}

/// A job.
pub fn job(row: &JobRow) -> Job {
    let waits = match row.status {
        JobStatus::Queued | JobStatus::Scheduled => true,
        JobStatus::Started | JobStatus::Finished | JobStatus::Failed | JobStatus::Cancelled => false,
    };
    Job {
        job_id: row.id.0.clone(),
        job_type: row.job.kind().to_owned(),
        payload: Job::payload(&row.job, &row.id.0),
        status: row.status.as_str().to_owned(),
        queue: row.queue.clone(),
        priority: row.priority,
        project_id: row.project_id.map(|id| id.0),
        attempts: row.attempts,
        max_attempts: row.max_attempts,
        next_run_at: waits.then(|| timestamp(row.run_at)),
        created_at: timestamp(row.created_at),
        started_at: row.started_at.map(timestamp),
        ended_at: row.finished_at.map(timestamp),
        result: row.result.clone(),
        error: row.last_error.clone(),
        meta: Some(json!({ "request_id": row.request_id, "worker": row.worker })),
    }
}
