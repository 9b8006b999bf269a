//! The end of a stream, as an open upload learns it.

use std::time::Duration;

use tokio::time::timeout;

use super::lease::KnownLease;
use crate::{
    store::{SharedStore, StoreError, StreamInfo},
    stream::StreamKey,
};

/// How long after a stream's expiry the store is asked about it.
const AFTER_EXPIRY: Duration = Duration::from_millis(50);

/// The time between two attempts while the store fails.
const RETRY: Duration = Duration::from_secs(1);

/// Why an upload should end.
pub(super) enum End {
    /// Its stream is not active any more.
    NotActive(StoreError),
    /// A subscriber asked the producer to stop.
    StopRequested,
}

/// Resolves when the stream of an upload is no longer active, or, if `until_stop`, when its
/// producer is asked to stop. `info` is the stream at the beginning of the upload. `lease` learns
/// of a lease that begins or ends meanwhile.
///
/// The store notifies the node when somebody finishes or replaces the stream. Nobody is notified of
/// an expiry, so this asks the store when the stream would have expired without writes.
pub(super) async fn ended(
    store: SharedStore,
    key: StreamKey,
    info: StreamInfo,
    until_stop: bool,
    lease: KnownLease,
) -> End {
    if until_stop && info.stop_requested_ms.is_some() {
        return End::StopRequested;
    }
    let not_active = |status| End::NotActive(StoreError::NotActive { status });
    let mut watch = store.watch(&key);
    let mut expires_in = info.ttl;
    loop {
        // The time may pass without a notification.
        let _ = timeout(expires_in.saturating_add(AFTER_EXPIRY), watch.changed()).await;
        expires_in = match store.info(&key).await {
            Ok(now) if now.generation != info.generation => return not_active(None),
            Ok(now) if now.status.is_finished() => return not_active(Some(now.status)),
            Ok(now) if until_stop && now.stop_requested_ms.is_some() => return End::StopRequested,
            Ok(now) => {
                lease.learn(&now.deadlines);
                now.ttl
            }
            Err(StoreError::NotFound) => return not_active(None),
            Err(error) => {
                tracing::debug!(%error, %key, "an upload can't learn whether its stream ended");
                RETRY
            }
        };
    }
}
