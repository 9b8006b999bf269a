//! The end of a stream, as an open upload learns it.

use std::time::Duration;

use tokio::time::timeout;

use crate::{
    store::{SharedStore, StoreError, StreamInfo},
    stream::StreamKey,
};

/// How long after a stream's expiry the store is asked about it.
const AFTER_EXPIRY: Duration = Duration::from_millis(50);

/// The time between two attempts while the store fails.
const RETRY: Duration = Duration::from_secs(1);

/// Resolves when the stream of an upload is no longer active, with the error for the caller. `info`
/// is the stream at the beginning of the upload.
///
/// The store notifies the node when somebody finishes or replaces the stream. Nobody is notified of
/// an expiry, so this asks the store when the stream would have expired without writes.
pub(super) async fn ended(store: SharedStore, key: StreamKey, info: StreamInfo) -> StoreError {
    let mut watch = store.watch(&key);
    let mut expires_in = info.ttl;
    loop {
        // The time may pass without a notification.
        let _ = timeout(expires_in.saturating_add(AFTER_EXPIRY), watch.changed()).await;
        expires_in = match store.info(&key).await {
            Ok(now) if now.generation != info.generation => {
                return StoreError::NotActive { status: None };
            }
            Ok(now) if now.status.is_finished() => {
                let status = Some(now.status);
                return StoreError::NotActive { status };
            }
            Ok(now) => now.ttl,
            Err(StoreError::NotFound) => return StoreError::NotActive { status: None },
            Err(error) => {
                tracing::debug!(%error, %key, "an upload can't learn whether its stream ended");
                RETRY
            }
        };
    }
}
