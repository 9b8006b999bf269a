//! Cross-origin requests (<https://fetch.spec.whatwg.org/#http-cors-protocol>), WebSocket
//! connections of pages of other origins, and the response to `OPTIONS`.

use rocket::{
    Request, Response, async_trait,
    fairing::{Fairing, Info, Kind},
    http::{Header, HeaderMap, Method, Status},
};

use super::methods::allowed_methods;
use crate::config::Settings;

const ALLOW_METHODS: &str = "GET, POST, DELETE, HEAD, OPTIONS";
const ALLOW_HEADERS: &str =
    "Authorization, Content-Type, Last-Event-ID, X-API-KEY, X-Request-Id, Cache-Control";
const EXPOSE_HEADERS: &str = "Retry-After, X-Request-Id";
/// Seconds for which browsers may cache a preflight. Most browsers reduce longer times to this.
const MAX_AGE: &str = "7200";

/// Whether the sender of these headers may open a WebSocket. Pages of allowed origins and of the
/// broker's own origin may, and so may programs that are no browsers, which send no origin.
/// Browsers send no preflight for a WebSocket ([RFC 6455,
/// 10.2](https://www.rfc-editor.org/rfc/rfc6455#section-10.2)).
pub(crate) fn may_connect(headers: &HeaderMap<'_>, settings: &Settings) -> bool {
    let (Some(allowed), Some(origin)) = (&settings.allowed_origins, headers.get_one("Origin"))
    else {
        return true;
    };
    let is = |other: &str| origin.eq_ignore_ascii_case(other);
    let host = headers.get_one("Host").unwrap_or_default();
    is(&format!("http://{host}"))
        || is(&format!("https://{host}"))
        || origin_of(&settings.server_address).is_some_and(is)
        || allowed.iter().any(|allowed| is(allowed))
}

/// The origin of a URL: the part before its path.
fn origin_of(url: &str) -> Option<&str> {
    let host = url.find("://")? + "://".len();
    let end = url[host..].find('/').map_or(url.len(), |path| host + path);
    Some(&url[..end])
}

/// Lets pages of the allowed origins read responses, and answers their preflights.
pub struct Cors {
    /// None allows all.
    origins: Option<Vec<String>>,
}

impl Cors {
    /// Allows these origins, or all if none are given.
    #[must_use]
    pub fn new(origins: Option<Vec<String>>) -> Self {
        Self { origins }
    }

    /// The value of `Access-Control-Allow-Origin`. None if the origin is not allowed.
    fn allow(&self, origin: &str) -> Option<String> {
        match &self.origins {
            None => Some("*".to_owned()),
            Some(origins) => origins
                .iter()
                .any(|allowed| allowed.eq_ignore_ascii_case(origin))
                .then(|| origin.to_owned()),
        }
    }
}

#[async_trait]
impl Fairing for Cors {
    fn info(&self) -> Info {
        Info {
            name: "CORS",
            kind: Kind::Response,
        }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        if self.origins.is_some() {
            // Caches must not give one origin's response to another.
            response.adjoin_raw_header("Vary", "Origin");
        }
        let origin = request
            .headers()
            .get_one("Origin")
            .and_then(|origin| self.allow(origin));
        if request.method() == Method::Options
            && [Status::NotFound, Status::MethodNotAllowed].contains(&response.status())
        {
            let Some(methods) = allowed_methods(request) else {
                return;
            };
            let allow = response
                .headers()
                .get_one("Allow")
                .map_or(methods, ToOwned::to_owned);
            *response = Response::build()
                .status(Status::NoContent)
                .raw_header("Allow", allow)
                .finalize();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_a_url_has_no_path() {
        assert_eq!(
            origin_of("https://a.example:8443/b/c"),
            Some("https://a.example:8443")
        );
        assert_eq!(origin_of("http://a.example"), Some("http://a.example"));
    }
}
