//! The metrics of Redis: durations, errors, connections, and the catch-ups of shared delivery.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::labels::{Cause, Operation};
use crate::config::Delivery;

const DURATION_SECONDS: [f64; 15] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfOperation {
    operation: Operation,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfCause {
    cause: Cause,
}

/// The metrics of Redis.
#[derive(Debug)]
pub struct RedisMetrics {
    duration: Family<OfOperation, Histogram>,
    errors: Family<OfOperation, Counter>,
    catch_ups: Family<OfCause, Counter>,
    catch_ups_failed: Family<OfCause, Counter>,
    catch_up_events: Family<OfCause, Counter>,
    pool_connections: Gauge,
    pool_in_use: Gauge,
    /// 1 while the subscription of shared delivery is up, else 0.
    pub subscription_up: Gauge,
    /// Times that the node lost the subscription.
    pub subscription_losses: Counter,
    /// Times that another server became the primary. With Sentinels the first primary counts too.
    pub primary_changes: Counter,
    /// Streams that the node follows for its subscribers.
    pub topics: Gauge,
}

impl RedisMetrics {
    /// Registers the metrics of this delivery over Redis; none without one.
    pub(super) fn register(registry: &mut Registry, delivery: Option<Delivery>) -> Self {
        let metrics = Self {
            duration: Family::new_with_constructor(|| Histogram::new(DURATION_SECONDS)),
            errors: Family::default(),
            catch_ups: Family::default(),
            catch_ups_failed: Family::default(),
            catch_up_events: Family::default(),
            pool_connections: Gauge::default(),
            pool_in_use: Gauge::default(),
            subscription_up: Gauge::default(),
            subscription_losses: Counter::default(),
            primary_changes: Counter::default(),
            topics: Gauge::default(),
        };
        if let Some(delivery) = delivery {
            metrics.register_all(registry.sub_registry_with_prefix("redis"), delivery);
        }
        metrics
    }

    fn register_all(&self, registry: &mut Registry, delivery: Delivery) {
        for &operation in Operation::ALL {
            self.errors.get_or_create_owned(&OfOperation { operation });
        }
        let help =
            "Round trip of a command, for each attempt; without commands that wait for events";
        registry.register_with_unit(
            "command_duration",
            help,
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "errors",
            "Commands that Redis refused or did not answer, for each attempt",
            self.errors.clone(),
        );
        registry.register(
            "primary_changes",
            "Times that the node connected to another primary",
            self.primary_changes.clone(),
        );
        match delivery {
            Delivery::Exclusive => {
                registry.register(
                    "pool_connections",
                    "Connections of the exclusive pool",
                    self.pool_connections.clone(),
                );
                registry.register(
                    "pool_connections_in_use",
                    "Connections of the exclusive pool that a subscriber holds",
                    self.pool_in_use.clone(),
                );
            }
            Delivery::Shared => {
                for &cause in Cause::ALL {
                    for family in [
                        &self.catch_ups,
                        &self.catch_ups_failed,
                        &self.catch_up_events,
                    ] {
                        family.get_or_create_owned(&OfCause { cause });
                    }
                }
                registry.register(
                    "subscription_up",
                    "Whether the node receives notifications: 1 or 0",
                    self.subscription_up.clone(),
                );
                registry.register(
                    "subscription_losses",
                    "Times that the node lost its subscription to notifications",
                    self.subscription_losses.clone(),
                );
                registry.register(
                    "topics",
                    "Streams that the node follows for its subscribers",
                    self.topics.clone(),
                );
                registry.register(
                    "catch_ups",
                    "Times that the node asked Redis for events that a topic may have missed",
                    self.catch_ups.clone(),
                );
                registry.register(
                    "catch_ups_failed",
                    "Times that Redis did not answer that",
                    self.catch_ups_failed.clone(),
                );
                registry.register(
                    "catch_up_events",
                    "Events that such a request found and no notification had brought",
                    self.catch_up_events.clone(),
                );
            }
        }
    }

    /// Counts an attempt at a command, and its failure.
    pub fn attempt(&self, operation: Operation, duration: Duration, failed: bool) {
        self.duration
            .get_or_create(&OfOperation { operation })
            .observe(duration.as_secs_f64());
        if failed {
            self.fail(operation);
        }
    }

    /// Counts a failure of an operation without a round trip of its own: a wait, a subscription.
    pub fn fail(&self, operation: Operation) {
        self.errors.get_or_create(&OfOperation { operation }).inc();
    }

    /// Counts a catch-up that found this many events; none: it failed.
    pub fn catch_up(&self, cause: Cause, found: Option<usize>) {
        let of = OfCause { cause };
        match found {
            Some(events) => {
                self.catch_ups.get_or_create(&of).inc();
                self.catch_up_events
                    .get_or_create(&of)
                    .inc_by(events as u64);
            }
            None => _ = self.catch_ups_failed.get_or_create(&of).inc(),
        }
    }

    /// Sets the state of the exclusive pool.
    pub fn set_pool(&self, connections: usize, in_use: usize) {
        self.pool_connections
            .set(i64::try_from(connections).unwrap_or(i64::MAX));
        self.pool_in_use
            .set(i64::try_from(in_use).unwrap_or(i64::MAX));
    }
}
