//! The metrics of HTTP requests.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

const DURATION_SECONDS: [f64; 13] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
];

/// A method, and the pattern of a route. Never a request's path: the number of paths is unbounded.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfRoute {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfAnswer {
    method: &'static str,
    route: String,
    status: u16,
}

/// The metrics of HTTP requests.
#[derive(Debug)]
pub struct HttpMetrics {
    requests: Family<OfAnswer, Counter>,
    duration: Family<OfRoute, Histogram>,
}

impl HttpMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let requests = Family::default();
        registry.register(
            "http_requests",
            "Answered requests, by method, route and status",
            Family::clone(&requests),
        );
        let duration = Family::new_with_constructor(
            (|| Histogram::new(DURATION_SECONDS)) as fn() -> Histogram,
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time from a request's arrival to the head of its answer, \
             on routes that are not open for long",
            Unit::Seconds,
            Family::clone(&duration),
        );
        Self { requests, duration }
    }

    /// Counts a response of the route with this pattern. No duration: requests of this route may be
    /// open for long.
    pub fn answer(
        &self,
        method: &'static str,
        route: &str,
        status: u16,
        duration: Option<Duration>,
    ) {
        let route = route.to_owned();
        if let Some(duration) = duration {
            self.duration
                .get_or_create(&OfRoute {
                    method,
                    route: route.clone(),
                })
                .observe(duration.as_secs_f64());
        }
        self.requests
            .get_or_create(&OfAnswer {
                method,
                route,
                status,
            })
            .inc();
    }
}
