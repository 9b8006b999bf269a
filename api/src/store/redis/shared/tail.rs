//! A tail in shared delivery: it follows a topic of the node.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    hub::{Hub, Joined},
    topic::{Lookup, Topic},
};
use crate::{
    store::{
        Batch, Page, StoreError, StreamUpdate,
        merge::{Tail, TailSource},
    },
    stream::SharedPosition,
};

/// The topics of a node, as a source of tails.
pub(in super::super) struct Topics {
    pub(in super::super) hub: Arc<Hub>,
}

impl TailSource for Topics {
    type Tail = SharedTail;

    fn tail(&self, page: Page, position: SharedPosition) -> SharedTail {
        SharedTail::new(Arc::clone(&self.hub), page, position)
    }
}

/// Follows a topic: from its ring as far as that reaches back, otherwise from the store.
pub(in super::super) struct SharedTail {
    hub: Arc<Hub>,
    joined: Joined,
    position: SharedPosition,
    changed: watch::Receiver<()>,
    next_read: NextRead,
    /// The topic's epoch in which the position was last valid.
    epoch: u64,
    /// The last answer was an error, so that the next one is returned in any case.
    has_failed: bool,
}

/// Where the next update comes from.
enum NextRead {
    /// A page that was read before the tail began.
    Page(Box<Page>),
    /// The store: only it knows what the position means.
    Store,
    Topic,
}

impl SharedTail {
    fn new(hub: Arc<Hub>, page: Page, position: SharedPosition) -> Self {
        let joined = hub.join(&page);
        let topic: &Topic = &joined.0;
        let (changed, epoch) = (topic.subscribe(), topic.epoch());
        let next_read = if page.is_read {
            NextRead::Page(Box::new(page))
        } else {
            NextRead::Store
        };
        Self {
            hub,
            joined,
            position,
            changed,
            next_read,
            epoch,
            has_failed: false,
        }
    }

    /// One answer, empty where nothing is new. Cancel safe.
    async fn step(&mut self) -> Result<StreamUpdate, StoreError> {
        match std::mem::replace(&mut self.next_read, NextRead::Topic) {
            NextRead::Page(page) => return Ok(update_of(*page)),
            NextRead::Store => {
                // Kept in case the future is dropped before the store answers.
                self.next_read = NextRead::Store;
                return self.read_store().await;
            }
            NextRead::Topic => {}
        }
        // Marked as seen before the lookup, so that a later change still counts as one.
        self.changed.mark_unchanged();
        match self.joined.0.lookup(self.position.id(), self.epoch) {
            Lookup::Update(update) => Ok(update),
            Lookup::ReadStore => self.read_store().await,
            Lookup::NothingNew if self.has_failed => Ok(StreamUpdate::Events(Batch::default())),
            Lookup::NothingNew => {
                // The sender is in the topic, which the tail holds.
                let _ = self.changed.changed().await;
                Ok(StreamUpdate::Events(Batch::default()))
            }
            Lookup::Disconnected => Err(StoreError::Unavailable(
                "the subscription is down".to_owned(),
            )),
        }
    }

    async fn read_store(&mut self) -> Result<StreamUpdate, StoreError> {
        let topic = &self.joined.0;
        let epoch = topic.epoch();
        let page = match self.hub.reader.page(&topic.key, self.position.id()).await {
            Ok(page) if page.info.generation == topic.generation => page,
            Ok(_) | Err(StoreError::NotFound) => return Ok(StreamUpdate::Deleted),
            Err(error) => return Err(error),
        };
        (self.epoch, self.next_read) = (epoch, NextRead::Topic);
        Ok(update_of(page))
    }
}

fn update_of(page: Page) -> StreamUpdate {
    StreamUpdate::Events(Batch {
        finished: page.finished(),
        missed: page.missed.map(Box::new),
        parts: page.parts,
    })
}

impl Tail for SharedTail {
    async fn next(&mut self) -> Result<StreamUpdate, StoreError> {
        loop {
            match self.step().await {
                Ok(update) if update.is_empty() && !self.has_failed => {}
                Ok(update) => {
                    self.has_failed = false;
                    return Ok(update);
                }
                Err(error) => {
                    self.has_failed = true;
                    return Err(error);
                }
            }
        }
    }
}
