//! Whether a connection is still alive.

use std::{
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::Error;

/// A liveness records when a connection last received a byte.
///
/// Any byte counts, so that heartbeats and parts of a long message count, too.
#[derive(Debug)]
pub(crate) struct Liveness {
    created: Instant,
    /// In milliseconds since `created`.
    last_byte: AtomicU64,
}

impl Liveness {
    pub(crate) fn new() -> Self {
        Self {
            created: Instant::now(),
            last_byte: AtomicU64::new(0),
        }
    }

    /// Records that the connection has just received something.
    pub(crate) fn record(&self) {
        self.last_byte.store(
            u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    /// When the connection last received something.
    pub(crate) fn last(&self) -> Instant {
        self.created + Duration::from_millis(self.last_byte.load(Ordering::Relaxed))
    }

    /// Awaits `wait`, and fails when the connection receives nothing for `silence` meanwhile.
    ///
    /// The silence before the call does not count: nobody read from the connection.
    pub(crate) async fn unless_silent<T>(
        &self,
        silence: Duration,
        wait: impl Future<Output = T>,
    ) -> Result<T, Error> {
        let mut wait = pin!(wait);
        let mut since = Instant::now();
        loop {
            tokio::select! {
                biased;
                outcome = &mut wait => return Ok(outcome),
                () = sleep(silence.saturating_sub(since.elapsed())) => {}
            }
            if self.last() <= since {
                return Err(Error::unreachable(format!(
                    "the connection was silent for {silence:?}"
                )));
            }
            since = self.last();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn silence_ends_a_wait() {
        let begun = Instant::now();
        assert_eq!(
            Liveness::new()
                .unless_silent(SECOND, pending::<()>())
                .await
                .unwrap_err()
                .code(),
            "unreachable"
        );
        assert_eq!(begun.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_byte_restarts_the_silence_timeout() {
        let liveness = Liveness::new();
        let receive = async {
            for _ in 0..9 {
                sleep(SECOND / 2).await;
                liveness.record();
            }
        };
        assert!(liveness.unless_silent(SECOND, receive).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_read_is_no_silence() {
        let liveness = Liveness::new();
        sleep(60 * SECOND).await;
        assert!(
            liveness
                .unless_silent(SECOND, sleep(SECOND / 2))
                .await
                .is_ok()
        );
    }
}
