//! Traces over OTLP/HTTP: request, job and engine call under one trace id, also when another process
//! does the job. A build without the feature `otlp` sends nothing, and its settings refuse an endpoint.
//!
//! What goes from a request to its job is a W3C `traceparent`, kept with the job.

#[cfg(feature = "otlp")]
mod export;

use tracing::{Span, Subscriber};
use tracing_subscriber::{Layer, registry::LookupSpan};

use crate::config::Config;

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
#[error("TASKSGODZILLA_OTLP_ENDPOINT: {0}")]
pub struct TraceError(String);

/// A layer that sends traces, when the settings name where.
pub type Sender<S> = Option<Box<dyn Layer<S> + Send + Sync>>;

/// Sends the spans of this process where the settings say; nowhere without that setting.
#[cfg(feature = "otlp")]
pub fn sender<S>(config: &Config) -> Result<Sender<S>, TraceError>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    match &config.otlp_endpoint {
        Some(endpoint) => Ok(Some(export::layer(endpoint)?)),
        None => Ok(None),
    }
}

/// Nothing is built in that could send.
#[cfg(not(feature = "otlp"))]
pub fn sender<S>(_: &Config) -> Result<Sender<S>, TraceError>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    Ok(None)
}

/// `traceparent` of the present span, for whoever goes on with the work; `None` when nothing is traced.
pub fn context() -> Option<String> {
    #[cfg(feature = "otlp")]
    return export::context();
    #[cfg(not(feature = "otlp"))]
    None
}

/// Hangs a span that has not begun under the one that this `traceparent` names.
#[cfg(feature = "otlp")]
pub fn follow(span: &Span, context: Option<&str>) {
    if let Some(context) = context {
        export::follow(span, context);
    }
}

/// Nothing is built in that traces.
#[cfg(not(feature = "otlp"))]
pub const fn follow(_: &Span, _: Option<&str>) {}

/// Sends what waits; called before the process ends.
#[cfg(feature = "otlp")]
pub async fn flush() {
    export::flush().await;
}

/// Nothing is built in that could wait.
#[cfg(not(feature = "otlp"))]
pub async fn flush() {
    std::future::ready(()).await;
}
