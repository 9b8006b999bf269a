//! The stream in which a server keeps its messages: one for all nodes of a store.
//!
//! The stream never finishes. The server creates it at the start, and again when it is gone. It
//! also keeps it from expiring.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

use crate::{
    lifecycle::Lifecycle,
    session::Subscription,
    store::{Appended, IfTaken, NewStream, Page, SharedStore, StoreError},
    stream::{EventId, NewEvent, Position, SharedPosition, StreamKey},
};

/// The key of the stream.
pub(super) const KEY: &str = "tinysse";

/// The name of every event in it.
pub(super) const EVENT_NAME: &str = "message";

/// How long the stream lives after its last write, and so after the last server has stopped.
const TTL: Duration = Duration::from_secs(86_400);

/// How often a server prolongs the stream's life.
const PROLONG_INTERVAL: Duration = Duration::from_secs(3_600);

/// How soon a server tries again where the store failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);

/// How long a count of the other nodes' subscribers is used. They send it every few seconds.
const COUNT_AGE: Duration = Duration::from_secs(1);

/// How long a publisher waits for that count.
const COUNT_TIMEOUT: Duration = Duration::from_secs(1);

/// The stream, and what this node knows of its subscribers.
pub(super) struct MessageStream {
    store: SharedStore,
    pub(super) key: StreamKey,
    capacity: u64,
    positions: Arc<Positions>,
    /// The subscribers of other nodes, and when they were counted.
    elsewhere: Mutex<Option<(Instant, u64)>>,
}

impl MessageStream {
    pub(super) fn new(store: SharedStore, key: StreamKey, capacity: u64) -> Self {
        Self {
            store,
            key,
            capacity,
            positions: Arc::default(),
            elsewhere: Mutex::new(None),
        }
    }

    /// Stores a message, in one round trip where the stream exists.
    pub(super) async fn append(&self, publication: String) -> Result<EventId, StoreError> {
        Ok(self.append_all(&[event(publication)?]).await?.first)
    }

    /// Stores messages, all or none. Returns the id of each.
    pub(super) async fn append_each(
        &self,
        publications: Vec<String>,
    ) -> Result<Vec<EventId>, StoreError> {
        let events = publications.into_iter().map(event);
        let events = events.collect::<Result<Vec<_>, _>>()?;
        Ok(self.append_all(&events).await?.ids(events.len()).collect())
    }

    async fn append_all(&self, events: &[NewEvent]) -> Result<Appended, StoreError> {
        match self.store.append(&self.key, None, events, None).await {
            Err(StoreError::NotActive { .. }) => {
                self.create().await?;
                self.store.append(&self.key, None, events, None).await
            }
            result => result,
        }
    }

    /// Creates the stream, if no active one is there. Returns the id of its newest event.
    async fn create(&self) -> Result<Page, StoreError> {
        let new = NewStream {
            if_exists: IfTaken::Attach,
            if_finished: IfTaken::Replace,
            stop_grace: Duration::ZERO,
            ..NewStream::new(TTL, self.capacity)
        };
        let info = self.store.create(&self.key, &new).await?.info;
        let last = info.last;
        Ok(Page::unread(self.key.clone(), info, Some(last)))
    }

    /// A subscription to everything that is published from now on, in one round trip where the
    /// stream exists.
    pub(super) async fn subscribe(&self) -> Result<(Subscription, SharedPosition), StoreError> {
        let page = match self.store.info(&self.key).await {
            Ok(info) if !info.status.is_finished() => {
                let last = info.last;
                Page::unread(self.key.clone(), info, Some(last))
            }
            Ok(_) | Err(StoreError::NotFound) => self.create().await?,
            Err(error) => return Err(error),
        };
        let position = SharedPosition::new(Position::At(page.info.last));
        let mut subscription = Subscription::new(self.store.tails(), None, false);
        subscription.add(page, position.clone(), false);
        Ok((subscription, position))
    }

    /// Counts a subscriber of this node at its position, until the guard is dropped.
    pub(super) fn follow(&self, position: SharedPosition) -> FollowGuard {
        self.positions.add(position)
    }

    /// How many messages up to this one some subscriber of this node has not taken from the stream.
    /// At most the capacity, and 0 without subscribers.
    pub(super) fn queued(&self, newest: EventId) -> u64 {
        let next = self.positions.slowest();
        let queued = next.map_or(0, |next| newest.n.saturating_add(1).saturating_sub(next));
        queued.min(self.capacity)
    }

    /// The subscribers of the other nodes. Nodes send their counts every few seconds, so it is a
    /// little behind. Where the store fails, it is the count from before.
    pub(super) async fn subscribers_elsewhere(&self) -> u64 {
        let (at, known) = self.elsewhere.lock().unzip();
        if at.is_some_and(|at| at.elapsed() < COUNT_AGE) {
            return known.unwrap_or(0);
        }
        // One publisher asks, and the others take the count from before meanwhile.
        *self.elsewhere.lock() = Some((Instant::now(), known.unwrap_or(0)));
        let asking = self.store.subscribers_elsewhere(&self.key);
        match tokio::time::timeout(COUNT_TIMEOUT, asking).await {
            Ok(Ok(count)) => {
                *self.elsewhere.lock() = Some((Instant::now(), count));
                count
            }
            Ok(Err(_)) | Err(_) => known.unwrap_or(0),
        }
    }

    /// Creates the stream and prolongs its life until the server stops.
    pub(super) async fn keep(self: Arc<Self>, lifecycle: Lifecycle) {
        loop {
            // Without events it only prolongs the stream's life.
            let pause = match self.append_all(&[]).await {
                Ok(_) => PROLONG_INTERVAL,
                Err(error) => {
                    tracing::debug!(%error, "the stream's life could not be prolonged");
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                biased;
                () = lifecycle.begins_to_close() => return,
                () = sleep(pause) => {}
            }
        }
    }
}

fn event(publication: String) -> Result<NewEvent, StoreError> {
    NewEvent::new(EVENT_NAME, Some(publication.into()))
        .map_err(|_| StoreError::Unexpected("a valid name was refused"))
}

/// The positions of this node's subscribers.
#[derive(Default)]
struct Positions(Mutex<(u64, HashMap<u64, SharedPosition>)>);

impl Positions {
    fn add(self: &Arc<Self>, position: SharedPosition) -> FollowGuard {
        let (last, positions) = &mut *self.0.lock();
        *last += 1;
        positions.insert(*last, position);
        FollowGuard {
            positions: Arc::clone(self),
            number: *last,
        }
    }

    /// The number of the event that comes next for the slowest subscriber.
    fn slowest(&self) -> Option<u64> {
        let (_, positions) = &*self.0.lock();
        positions.values().map(SharedPosition::next).min()
    }
}

/// A subscriber that counts for [`MessageStream::queued`].
pub(super) struct FollowGuard {
    positions: Arc<Positions>,
    number: u64,
}

impl Drop for FollowGuard {
    fn drop(&mut self) {
        self.positions.0.lock().1.remove(&self.number);
    }
}
