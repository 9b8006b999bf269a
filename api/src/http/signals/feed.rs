//! The signals of a stream as they come.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::{
    store::{SharedStore, SignalPage, StoreError, StreamWatch},
    stream::{Generation, Signal, StreamKey},
};

/// How long after a stream's expiry the store is asked about it.
const AFTER_EXPIRY: Duration = Duration::from_millis(50);

/// The time between two attempts while the store fails.
const RETRY: Duration = Duration::from_secs(1);

/// Reads the signals of one stream, one page after the other, and waits for new ones. The store
/// notifies it; it does not poll.
pub(in crate::http) struct SignalFeed {
    store: SharedStore,
    key: StreamKey,
    generation: Generation,
    /// The number of the last signal that was read.
    after: u64,
    watch: StreamWatch,
    /// The store may have something new.
    is_due: bool,
    expires_in: Duration,
}

impl SignalFeed {
    /// The signals after this number.
    pub(in crate::http) fn new(
        store: &SharedStore,
        key: StreamKey,
        generation: Generation,
        after: u64,
    ) -> Self {
        Self {
            watch: store.watch(&key),
            store: SharedStore::clone(store),
            key,
            generation,
            after,
            is_due: true,
            expires_in: Duration::ZERO,
        }
    }

    /// The next signals; waits until there are some. While the store fails it waits. Cancel safe.
    ///
    /// Errors: [`StoreError::NotActive`], once all signals of a stream were read that is finished
    /// or was deleted.
    pub(in crate::http) async fn next(&mut self) -> Result<Vec<Signal>, StoreError> {
        loop {
            if !self.is_due {
                let expiry = self.expires_in.saturating_add(AFTER_EXPIRY);
                // The time may pass without a notification.
                let _ = timeout(expiry, self.watch.changed()).await;
                self.is_due = true;
            }
            match self.store.signals(&self.key, self.after).await {
                Ok(page) if page.generation == self.generation => {
                    if let Some(signals) = self.take(page)? {
                        return Ok(signals);
                    }
                }
                Ok(_) | Err(StoreError::NotFound) => {
                    return Err(StoreError::NotActive { status: None });
                }
                Err(error) => {
                    tracing::debug!(%error, key = %self.key, "signals could not be read");
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Takes a page. None: there is nothing new yet.
    fn take(&mut self, page: SignalPage) -> Result<Option<Vec<Signal>>, StoreError> {
        self.expires_in = page.ttl;
        if let Some(last) = page.signals.last() {
            // More may follow, so it stays due.
            self.after = last.seq;
            return Ok(Some(page.signals));
        }
        self.is_due = false;
        if page.status.is_finished() {
            let status = Some(page.status);
            return Err(StoreError::NotActive { status });
        }
        Ok(None)
    }
}
