//! Nodes send each other, through the store, how many subscribers each of them has.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};

use super::counts::SubscriberCounts;
use crate::{
    lifecycle::{Lifecycle, RequestGuard},
    store::{PresenceOutcome, PresenceUpdate, SharedStore},
};

/// The time between two updates. One or two may fail before what the node sent expires.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long a node that stops may take to say that it has no clients.
const LAST_UPDATE_TIMEOUT: Duration = Duration::from_secs(1);

/// What the other nodes know of this node's subscribers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    /// That there are none.
    None,
    /// How many there were a moment ago.
    Counts,
    /// An update failed, so the node does not know what they know.
    Unknown,
}

/// Sends this node's subscriber counts to the other nodes until the node stops. Then it reports
/// that it has none, because its subscribers connect to other nodes. A node without subscribers
/// sends that once.
pub async fn run(counts: Arc<SubscriberCounts>, store: SharedStore, lifecycle: Lifecycle) {
    let mut known = Known::None;
    // The process does not exit before the last update is sent.
    let mut guard: Option<RequestGuard> = None;
    loop {
        tokio::select! {
            biased;
            () = lifecycle.begins_to_close() => break,
            () = sleep(INTERVAL) => {}
        }
        let update = counts.update(known != Known::Counts);
        if update.is_none() && known == Known::None {
            continue;
        }
        guard.get_or_insert_with(|| lifecycle.request());
        known = tokio::select! {
            biased;
            known = send(&counts, &store, update) => known,
            // A store that does not answer is not waited for.
            () = lifecycle.begins_to_close() => Known::Unknown,
        };
        if known == Known::None {
            guard = None;
        }
    }
    if known != Known::None {
        // If it fails, what the node sent expires by itself.
        let _ = timeout(
            LAST_UPDATE_TIMEOUT,
            store.update_presence(&PresenceUpdate::none()),
        )
        .await;
    }
}

/// Sends an update. Where the earlier one has expired it sends all counts.
async fn send(counts: &SubscriberCounts, store: &SharedStore, update: PresenceUpdate) -> Known {
    let sent = match store.update_presence(&update).await {
        Ok(PresenceOutcome::Kept) => Ok(update),
        Ok(PresenceOutcome::PreviousExpired) => {
            let all = counts.update(true);
            store.update_presence(&all).await.map(|_| all)
        }
        Err(error) => Err(error),
    };
    match sent {
        Ok(update) if update.is_none() => Known::None,
        Ok(_) => Known::Counts,
        Err(error) => {
            tracing::debug!(%error, "this node's subscriber counts could not be sent");
            Known::Unknown
        }
    }
}
