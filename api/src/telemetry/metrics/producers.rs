//! The metrics of producers that wait for signals.

use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// The metrics of producers that wait for signals at this node.
#[derive(Debug)]
pub struct ProducerMetrics {
    /// Those that wait now.
    pub waiting: Gauge,
    /// How many may wait.
    pub slots: Gauge,
    /// Requests that were refused because no more may wait.
    pub refused: Counter,
}

impl ProducerMetrics {
    /// Registers the metrics.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            waiting: Gauge::default(),
            slots: Gauge::default(),
            refused: Counter::default(),
        };
        registry.register(
            "waiting_producers",
            "Producers that wait for signals now",
            metrics.waiting.clone(),
        );
        registry.register(
            "producer_slots",
            "Limit of producers that wait for signals",
            metrics.slots.clone(),
        );
        registry.register(
            "producers_refused",
            "Producers that the broker refused because too many wait for signals",
            metrics.refused.clone(),
        );
        metrics
    }
}
