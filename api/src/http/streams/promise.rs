//! What a producer promises, in requests.

use std::time::Duration;

use super::access::invalid;
use crate::{config::PROMISE_SECONDS, http::error::ApiError};

/// The period that a request names, `lease` or `stall`. Zero: for ever.
///
/// Errors: `invalid-request`.
pub(super) fn period(name: &str, requested: Option<u64>) -> Result<Option<Duration>, ApiError> {
    match requested {
        Some(seconds) if seconds > 0 && !PROMISE_SECONDS.contains(&seconds) => {
            Err(invalid(format!(
                "{name} is 0, or {} to {} seconds, not {seconds}",
                PROMISE_SECONDS.start(),
                PROMISE_SECONDS.end()
            )))
        }
        requested => Ok(requested.map(Duration::from_secs)),
    }
}
