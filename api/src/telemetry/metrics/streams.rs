//! The metrics of streams.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::labels::{Outcome, SignalKind};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfStatus {
    status: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfKind {
    kind: SignalKind,
}

/// The metrics of streams.
#[derive(Debug)]
pub struct StreamMetrics {
    finished: Family<OfStatus, Counter>,
    signals: Family<OfKind, Counter>,
    /// Streams that this node created.
    pub created: Counter,
    /// Streams that this node did not create, as their API key has too many.
    pub refused: Counter,
    /// Active streams of the embedded store that expired. Redis does not report its own.
    pub expired: Counter,
    /// Streams that the node's subscribers follow.
    pub followed: Gauge,
}

impl StreamMetrics {
    /// Registers the metrics. Only the embedded store knows which streams expired.
    pub(super) fn register(registry: &mut Registry, embedded: bool) -> Self {
        let metrics = Self {
            finished: Family::default(),
            signals: Family::default(),
            created: Counter::default(),
            refused: Counter::default(),
            expired: Counter::default(),
            followed: Gauge::default(),
        };
        registry.register(
            "streams_created",
            "Streams that this node created",
            metrics.created.clone(),
        );
        registry.register(
            "streams_refused",
            "Streams that the node did not create because the API key has too many",
            metrics.refused.clone(),
        );
        registry.register(
            "streams_finished",
            "Streams that this node finished, by status",
            metrics.finished.clone(),
        );
        for &status in Outcome::ALL {
            metrics.finished.get_or_create_owned(&OfStatus { status });
        }
        registry.register(
            "signals",
            "Signals that this node stored for producers, by kind",
            metrics.signals.clone(),
        );
        for &kind in SignalKind::ALL {
            metrics.signals.get_or_create_owned(&OfKind { kind });
        }
        registry.register(
            "streams_followed",
            "Streams that subscribers of this node follow",
            metrics.followed.clone(),
        );
        if embedded {
            registry.register(
                "streams_expired",
                "Active streams that expired, counted when a node notices it",
                metrics.expired.clone(),
            );
        }
        metrics
    }

    /// Counts a signal that this node has taken.
    pub fn signal(&self, kind: SignalKind) {
        self.signals.get_or_create(&OfKind { kind }).inc();
    }

    /// Counts a stream that this node has finished.
    pub fn finish(&self, status: Outcome) {
        self.finished.get_or_create(&OfStatus { status }).inc();
    }
}
