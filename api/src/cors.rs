//! Cross-origin requests (<https://fetch.spec.whatwg.org/#http-cors-protocol>), and the answer to `OPTIONS`.

use rocket::{
    Request, Response, async_trait,
    fairing::{Fairing, Info, Kind},
    http::{Header, Method, Status},
};

use crate::error::allowed_methods;

const ALLOW_METHODS: &str = "GET, POST, HEAD, OPTIONS";
const ALLOW_HEADERS: &str = "Authorization, Content-Type, Last-Event-ID, X-API-KEY, X-Request-Id, Cache-Control";
const EXPOSE_HEADERS: &str = "Retry-After, X-Request-Id";
/// Seconds for which a browser need not ask again; more is cut down by most of them.
const MAX_AGE: &str = "7200";

/// Lets browsers of the allowed origins read answers, and answers their preflights.
pub struct Cors {
    /// None: all.
    origins: Option<Vec<String>>,
}

impl Cors {
    /// Allows these origins, or all.
    #[must_use]
    pub fn new(origins: Option<Vec<String>>) -> Self {
        Self { origins }
    }

    /// What to say to this origin; nothing, if it is not allowed.
    fn allow(&self, origin: &str) -> Option<String> {
        match &self.origins {
            None => Some("*".to_owned()),
            Some(origins) => origins.iter().any(|good| good.eq_ignore_ascii_case(origin)).then(|| origin.to_owned()),
        }
    }
}

#[async_trait]
impl Fairing for Cors {
    fn info(&self) -> Info {
        Info { name: "CORS", kind: Kind::Response }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        if self.origins.is_some() {
            // Caches must not give one origin's answer to another.
            response.adjoin_raw_header("Vary", "Origin");
        }
        let origin = request.headers().get_one("Origin").and_then(|origin| self.allow(origin));
        if request.method() == Method::Options && [Status::NotFound, Status::MethodNotAllowed].contains(&response.status()) {
            let Some(methods) = allowed_methods(request) else { return };
            let allow = response.headers().get_one("Allow").map_or(methods, ToOwned::to_owned);
            *response = Response::build().status(Status::NoContent).raw_header("Allow", allow).finalize();
            if origin.is_some() && request.headers().contains("Access-Control-Request-Method") {
                response.set_header(Header::new("Access-Control-Allow-Methods", ALLOW_METHODS));
                response.set_header(Header::new("Access-Control-Allow-Headers", ALLOW_HEADERS));
                response.set_header(Header::new("Access-Control-Max-Age", MAX_AGE));
            }
        }
        if let Some(origin) = origin {
            response.set_header(Header::new("Access-Control-Allow-Origin", origin));
            response.set_header(Header::new("Access-Control-Expose-Headers", EXPOSE_HEADERS));
        }
    }
}
