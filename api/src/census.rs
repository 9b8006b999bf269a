//! The count of each stream's clients over all nodes: every node tells the others, from time to
//! time, how many it has.

use std::time::Duration;

use tokio::time::{sleep, timeout};

use crate::{
    feed::Slots,
    lifecycle::{Lifecycle, RequestGuard},
    store::{Announced, Announcement, SharedStore},
};

/// How often the other nodes are told: often enough that what was told before still holds when one
/// telling or two fail.
const INTERVAL: Duration = Duration::from_secs(5);

/// How long a node that stops may take to say that it has no clients.
const GOODBYE: Duration = Duration::from_secs(1);

/// What the others know of this node's clients.
enum Told {
    /// That there are none.
    None,
    /// How many there were a moment ago.
    Some,
    /// Nobody knows: a telling failed.
    Unknown,
}

/// Tells the other nodes of this one's clients until it stops, and then that it has none: they are
/// about to be counted elsewhere. A node without clients says so once.
pub async fn run(slots: Slots, store: SharedStore, lifecycle: Lifecycle) {
    let mut told = Told::None;
    // The node is not done before it has taken back what it told.
    let mut guard: Option<RequestGuard> = None;
    loop {
        tokio::select! {
            () = sleep(INTERVAL) => {}
            () = lifecycle.begins_to_close() => break,
        }
        let announcement = slots.announcement(!matches!(told, Told::Some));
        if announcement.is_none() && matches!(told, Told::None) {
            continue;
        }
        guard.get_or_insert_with(|| lifecycle.request());
        told = tokio::select! {
            told = tell(&slots, &store, announcement) => told,
            // A store that does not answer is not waited for.
            () = lifecycle.begins_to_close() => Told::Unknown,
        };
        if matches!(told, Told::None) {
            guard = None;
        }
    }
    if !matches!(told, Told::None) {
        // If it fails, what was told is forgotten by itself.
        let _ = timeout(GOODBYE, store.announce(&Announcement::none())).await;
    }
}

/// Tells the others, all of it where they have lost what they knew.
async fn tell(slots: &Slots, store: &SharedStore, announcement: Announcement) -> Told {
    let announced = match store.announce(&announcement).await {
        Ok(Announced::Kept) => Ok(announcement),
        Ok(Announced::BeforeIsLost) => {
            let whole = slots.announcement(true);
            store.announce(&whole).await.map(|_| whole)
        }
        Err(error) => Err(error),
    };
    match announced {
        Ok(announcement) if announcement.is_none() => Told::None,
        Ok(_) => Told::Some,
        Err(error) => {
            tracing::debug!(%error, "the other nodes could not be told of this one's clients");
            Told::Unknown
        }
    }
}
