//! What all requests of a client have.

use std::time::Duration;

use reqwest::{
    Request,
    header::{HeaderName, HeaderValue},
};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The API key of all requests of a client, and how long their responses may take.
///
/// They are set for each request, because the HTTP client may be the caller's own.
#[derive(Clone, Debug)]
pub(crate) struct RequestDefaults {
    /// Marked as sensitive, so that no log shows it.
    pub(crate) api_key: HeaderValue,
    pub(crate) timeout: Duration,
}

impl RequestDefaults {
    /// Sets the API key, and the timeout unless the request has one.
    pub(crate) fn apply_to(&self, request: &mut Request) {
        request.headers_mut().insert(API_KEY, self.api_key.clone());
        request.timeout_mut().get_or_insert(self.timeout);
    }

    /// The header with the API key.
    pub(crate) fn api_key_header(&self) -> (HeaderName, HeaderValue) {
        (API_KEY, self.api_key.clone())
    }
}
