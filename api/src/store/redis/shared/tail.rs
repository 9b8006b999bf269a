//! Shared delivery: Redis sends each batch once to each node that has clients on the stream, and
//! the node hands it on.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    hub::{Hub, Joined},
    topic::{Found, Topic},
};
use crate::{
    store::{
        Batch, Page, StoreError,
        merge::{Source, Tail, TailError},
    },
    stream::EventId,
};

/// The topics of a node, to be followed.
pub(in super::super) struct Topics {
    pub(in super::super) hub: Arc<Hub>,
}

impl Source for Topics {
    type Tail = SharedTail;

    fn tail(&self, page: Page) -> SharedTail {
        SharedTail::new(Arc::clone(&self.hub), page)
    }
}

/// Follows a topic: from its ring where that reaches, from the store where it does not.
pub(in super::super) struct SharedTail {
    hub: Arc<Hub>,
    joined: Joined,
    changed: watch::Receiver<()>,
    first: First,
    cursor: Option<EventId>,
    epoch: u64,
    /// The last answer was an error: the next one is reported in any case.
    failed: bool,
}

/// What comes before the topic is asked.
enum First {
    /// A page that is not yet handed on.
    Page(Box<Page>),
    /// The store: what a cursor means only it knows.
    Store,
    Topic,
}

impl SharedTail {
    fn new(hub: Arc<Hub>, page: Page) -> Self {
        let joined = hub.join(&page);
        let topic: &Topic = &joined.0;
        let (changed, epoch, cursor) = (topic.subscribe(), topic.epoch(), page.cursor);
        let first = if page.is_read {
            First::Page(Box::new(page))
        } else {
            First::Store
        };
        Self {
            hub,
            joined,
            changed,
            first,
            cursor,
            epoch,
            failed: false,
        }
    }

    fn take(&mut self, page: Page) -> Batch {
        self.first = First::Topic;
        self.cursor = page.cursor;
        let end = page.is_end();
        Batch {
            missed: page.missed,
            parts: page.parts,
            end,
        }
    }

    /// One answer, empty where there is nothing new. Cancel safe.
    async fn step(&mut self) -> Result<Batch, TailError> {
        let ask_store = match std::mem::replace(&mut self.first, First::Topic) {
            First::Page(page) => return Ok(self.take(*page)),
            First::Store => {
                self.first = First::Store;
                true
            }
            First::Topic => false,
        };
        let topic = &self.joined.0;
        // Marked as seen before the look, so that what comes after the look is not taken for seen.
        self.changed.mark_unchanged();
        match if ask_store {
            Found::InStore
        } else {
            topic.after(self.cursor, self.epoch)
        } {
            Found::Entries { parts, end } => {
                self.cursor = parts
                    .last()
                    .and_then(|part| part.entries().last())
                    .map(|entry| entry.id)
                    .or(self.cursor);
                Ok(Batch {
                    missed: None,
                    parts,
                    end,
                })
            }
            Found::InStore => {
                let epoch = topic.epoch();
                let page = self
                    .hub
                    .reader
                    .page(&topic.key, self.cursor)
                    .await
                    .map_err(|error| match error {
                        StoreError::NotFound => TailError::Gone,
                        error => TailError::Store(error),
                    })?;
                if page.info.generation != topic.generation {
                    return Err(TailError::Gone);
                }
                self.epoch = epoch;
                Ok(self.take(page))
            }
            Found::Nothing if self.failed => Ok(Batch::default()),
            Found::Nothing => {
                // The sender is in the topic, which the tail holds.
                let _ = self.changed.changed().await;
                Ok(Batch::default())
            }
            Found::Down => Err(TailError::Store(StoreError::Unavailable(
                "the subscription is down".to_owned(),
            ))),
            Found::Gone => Err(TailError::Gone),
        }
    }
}

impl Tail for SharedTail {
    async fn next(&mut self) -> Result<Batch, TailError> {
        loop {
            match self.step().await {
                Ok(batch) if batch.is_empty() && !self.failed => {}
                Ok(batch) => {
                    self.failed = false;
                    return Ok(batch);
                }
                Err(error) => {
                    self.failed = true;
                    return Err(error);
                }
            }
        }
    }
}
