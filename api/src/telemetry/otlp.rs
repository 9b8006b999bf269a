//! Sends a span of each request to a collector, with the feature `otlp`: by
//! [OTLP](https://opentelemetry.io/docs/specs/otlp/) over HTTP. The environment names the collector
//! in [OpenTelemetry's own variables](https://opentelemetry.io/docs/specs/otel/protocol/exporter/).

use std::time::Duration;

use opentelemetry::{
    propagation::{Extractor, TextMapPropagator},
    trace::TracerProvider,
};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracerProvider, Tracer},
};
use rocket::http::HeaderMap;
use tracing::{Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::registry::LookupSpan;

/// The variables that name a collector. Without any of them there is none.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];

/// Timeout for the last spans when the program ends.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// Sends spans to a collector, in a thread of its own.
#[derive(Debug)]
pub struct Exporter(SdkTracerProvider);

impl Exporter {
    /// An exporter to the collector that the environment names; none when it names none.
    ///
    /// Errors: the environment's settings are not usable.
    pub fn from_environment() -> Result<Option<Self>, ExporterBuildError> {
        if ENDPOINTS
            .iter()
            .all(|name| std::env::var_os(name).is_none_or(|value| value.is_empty()))
        {
            return Ok(None);
        }
        let mut resource = Resource::builder();
        if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
            resource = resource.with_service_name("tinistreamer");
        }
        let exporter = SpanExporter::builder().with_http().build()?;
        Ok(Some(Self(
            SdkTracerProvider::builder()
                .with_batch_exporter(exporter)
                .with_resource(resource.build())
                .build(),
        )))
    }

    /// The layer that hands `tracing`'s spans to this exporter.
    #[must_use]
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> OpenTelemetryLayer<S, Tracer> {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("tinistreamer"))
    }

    /// Sends the remaining spans. Blocks for a second at most.
    pub fn flush(&self) {
        // A failure means lost spans. The program ends, so it can't try again.
        let _ = self.0.shutdown_with_timeout(FLUSH_TIMEOUT);
    }
}

/// Makes the span a part of the request's trace, by [W3C Trace
/// Context](https://www.w3.org/TR/trace-context/).
pub fn adopt(span: &Span, headers: &HeaderMap<'_>) {
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    // It fails where no collector is set. Then the span has no parent.
    let _ = span.set_parent(parent);
}

struct Headers<'a, 'h>(&'a HeaderMap<'h>);

impl Extractor for Headers<'_, '_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get_one(key)
    }

    fn keys(&self) -> Vec<&str> {
        // The headers of a trace context.
        vec!["traceparent", "tracestate"]
    }
}
