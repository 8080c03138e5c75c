//! Traces: spans of a request's path, sent to a collector by OTLP over HTTP. Without a collector there are none.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use tracing::subscriber::Interest;
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::dynamic_filter_fn;
use tracing_subscriber::registry::LookupSpan;

use super::TelemetryError;
use crate::model::TRACE;

/// Variables of the OpenTelemetry standard that name a collector.
const STANDARD: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
/// What the host is called unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE: &str = "everfold";

/// Where spans go; they are sent in batches by a thread of their own.
pub(super) struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins, where the setting or the environment names a collector.
    pub(super) fn begin(endpoint: Option<&str>) -> Result<Option<Self>, TelemetryError> {
        let named = STANDARD.iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
        if endpoint.is_none() && !named {
            return Ok(None);
        }
        let exporter = exporter(endpoint).map_err(TelemetryError::Traces)?;
        let resource = Resource::builder();
        let resource = if std::env::var_os("OTEL_SERVICE_NAME").is_some() {
            resource
        } else {
            resource.with_service_name(SERVICE)
        };
        let provider =
            SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
        Ok(Some(Self(provider)))
    }

    /// The layer that makes spans of the host's own: those of libraries, and events, stay out.
    pub(super) fn layer<S>(&self) -> impl Layer<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let tracer: SdkTracer = self.0.tracer(SERVICE);
        // Asked anew for each span, not once for each place that makes spans: what a filter is asked without a span coming
        // of it (as sqlx does before it logs) stays with the thread, and would be taken for the answer about the next one.
        let filter = dynamic_filter_fn(|metadata, _| is_own(metadata))
            .with_callsite_filter(|metadata| if is_own(metadata) { Interest::sometimes() } else { Interest::never() });
        tracing_opentelemetry::layer()
            .with_tracer(tracer)
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter)
    }

    /// Sends what is left, and ends.
    pub(super) fn end(self) {
        if let Err(error) = self.0.shutdown() {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

/// The span of an HTTP request, and those below it.
fn is_own(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && (metadata.target() == TRACE || metadata.target().starts_with("everfold::http"))
}

fn exporter(endpoint: Option<&str>) -> Result<SpanExporter, ExporterBuildError> {
    // The exporter's client has no provider of cryptography; another client may have set the process's one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = SpanExporter::builder().with_http();
    match endpoint {
        Some(base) => builder.with_endpoint(format!("{}/v1/traces", base.trim_end_matches('/'))).build(),
        None => builder.build(),
    }
}
