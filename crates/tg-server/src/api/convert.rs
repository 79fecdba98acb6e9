//! Stored rows as wire objects, where `tg_core` cannot do it because the row is ours.

use tg_core::wire::{CodexRunOut, EventOut, timestamp};

use crate::store::{call::Call, event::StoredEvent};

/// An event with the names of its run and project.
pub fn event(event: &StoredEvent, protocol_name: Option<String>, project_name: Option<String>) -> EventOut {
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
        protocol_name,
        project_id: event.project_id.map(|id| id.0),
        project_name,
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
        queue: None,
        attempt: call.attempt,
        worker_id: call.worker_id.clone(),
        prompt_version: call.prompt_version.clone(),
        params: call.params.clone(),
        result: call.result.clone(),
        error: call.error.clone(),
        has_log: call.has_log,
        cost_tokens: call.usage.map(|usage| i64::try_from(usage.total()).unwrap_or(i64::MAX)),
        cost_cents: call.cost_cents,
        started_at: call.started_at.map(timestamp),
        finished_at: call.finished_at.map(timestamp),
        created_at: timestamp(call.created_at),
        updated_at: timestamp(call.updated_at),
    }
}
