//! The log and metrics of requests: each request gets an id and is counted, logged and measured.
//! Log lines of its handler are in its span, and so have its id, method and path.

use std::time::Instant;

use rocket::{
    Data, Request, Response, Route, async_trait,
    fairing::{Fairing, Info, Kind},
    http::Status,
    route::{Handler, Outcome},
};
use tracing::{Instrument, Span, error_span};

use super::{methods::mark_as_read, routes::LONG_LIVED};
use crate::{
    bounded::bounded,
    lifecycle::{Lifecycle, RequestGuard},
    telemetry::metrics::SharedMetrics,
};

/// The route in the metrics of a request that matched no route.
const NO_ROUTE: &str = "none";

/// The most bytes of a path that a log line shows.
const MAX_PATH_BYTES: usize = 1_024;

/// Logs and measures each request, from its arrival to the head of its response.
pub struct RequestLog;

/// The state that the log keeps with a request.
struct RequestState {
    id: String,
    span: Span,
    at: Instant,
    /// Dropped with the request, when the response was sent.
    _guard: Option<RequestGuard>,
}

impl RequestState {
    fn new(request: &Request<'_>) -> Self {
        // An id of the caller is kept if it is safe in a log line, so that operators can follow a
        // request through a proxy.
        let is_safe = |id: &&str| {
            (1..=64).contains(&id.len())
                && id
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        let given = request.headers().get_one("X-Request-Id").filter(is_safe);
        let id = given.map_or_else(|| format!("{:016x}", fastrand::u64(..)), ToOwned::to_owned);
        let path = bounded(request.uri().path().as_str().into(), MAX_PATH_BYTES);
        // The span has the highest level, because lines of every level need it.
        let span = error_span!("request", %id, method = %request.method(), path = %path);
        #[cfg(feature = "otlp")]
        crate::telemetry::otlp::adopt(&span, request.headers());
        Self {
            id,
            span,
            at: Instant::now(),
            _guard: request
                .rocket()
                .state::<Lifecycle>()
                .map(Lifecycle::request),
        }
    }
}

#[async_trait]
impl Fairing for RequestLog {
    fn info(&self) -> Info {
        Info {
            name: "request log",
            kind: Kind::Request | Kind::Response,
        }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        mark_as_read(request);
        let state = RequestState::new(request);
        request.local_cache(|| state);
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let state = request.local_cache(|| RequestState::new(request));
        response.set_raw_header("X-Request-Id", state.id.clone());
        // Rocket sends 101 for a WebSocket, and the response has another status.
        let upgraded = response.upgrade("websocket").is_some();
        let status = if upgraded {
            Status::SwitchingProtocols
        } else {
            response.status()
        }
        .code;
        let duration = state.at.elapsed();
        let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        if let Some(metrics) = request.rocket().state::<SharedMetrics>() {
            let route = request.route().map_or(NO_ROUTE, |route| route.uri.path());
            metrics.http.answer(
                request.method().as_str(),
                route,
                status,
                (!LONG_LIVED.contains(&route)).then_some(duration),
            );
        }
        state.span.in_scope(|| match status {
            500.. => tracing::warn!(status, ms, "answered"),
            400..500 => tracing::info!(status, ms, "answered"),
            _ => tracing::debug!(status, ms, "answered"),
        });
    }
}

/// Wraps the routes, so that their log lines are in the span of the request.
#[must_use]
pub fn in_spans(routes: Vec<Route>) -> Vec<Route> {
    let in_span = |mut route: Route| {
        route.handler = Box::new(InSpan(route.handler.clone()));
        route
    };
    routes.into_iter().map(in_span).collect()
}

#[derive(Clone)]
struct InSpan(Box<dyn Handler>);

#[async_trait]
impl Handler for InSpan {
    async fn handle<'r>(&self, request: &'r Request<'_>, data: Data<'r>) -> Outcome<'r> {
        let span = request
            .local_cache(|| RequestState::new(request))
            .span
            .clone();
        self.0.handle(request, data).instrument(span).await
    }
}
