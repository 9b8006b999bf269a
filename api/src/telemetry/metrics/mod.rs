//! What is measured: one struct, made once, handed to whoever has something to count.
//! `docs/operations.md` says what each metric means.
//!
//! Labels hold words that are known here, and route patterns: never a stream's key, a token, or
//! anything else that came from outside, so that the number of series is bounded.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::text,
    metrics::{gauge::Gauge, info::Info},
    registry::Registry,
};

use self::process::Process;
pub use self::{
    clients::{ClientMetrics, Presence},
    http::HttpMetrics,
    ingest::IngestMetrics,
    labels::{Cause, Departure, Operation, Outcome, Refusal, Transport, Way},
    redis::RedisMetrics,
    streams::StreamMetrics,
};
use crate::config::Delivery;

mod clients;
mod http;
mod ingest;
mod labels;
mod process;
mod redis;
mod streams;

/// What every name begins with.
pub const PREFIX: &str = "tinistreamer";

/// The media type of [`Metrics::text`]: [OpenMetrics
/// 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/), the standardised form of
/// Prometheus' text format: the subtype of `application`, and its parameters.
pub const CONTENT_TYPE: (&str, [(&str, &str); 2]) = (
    "openmetrics-text",
    [("version", "1.0.0"), ("charset", "utf-8")],
);

/// All that the broker measures.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    started: Instant,
    ingest: [IngestMetrics; 3],
    clients: [Arc<ClientMetrics>; 4],
    /// Requests and their answers.
    pub http: HttpMetrics,
    /// Streams that begin and end.
    pub streams: StreamMetrics,
    /// Redis; all at zero with the embedded store.
    pub redis: RedisMetrics,
}

/// Metrics that are shared by all who count.
pub type SharedMetrics = Arc<Metrics>;

impl Metrics {
    /// All at zero, for a node with this delivery over Redis, or with the embedded store, and this
    /// many slots for clients. Those are registered that mean something there.
    #[must_use]
    pub fn new(delivery: Option<Delivery>, slots: usize) -> SharedMetrics {
        let mut registry = Registry::default();
        let ours = registry.sub_registry_with_prefix(PREFIX);
        let about = [
            ("version", env!("CARGO_PKG_VERSION")),
            (
                "store",
                if delivery.is_some() {
                    "redis"
                } else {
                    "memory"
                },
            ),
            ("delivery", delivery.map_or("memory", Delivery::as_str)),
        ];
        ours.register("build", "What this node is", Info::new(about));
        let client_slots = Gauge::<i64>::default();
        client_slots.set(i64::try_from(slots).unwrap_or(i64::MAX));
        ours.register(
            "client_slots",
            "Clients that may follow streams at a time",
            client_slots,
        );
        let http = HttpMetrics::register(ours);
        let streams = StreamMetrics::register(ours, delivery.is_none());
        let (ingest, clients) = (IngestMetrics::register(ours), ClientMetrics::register(ours));
        let redis = RedisMetrics::register(ours, delivery);
        registry.register_collector(Box::new(Process::new()));
        Arc::new(Self {
            registry,
            started: Instant::now(),
            ingest,
            clients,
            http,
            streams,
            redis,
        })
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
        let [sse, ws, poll, ndjson] = &self.clients;
        match transport {
            Transport::Sse => sse,
            Transport::Ws => ws,
            Transport::Poll => poll,
            Transport::Ndjson => ndjson,
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
