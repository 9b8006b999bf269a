//! The metrics of the subscribers of one transport: how many, what they receive, why they leave.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::labels::{DisconnectReason, Refusal, Transport};

/// Buckets from a millisecond, the resolution of event ids, to ten seconds.
const LATENCY_SECONDS: [f64; 13] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfTransport {
    transport: Transport,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfDisconnect {
    transport: Transport,
    reason: DisconnectReason,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRefusal {
    transport: Transport,
    reason: Refusal,
}

/// The metrics of the subscribers of one transport. It looks up each counter once, so that to count
/// an event is one addition.
#[derive(Debug)]
pub struct ClientMetrics {
    transport: Transport,
    now: Gauge,
    connected: Counter,
    left: Family<OfDisconnect, Counter>,
    refused: Family<OfRefusal, Counter>,
    events: Counter,
    bytes: Counter,
    latency: Histogram,
    /// Subscribers that resumed after an event id.
    pub resumes: Counter,
    /// Gaps that the broker reported to subscribers.
    pub missed: Counter,
    /// SSE comments and WebSocket pings of heartbeats.
    pub heartbeats: Counter,
}

impl ClientMetrics {
    /// Registers the metrics of each transport.
    pub(super) fn register(registry: &mut Registry) -> [Arc<Self>; 4] {
        let now = Family::<OfTransport, Gauge>::default();
        registry.register("clients", "Subscribers that are connected", now.clone());
        let mut counter = |name: &str, help: &str| {
            let family = Family::<OfTransport, Counter>::default();
            registry.register(name, help, family.clone());
            family
        };
        let connected = counter("clients_connected", "Subscribers that the broker admitted");
        let events = counter(
            "delivered_events",
            "Events written to subscribers' connections, stored events included",
        );
        let resumes = counter("resumes", "Subscribers that resumed after an id");
        let missed = counter(
            "missed_told",
            "Gaps that `missedevents` reported to subscribers",
        );
        let heartbeats = counter(
            "heartbeats",
            "SSE comments and WebSocket pings sent because there was no event",
        );
        let bytes = Family::<OfTransport, Counter>::default();
        registry.register_with_unit(
            "delivered",
            "Bytes of the frames and messages with these events",
            Unit::Bytes,
            bytes.clone(),
        );
        let left = Family::<OfDisconnect, Counter>::default();
        registry.register(
            "clients_left",
            "Subscribers that disconnected, by reason",
            left.clone(),
        );
        let refused = Family::<OfRefusal, Counter>::default();
        registry.register(
            "clients_refused",
            "Subscribers that the broker refused, by reason",
            refused.clone(),
        );
        let latency = Family::<OfTransport, Histogram>::new_with_constructor(|| {
            Histogram::new(LATENCY_SECONDS)
        });
        registry.register_with_unit(
            "delivery_latency",
            "Time from a live event's id to its being handed to a client's connection, \
             one observation per client and batch",
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
            // A reason that did not occur yet shows as 0: so Prometheus sees its first increase.
            for &reason in DisconnectReason::ALL {
                left.get_or_create_owned(&OfDisconnect { transport, reason });
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

    /// Counts an admitted subscriber until the guard is dropped.
    #[must_use]
    pub fn connect(self: &Arc<Self>) -> ConnectedGuard {
        self.now.inc();
        self.connected.inc();
        ConnectedGuard {
            metrics: Arc::clone(self),
            reason: DisconnectReason::Left,
        }
    }

    /// Counts a subscriber that the broker did not admit.
    pub fn refuse(&self, reason: Refusal) {
        self.refused
            .get_or_create(&OfRefusal {
                transport: self.transport,
                reason,
            })
            .inc();
    }

    /// Counts a batch that went to a subscriber's connection.
    pub fn deliver(&self, events: usize, bytes: usize) {
        self.events.inc_by(events as u64);
        self.bytes.inc_by(bytes as u64);
    }

    /// Observes the latency of a live event that goes to a subscriber's connection now. `event_ms`
    /// is the time in its id: milliseconds since the Unix epoch by the store's clock. A clock that
    /// is ahead of this node's counts as latency 0.
    pub fn observe_latency(&self, event_ms: u64) {
        let now = u64::try_from(chrono::Utc::now().timestamp_millis()).unwrap_or(0);
        self.latency
            .observe(std::time::Duration::from_millis(now.saturating_sub(event_ms)).as_secs_f64());
    }

    /// Events delivered since the start.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events.get()
    }

    /// Bytes delivered since the start.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Subscribers that are connected now.
    #[must_use]
    pub fn now(&self) -> u64 {
        u64::try_from(self.now.get()).unwrap_or(0)
    }
}

/// Counts one connected subscriber until it is dropped. Without a reason the subscriber left by
/// itself.
#[derive(Debug)]
pub struct ConnectedGuard {
    metrics: Arc<ClientMetrics>,
    reason: DisconnectReason,
}

impl ConnectedGuard {
    /// Sets why the subscriber will be disconnected. The last reason counts.
    pub fn set_reason(&mut self, reason: DisconnectReason) {
        self.reason = reason;
    }
}

impl Drop for ConnectedGuard {
    fn drop(&mut self) {
        let Self { metrics, reason } = self;
        metrics.now.dec();
        metrics
            .left
            .get_or_create(&OfDisconnect {
                transport: metrics.transport,
                reason: *reason,
            })
            .inc();
    }
}
