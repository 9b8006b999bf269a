//! The clients of one transport: who is there, what they are sent, why they leave.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::labels::{Departure, Refusal, Transport};

/// From a millisecond, in which event ids count, to ten seconds.
const LATENCY_SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTransport {
    transport: Transport,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDeparture {
    transport: Transport,
    reason: Departure,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRefusal {
    transport: Transport,
    reason: Refusal,
}

/// What is measured of the clients of one transport. Counters are looked up once: what happens to
/// each event is an addition.
#[derive(Debug)]
pub struct ClientMetrics {
    transport: Transport,
    now: Gauge,
    connected: Counter,
    left: Family<OfDeparture, Counter>,
    refused: Family<OfRefusal, Counter>,
    events: Counter,
    bytes: Counter,
    latency: Histogram,
    /// Clients that went on from an id.
    pub resumes: Counter,
    /// Gaps that clients were told of.
    pub missed: Counter,
    /// Comments and pings sent in silence.
    pub heartbeats: Counter,
}

impl ClientMetrics {
    /// Registers them, for each transport.
    pub(super) fn register(registry: &mut Registry) -> [Arc<Self>; 4] {
        let now = Family::<OfTransport, Gauge>::default();
        registry.register("clients", "Clients that follow a stream now", now.clone());
        let mut counter = |name: &str, help: &str| {
            let family = Family::<OfTransport, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let connected = counter("clients_connected", "Clients that were let in");
        let events = counter(
            "delivered_events",
            "Events handed to clients' connections, history included",
        );
        let resumes = counter("resumes", "Clients that went on from an id");
        let missed = counter(
            "missed_told",
            "Gaps that clients were told of by `missedevents`",
        );
        let heartbeats = counter(
            "heartbeats",
            "SSE comments and WebSocket pings sent in silence",
        );
        let bytes = Family::<OfTransport, Counter>::default();
        registry.register_with_unit(
            "delivered",
            "Bytes of frames and messages with these events",
            Unit::Bytes,
            bytes.clone(),
        );
        let left = Family::<OfDeparture, Counter>::default();
        registry.register(
            "clients_left",
            "Clients that are gone, by the reason",
            left.clone(),
        );
        let refused = Family::<OfRefusal, Counter>::default();
        registry.register(
            "clients_refused",
            "Clients that were not let in, by the reason",
            refused.clone(),
        );
        let latency = Family::<OfTransport, Histogram>::new_with_constructor(|| {
            Histogram::new(LATENCY_SECONDS)
        });
        registry.register_with_unit(
            "delivery_latency",
            "Time from a live event's id to its being handed to a client's connection, one observation per client and batch",
            Unit::Seconds,
            latency.clone(),
        );
        [
            Transport::Sse,
            Transport::Ws,
            Transport::Poll,
            Transport::Ndjson,
        ]
        .map(|transport| {
            let of = OfTransport { transport };
            // What has not happened yet shows as 0, so that its first increase can be seen.
            for &reason in Departure::ALL {
                left.get_or_create_owned(&OfDeparture { transport, reason });
            }
            for &reason in Refusal::ALL {
                refused.get_or_create_owned(&OfRefusal { transport, reason });
            }
            Arc::new(Self {
                transport,
                now: now.get_or_create_owned(&of),
                connected: connected.get_or_create_owned(&of),
                left: left.clone(),
                refused: refused.clone(),
                events: events.get_or_create_owned(&of),
                bytes: bytes.get_or_create_owned(&of),
                latency: latency.get_or_create_owned(&of),
                resumes: resumes.get_or_create_owned(&of),
                missed: missed.get_or_create_owned(&of),
                heartbeats: heartbeats.get_or_create_owned(&of),
            })
        })
    }

    /// Counts a client that is let in, until its presence is dropped.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Presence {
        self.now.inc();
        self.connected.inc();
        Presence {
            metrics: Arc::clone(self),
            departure: Departure::Left,
        }
    }

    /// Counts a client that is not let in.
    pub fn refuse(&self, reason: Refusal) {
        self.refused
            .get_or_create(&OfRefusal {
                transport: self.transport,
                reason,
            })
            .inc();
    }

    /// Counts what a client was handed: once per batch, whatever its length.
    pub fn deliver(&self, events: usize, bytes: usize) {
        self.events.inc_by(events as u64);
        self.bytes.inc_by(bytes as u64);
    }

    /// Observes how long after its id's time, in milliseconds since the Unix epoch, a live event
    /// was handed on. Ids are told by the store's clock: one that is ahead of this node's counts as
    /// 0.
    pub fn observe_latency(&self, event_ms: u64) {
        let now = u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or(0);
        self.latency
            .observe(std::time::Duration::from_millis(now.saturating_sub(event_ms)).as_secs_f64());
    }

    /// Events handed over since the start.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events.get()
    }

    /// Bytes handed over since the start.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Clients that are there now.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.now.get()).unwrap_or(0)
    }
}

/// A client that is there; gone when dropped, by itself unless another reason was given.
#[derive(Debug)]
pub struct Presence {
    metrics: Arc<ClientMetrics>,
    departure: Departure,
}

impl Presence {
    /// Says why the client will be gone. The last reason counts.
    pub fn departs(&mut self, reason: Departure) {
        self.departure = reason;
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        let Self { metrics, departure } = self;
        metrics.now.dec();
        metrics
            .left
            .get_or_create(&OfDeparture {
                transport: metrics.transport,
                reason: *departure,
            })
            .inc();
    }
}
