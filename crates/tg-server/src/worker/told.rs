//! What is told of a job: the span its log lines and its trace belong to, and how it ended. Decides
//! nothing about the job.

use std::time::Duration;

use tracing::Span;

use super::answer;
use crate::{jobs::JobError, queue::Lease, trace};

/// The span of a job; opened at the highest level, so that a quiet log still says which job it is about.
pub fn span(lease: &Lease) -> Span {
    let span = tracing::error_span!(
        "job",
        job_id = %lease.job_id,
        job_type = lease.job.kind(),
        attempt = lease.attempt,
        request_id = lease.request_id.as_deref(),
        project_id = lease.project.map(|id| id.0),
        protocol_run_id = lease.run.map(|id| id.0),
        step_run_id = answer::step_of(&lease.job).map(|step| step.0)
    );
    trace::follow(&span, lease.trace.as_deref());
    span.in_scope(|| tracing::info!("job started"));
    span
}

/// Tells that the work of a job is over, before its answer is written.
pub fn ended(span: &Span, error: Option<&JobError>, took: Duration) {
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| match error {
        None => tracing::info!(duration_ms, "job ended"),
        Some(error) => tracing::info!(
            duration_ms,
            error = error.message,
            error_type = error.error_type,
            error_category = error.category.as_str(),
            "job ended without its work done"
        ),
    });
}
