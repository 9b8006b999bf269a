//! What is measured: one struct, made once, handed to whoever has something to count. `docs/operations.md` says what each
//! metric means.
//!
//! Labels hold words that are known here, and route patterns: never a stream's key, a token, or anything else that came from
//! outside, so that the number of series is bounded.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::{encoding::text, registry::Registry};

pub use self::{
    clients::{ClientMetrics, Presence},
    ingest::IngestMetrics,
    labels::{Departure, Finished, Refusal, Transport, Way},
};
mod clients;
mod ingest;
mod labels;

/// What every name begins with.
pub const PREFIX: &str = "tinistreamer";

/// The media type of [`Metrics::text`]: [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/), the
/// standardised form of Prometheus' text format.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that the broker measures.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    started: Instant,
    ingest: [IngestMetrics; 3],
    clients: [Arc<ClientMetrics>; 2],
}

/// Metrics that are shared by all who count.
pub type SharedMetrics = Arc<Metrics>;

impl Metrics {
    /// All at zero.
    #[must_use]
    pub fn new() -> SharedMetrics {
        let mut registry = Registry::default();
        let ours = registry.sub_registry_with_prefix(PREFIX);
        let (ingest, clients) = (IngestMetrics::register(ours), ClientMetrics::register(ours));
        Arc::new(Self { registry, started: Instant::now(), ingest, clients })
    }

    /// The metrics of one way in.
    #[must_use]
    pub fn ingest(&self, way: Way) -> &IngestMetrics {
        let [batch, ndjson, websocket] = &self.ingest;
        match way {
            Way::Batch => batch,
            Way::Ndjson => ndjson,
            Way::WebSocket => websocket,
        }
    }

    /// The metrics of one transport's clients.
    #[must_use]
    pub fn clients(&self, transport: Transport) -> &Arc<ClientMetrics> {
        let [sse, ws] = &self.clients;
        match transport {
            Transport::Sse => sse,
            Transport::Ws => ws,
        }
    }

    /// Time since the start.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// All metrics as text of the type [`CONTENT_TYPE`].
    ///
    /// Errors: none in practice, as what is written to is memory.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
