//! The retries of requests that must succeed in the end.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Error, backoff::Backoff};

const SHORTEST_DELAY: Duration = Duration::from_millis(100);
const LONGEST_DELAY: Duration = Duration::from_secs(5);

/// How long one attempt may wait for a response: as long as time is left, within these bounds.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(15);
const SHORTEST_ATTEMPT: Duration = Duration::from_secs(1);

/// A retry decides when a request is sent again, and when to give up.
pub(crate) struct Retry {
    backoff: Backoff,
    give_up_after: Duration,
    since: Option<Instant>,
}

impl Retry {
    pub(crate) fn new(retry_for: Duration) -> Self {
        Self {
            backoff: Backoff::new(SHORTEST_DELAY, LONGEST_DELAY),
            give_up_after: retry_for,
            since: None,
        }
    }

    /// How long an attempt may wait for a response.
    pub(crate) fn timeout(&self, since: Instant) -> Duration {
        self.give_up_after
            .saturating_sub(since.elapsed())
            .clamp(SHORTEST_ATTEMPT, LONGEST_ATTEMPT)
    }

    /// Waits before the next attempt. `since` is when the work began that has failed.
    ///
    /// # Errors
    ///
    /// The same error when no attempt may follow: it is permanent, or the time for retries is over.
    pub(crate) async fn after(&mut self, error: Error, since: Instant) -> Result<(), Error> {
        if self.since.replace(since) != Some(since) {
            self.backoff.reset();
        }
        if error.is_transient()
            && self
                .backoff
                .pause(error.retry_after(), since, self.give_up_after)
                .await
        {
            Ok(())
        } else {
            Err(error)
        }
    }
}
