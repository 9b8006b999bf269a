//! A span of each request for a collector, by [OTLP](https://opentelemetry.io/docs/specs/otlp/)
//! over HTTP, in programs built with the feature `otlp`. The environment says where to, and more,
//! by [OpenTelemetry's own variables](https://opentelemetry.io/docs/specs/otel/protocol/exporter/).

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

/// Where spans go; without one of these there is no collector.
const ENDPOINTS: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
];

/// How long the last spans may take on their way when the program ends.
const PATIENCE: Duration = Duration::from_secs(1);

/// Sends spans, in a thread of its own.
#[derive(Debug)]
pub struct Exporter(SdkTracerProvider);

impl Exporter {
    /// An exporter to the collector that the environment names, if it names one.
    ///
    /// Errors: the environment's settings can't be used.
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

    /// Makes spans of tracing's.
    #[must_use]
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> OpenTelemetryLayer<S, Tracer> {
        tracing_opentelemetry::layer().with_tracer(self.0.tracer("tinistreamer"))
    }

    /// Sends what is left. Blocks, for a second at the most.
    pub fn flush(&self) {
        // A collector that does not take them now will not be asked again: the program ends.
        let _ = self.0.shutdown_with_timeout(PATIENCE);
    }
}

/// Makes the span a part of the trace that the request is of ([W3C Trace
/// Context](https://www.w3.org/TR/trace-context/)).
pub fn adopt(span: &Span, headers: &HeaderMap<'_>) {
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    // It fails where spans are not exported, and there is nothing to do.
    let _ = span.set_parent(parent);
}

struct Headers<'a, 'h>(&'a HeaderMap<'h>);

impl Extractor for Headers<'_, '_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get_one(key)
    }

    fn keys(&self) -> Vec<&str> {
        // All that a trace context is made of.
        vec!["traceparent", "tracestate"]
    }
}
