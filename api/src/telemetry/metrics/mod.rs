//! The metrics of the broker: one struct per process, which all parts share.
//! `docs/reference/metrics.md` explains each metric.
//!
//! Labels hold words from `labels.rs` and route patterns. They never hold a stream's key, a token,
//! or other input, so that the number of series is bounded.

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
    clients::{ClientMetrics, ConnectedGuard},
    http::HttpMetrics,
    ingest::IngestMetrics,
    labels::{
        Cause, DisconnectReason, HookOutcome, Operation, Outcome, Refusal, SignalKind, Transport,
        Way,
    },
    producers::ProducerMetrics,
    redis::RedisMetrics,
    scripts::ScriptMetrics,
    streams::StreamMetrics,
};
use crate::config::Delivery;

mod clients;
mod http;
mod ingest;
mod labels;
mod process;
mod producers;
mod redis;
mod scripts;
mod streams;

/// The prefix of every metric's name.
pub const PREFIX: &str = "tinistreamer";

/// The media type of [`Metrics::text`]: the subtype of `application`, and its parameters. The text
/// is [OpenMetrics 1.0](https://prometheus.io/docs/specs/om/open_metrics_spec/), the standard form
/// of Prometheus' text format.
pub const CONTENT_TYPE: (&str, [(&str, &str); 2]) = (
    "openmetrics-text",
    [("version", "1.0.0"), ("charset", "utf-8")],
);

/// All metrics of the broker.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    started: Instant,
    ingest: [IngestMetrics; 3],
    clients: [Arc<ClientMetrics>; 4],
    /// HTTP requests and their responses.
    pub http: HttpMetrics,
    /// Streams: created, finished, expired.
    pub streams: StreamMetrics,
    /// Producers that wait for signals.
    pub producers: ProducerMetrics,
    /// The hooks of a script.
    pub scripts: ScriptMetrics,
    /// Redis. They stay at zero with the embedded store.
    pub redis: RedisMetrics,
}

/// The metrics, shared by all parts of the broker.
pub type SharedMetrics = Arc<Metrics>;

impl Metrics {
    /// New metrics, all at zero, of a node that admits this many subscribers. No delivery: the node
    /// uses the embedded store. Registers only the metrics that this kind of node has.
    #[must_use]
    pub fn new(delivery: Option<Delivery>, max_subscribers: usize) -> SharedMetrics {
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
        ours.register(
            "build",
            "Version, store and delivery of this node",
            Info::new(about),
        );
        let client_slots = Gauge::<i64>::default();
        client_slots.set(i64::try_from(max_subscribers).unwrap_or(i64::MAX));
        ours.register(
            "client_slots",
            "Limit of connected subscribers",
            client_slots,
        );
        let http = HttpMetrics::register(ours);
        let streams = StreamMetrics::register(ours, delivery.is_none());
        let producers = ProducerMetrics::register(ours);
        let (ingest, clients) = (IngestMetrics::register(ours), ClientMetrics::register(ours));
        let redis = RedisMetrics::register(ours, delivery);
        let scripts = ScriptMetrics::register(ours);
        registry.register_collector(Box::new(Process::new()));
        Arc::new(Self {
            registry,
            started: Instant::now(),
            ingest,
            clients,
            http,
            streams,
            producers,
            scripts,
            redis,
        })
    }

    /// The metrics of events that publishers send in one way.
    #[must_use]
    pub fn ingest(&self, way: Way) -> &IngestMetrics {
        let [batch, ndjson, websocket] = &self.ingest;
        match way {
            Way::Batch => batch,
            Way::Ndjson => ndjson,
            Way::WebSocket => websocket,
        }
    }

    /// The metrics of the subscribers of one transport.
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

    /// Time since the process started.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// All metrics as text of the type [`CONTENT_TYPE`].
    ///
    /// Errors: none in practice, as it writes to memory.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
