//! Sends spans of our own over OTLP/HTTP, in batches off the path of the work. The only place that
//! knows the protocol's libraries.

use std::{collections::HashMap, fmt, future::poll_fn, pin::pin, sync::OnceLock, time::Duration};

use opentelemetry::{
    propagation::TextMapPropagator as _,
    trace::{TraceContextExt as _, TracerProvider as _},
};
use opentelemetry_otlp::{Protocol, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    propagation::TraceContextPropagator,
    trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider, SpanData, SpanExporter},
};
use tokio::runtime::Handle;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::{Layer, filter::filter_fn, registry::LookupSpan};

use super::TraceError;
use crate::secret::Secret;

/// Name under which the traces are found.
const SERVICE: &str = "tasksgodzilla";
/// Longest time a span waits to be sent.
const DELAY: Duration = Duration::from_secs(1);
/// Time one sending may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Header and key of the context.
const TRACEPARENT: &str = "traceparent";

static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// A layer that sends our spans to this collector.
pub(super) fn layer<S>(endpoint: &Secret<String>) -> Result<Box<dyn Layer<S> + Send + Sync>, TraceError>
where
    S: Subscriber + for<'a> LookupSpan<'a> + Send + Sync,
{
    // Another part of the process may have chosen one before: any will do.
    drop(rustls::crypto::ring::default_provider().install_default());
    let runtime = Handle::try_current().map_err(|error| TraceError(error.to_string()))?;
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_protocol(Protocol::HttpBinary)
        .with_endpoint(format!("{}/v1/traces", endpoint.expose().trim_end_matches('/')))
        .with_timeout(LIMIT)
        .build()
        .map_err(|_| TraceError("cannot be used; give the base URL of an OTLP/HTTP collector".to_owned()))?;
    let batches = BatchConfigBuilder::default().with_scheduled_delay(DELAY).build();
    let processor =
        BatchSpanProcessor::builder(OnRuntime { exporter, runtime }).with_batch_config(batches).build();
    let provider = SdkTracerProvider::builder()
        .with_span_processor(processor)
        .with_resource(Resource::builder_empty().with_service_name(SERVICE).build())
        .build();
    let tracer = provider.tracer(SERVICE);
    PROVIDER
        .set(provider)
        .map_err(|_| TraceError("traces are sent already; a process does it once".to_owned()))?;
    // Spans of the libraries, those that send among them, are none of ours.
    let is_ours = filter_fn(|meta| meta.is_span() && meta.target().starts_with("tg_server"));
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer)
        .with_location(false)
        .with_threads(false)
        .with_target(false);
    Ok(layer.with_filter(is_ours).boxed())
}

/// `traceparent` of the present span.
pub(super) fn context() -> Option<String> {
    PROVIDER.get()?;
    let context = Span::current().context();
    if !context.span().span_context().is_valid() {
        return None;
    }
    let mut carried = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carried);
    carried.remove(TRACEPARENT)
}

/// Hangs the span under the one that this context names. A context that does not parse names none.
pub(super) fn follow(span: &Span, context: &str) {
    let carried = HashMap::from([(TRACEPARENT.to_owned(), context.to_owned())]);
    let parent = TraceContextPropagator::new().extract(&carried);
    if parent.span().span_context().is_valid()
        && let Err(error) = span.set_parent(parent)
    {
        tracing::debug!(%error, "a span stays without its parent");
    }
}

/// Sends what waits.
pub(super) async fn flush() {
    let Some(provider) = PROVIDER.get() else { return };
    let sent = tokio::task::spawn_blocking(|| provider.force_flush()).await;
    match sent {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "the last traces were not sent"),
        Err(error) => tracing::warn!(%error, "sending the last traces broke off"),
    }
}

/// The exporter talks through the runtime, but is driven by a thread of its own outside of it.
struct OnRuntime {
    exporter: opentelemetry_otlp::SpanExporter,
    runtime: Handle,
}

impl fmt::Debug for OnRuntime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The endpoint may hold a password.
        formatter.write_str("OnRuntime")
    }
}

impl SpanExporter for OnRuntime {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let mut sending = pin!(self.exporter.export(batch));
        poll_fn(|context| {
            let _inside = self.runtime.enter();
            sending.as_mut().poll(context)
        })
        .await
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}
