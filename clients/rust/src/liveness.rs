//! Whether a connection still lives.

use std::{
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::Error;

/// When something was last heard: any byte, so that heartbeats and parts of something long count.
#[derive(Debug)]
pub(crate) struct Life {
    born: Instant,
    /// In milliseconds since then.
    heard: AtomicU64,
}

impl Life {
    pub(crate) fn new() -> Self {
        Self {
            born: Instant::now(),
            heard: AtomicU64::new(0),
        }
    }

    /// Something was heard.
    pub(crate) fn note(&self) {
        self.heard.store(
            u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX),
            Ordering::Relaxed,
        );
    }

    pub(crate) fn last(&self) -> Instant {
        self.born + Duration::from_millis(self.heard.load(Ordering::Relaxed))
    }

    /// Waits, for as long as there is no such silence. What was before the wait is none: nobody
    /// listened.
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
            Life::new()
                .unless_silent(SECOND, pending::<()>())
                .await
                .unwrap_err()
                .code(),
            "unreachable"
        );
        assert_eq!(begun.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_heard_puts_it_off() {
        let life = Life::new();
        let talk = async {
            for _ in 0..9 {
                sleep(SECOND / 2).await;
                life.note();
            }
        };
        assert!(life.unless_silent(SECOND, talk).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn time_in_which_nobody_listened_is_no_silence() {
        let life = Life::new();
        sleep(60 * SECOND).await;
        assert!(life.unless_silent(SECOND, sleep(SECOND / 2)).await.is_ok());
    }
}
