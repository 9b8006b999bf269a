//! What is logged, and how: one line per event on standard error; a request id in every line about a request and in
//! `X-Request-Id`. Queries are never logged: they may hold tokens. Rocket's own log, which shows them, is off.

use std::{io::IsTerminal, time::Instant};

use rocket::{
    Data, Request, Response, async_trait,
    fairing::{Fairing, Info, Kind},
};
use tracing_subscriber::EnvFilter;

use crate::lifecycle::{Lifecycle, RequestGuard};

/// Starts logging.
pub fn init(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).with_target(false).init();
}

/// Counts each request while it is under way, gives it an id, and logs its answer.
pub struct RequestLog;

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
impl Fairing for RequestLog {
    fn info(&self) -> Info {
        Info { name: "request log", kind: Kind::Request | Kind::Response }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        let begun = Begun::new(request);
        request.local_cache(|| begun);
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let begun = request.local_cache(|| Begun::new(request));
        response.set_raw_header("X-Request-Id", begun.id.clone());
        let (method, path, status) = (request.method(), request.uri().path(), response.status().code);
        let (id, ms) = (&begun.id, begun.at.elapsed().as_millis());
        match status {
            500.. => tracing::warn!(%id, %method, %path, status, ms, "answered"),
            400..500 => tracing::info!(%id, %method, %path, status, ms, "answered"),
            _ => tracing::debug!(%id, %method, %path, status, ms, "answered"),
        }
    }
}
