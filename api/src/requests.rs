//! Around every request: it is counted while it is under way, given an id, logged, and measured.

use std::time::Instant;

use rocket::{
    Data, Request, Response, async_trait,
    fairing::{Fairing, Info, Kind},
    http::Status,
};

use crate::{
    lifecycle::{Lifecycle, RequestGuard},
    metrics::SharedMetrics,
    routes::LONG_LIVED,
};

/// What the metrics call the route of a request that is at none.
const NO_ROUTE: &str = "none";

/// Looks after each request, from its arrival to the head of its answer.
pub struct RequestWatch;

/// What is kept with a request.
struct Begun {
    id: String,
    at: Instant,
    /// Dropped with the request, when its answer is sent.
    _guard: Option<RequestGuard>,
}

impl Begun {
    fn new(request: &Request<'_>) -> Self {
        // An id from outside is kept, so that a request can be followed through a proxy, if it can do no harm in a log line.
        let harmless = |id: &&str| (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        let given = request.headers().get_one("X-Request-Id").filter(harmless);
        let id = given.map_or_else(|| format!("{:016x}", fastrand::u64(..)), ToOwned::to_owned);
        Self { id, at: Instant::now(), _guard: request.rocket().state::<Lifecycle>().map(Lifecycle::request) }
    }
}

#[async_trait]
impl Fairing for RequestWatch {
    fn info(&self) -> Info {
        Info { name: "request watch", kind: Kind::Request | Kind::Response }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        let begun = Begun::new(request);
        request.local_cache(|| begun);
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let begun = request.local_cache(|| Begun::new(request));
        response.set_raw_header("X-Request-Id", begun.id.clone());
        let (method, path) = (request.method(), request.uri().path());
        // Rocket sends another status than the response's where the connection becomes a WebSocket.
        let upgraded = response.upgrade("websocket").is_some();
        let status = if upgraded { Status::SwitchingProtocols } else { response.status() }.code;
        let (id, duration) = (&begun.id, begun.at.elapsed());
        let ms = duration.as_millis();
        if let Some(metrics) = request.rocket().state::<SharedMetrics>() {
            let route = request.route().map_or(NO_ROUTE, |route| route.uri.path());
            metrics.http.answer(method.as_str(), route, status, (!LONG_LIVED.contains(&route)).then_some(duration));
        }
        match status {
            500.. => tracing::warn!(%id, %method, %path, status, ms, "answered"),
            400..500 => tracing::info!(%id, %method, %path, status, ms, "answered"),
            _ => tracing::debug!(%id, %method, %path, status, ms, "answered"),
        }
    }
}
