//! A time in which the store fails.

use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep, sleep_until};

/// The first and the last delay between attempts while the store fails. Each is twice the one
/// before, with jitter.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// A time in which the store fails, and the next attempt.
pub(super) struct Outage {
    since: Instant,
    delay: Duration,
    retry: Pin<Box<Sleep>>,
}

impl Outage {
    /// Sets the time of the next attempt, after another failure or the first.
    pub(super) fn next(before: Option<Self>) -> Self {
        let now = Instant::now();
        let (since, delay) = before.map_or((now, FIRST_RETRY), |before| {
            (before.since, (before.delay * 2).min(LAST_RETRY))
        });
        let jittered = delay.mul_f64(0.5 + fastrand::f64() / 2.0);
        Self {
            since,
            delay,
            retry: Box::pin(sleep_until(now + jittered)),
        }
    }

    /// How long it has lasted.
    pub(super) fn lasted(&self) -> Duration {
        self.since.elapsed()
    }

    /// Waits for the next attempt. Cancel safe. A sleep that is over resolves at once when it is
    /// awaited again.
    pub(super) async fn retry_is_due(&mut self) {
        self.retry.as_mut().await;
    }
}
