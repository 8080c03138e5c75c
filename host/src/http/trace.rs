//! W3C trace context: a caller's becomes the parent of the request's span, and that one's goes into event metadata.
//!
//! Where no traces are made, spans have no context: the caller's own is kept then.

use axum::http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::headers;

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(axum::http::HeaderName::as_str).collect()
    }
}

/// Makes the caller's span the parent of the request's, where the caller named one.
pub(super) fn adopt(span: &Span, headers: &HeaderMap) {
    if headers::traceparent(headers).is_some() {
        // An error says that no traces are made.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&Headers(headers)));
    }
}

/// Notes the answer's status on the request's span. Log lines don't show it twice: they have it themselves.
pub(super) fn answered(span: &Span, status: u16) {
    span.set_attribute("http.response.status_code", i64::from(status));
}

/// What events keep: the request's own span where there are traces, else what the caller sent.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let context = Span::current().context();
    let span = context.span();
    let own = span.span_context();
    if !own.is_valid() {
        return headers::traceparent(headers);
    }
    Some(format!("00-{}-{}-{:02x}", own.trace_id(), own.span_id(), own.trace_flags()))
}
