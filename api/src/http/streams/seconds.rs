//! Times to live in responses.

use std::time::Duration;

/// Whole seconds, rounded up: a stream that still exists has at least one second left.
pub(super) fn seconds(ttl: Duration) -> u64 {
    ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0)
}
