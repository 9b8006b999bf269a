//! Cross-origin requests (<https://fetch.spec.whatwg.org/#http-cors-protocol>), as tinysse's
//! options have them.

use rocket::{
    Request, Response, async_trait,
    fairing::{Fairing, Info, Kind},
    http::{Method, Status},
};

use super::options::{AnyOr, CorsOptions};

/// Adds the headers to each response, and answers preflights.
pub(super) struct TinysseCors(pub(super) CorsOptions);

impl TinysseCors {
    /// The value of `Access-Control-Allow-Origin`. None if the origin is not allowed.
    fn allow(&self, origin: Option<&str>) -> Option<String> {
        match &self.0.origins {
            AnyOr::Any => Some("*".to_owned()),
            AnyOr::Only(origins) => {
                let origin = origin?;
                let mut origins = origins.iter();
                let is_allowed = origins.any(|allowed| allowed.eq_ignore_ascii_case(origin));
                is_allowed.then(|| origin.to_owned())
            }
        }
    }
}

#[async_trait]
impl Fairing for TinysseCors {
    fn info(&self) -> Info {
        Info {
            name: "CORS",
            kind: Kind::Response,
        }
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let options = &self.0;
        if request.method() == Method::Options {
            *response = Response::build()
                .status(Status::Ok)
                .raw_header("Access-Control-Allow-Methods", options.methods.to_string())
                .raw_header("Access-Control-Allow-Headers", options.headers.to_string())
                .raw_header(
                    "Access-Control-Max-Age",
                    options.max_age.as_secs().to_string(),
                )
                .finalize();
        }
        if options.origins != AnyOr::Any {
            // Caches must not give one origin's response to another.
            response.adjoin_raw_header("Vary", "Origin");
        }
        if let Some(origin) = self.allow(request.headers().get_one("Origin")) {
            response.set_raw_header("Access-Control-Allow-Origin", origin);
            if options.credentials {
                response.set_raw_header("Access-Control-Allow-Credentials", "true");
            }
        }
    }
}
