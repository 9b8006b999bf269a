//! The content type of responses.

use reqwest::{Response, header::CONTENT_TYPE};

use crate::Error;

/// Fails when a response has another content type.
pub(super) fn check(response: &Response, expected: &str) -> Result<(), Error> {
    let content_type = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    if content_type.starts_with(expected) {
        Ok(())
    } else {
        Err(Error::InvalidAnswer(format!(
            "{content_type:?} instead of {expected}"
        )))
    }
}
