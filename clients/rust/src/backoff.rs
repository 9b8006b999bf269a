//! The delays between attempts, and when to give up.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// A backoff gives the delay before the next attempt.
///
/// The delay doubles with each failure in a row. A random half to whole of it is waited, so that
/// clients that lost their connections together do not come back together.
#[derive(Debug)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

/// How long to wait after a failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause {
    pub(crate) time: Duration,
    /// Whether an attempt may follow. It may not when the broker asks for a longer delay than is
    /// left.
    pub(crate) attempt_follows: bool,
}

impl Backoff {
    pub(crate) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            failures: 0,
        }
    }

    /// Sets the delay after the first failure.
    pub(crate) fn start_from(&mut self, first: Duration) {
        self.first = first;
    }

    /// Starts again with the first delay, after a success.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The delay after one more failure.
    fn next(&mut self) -> Duration {
        let doubled = self
            .first
            .saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        let whole = doubled.min(self.longest.max(self.first));
        whole.mul_f64(fastrand::f64().midpoint(1.0))
    }

    /// The pause before the next attempt, no shorter than `at_least`. None when no attempt may
    /// follow: `give_up_after` has passed since `since`.
    pub(crate) fn next_pause(
        &mut self,
        at_least: Option<Duration>,
        since: Instant,
        give_up_after: Duration,
    ) -> Option<Pause> {
        let at_least = at_least.unwrap_or_default();
        let left = give_up_after.saturating_sub(since.elapsed());
        (!left.is_zero()).then(|| Pause {
            // The last attempt is at the very end, unless the broker asked for a longer delay.
            time: self.next().max(at_least).min(left),
            attempt_follows: at_least <= left,
        })
    }

    /// Waits before the next attempt, no shorter than `at_least`. Returns false when no attempt may
    /// follow: `give_up_after` has passed since `since`.
    pub(crate) async fn pause(
        &mut self,
        at_least: Option<Duration>,
        since: Instant,
        give_up_after: Duration,
    ) -> bool {
        let Some(pause) = self.next_pause(at_least, since, give_up_after) else {
            return false;
        };
        sleep(pause.time).await;
        pause.attempt_follows
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    proptest! {
        #[test]
        fn a_delay_is_half_to_whole_of_the_doubled_one(failures in 0..200_u32) {
            let whole = SECOND * 2_u32.saturating_pow(failures).min(30);
            let delay = Backoff { first: SECOND, longest: 30 * SECOND, failures }.next();
            prop_assert!(whole / 2 <= delay && delay <= whole);
        }

        #[test]
        fn no_retry_delay_of_a_broker_overflows(milliseconds: u64, failures: u32) {
            let first = Duration::from_millis(milliseconds);
            let delay = Backoff { first, longest: SECOND, failures }.next();
            prop_assert!(delay <= first.max(SECOND) + SECOND);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_attempt_is_at_the_end_of_the_time_for_retries() {
        let mut backoff = Backoff::new(10 * SECOND, 10 * SECOND);
        let since = Instant::now();
        assert!(backoff.pause(None, since, SECOND).await);
        assert_eq!(since.elapsed().as_secs(), 1);
        assert!(!backoff.pause(None, since, SECOND).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_delay_that_the_broker_asks_for_is_kept_or_no_attempt_follows() {
        let mut backoff = Backoff::new(SECOND, SECOND);
        let since = Instant::now();
        assert!(backoff.pause(Some(7 * SECOND), since, 10 * SECOND).await);
        assert_eq!(since.elapsed().as_secs(), 7);
        assert!(!backoff.pause(Some(7 * SECOND), since, 10 * SECOND).await);
    }
}
