//! Shared delivery: Redis sends each batch once to each node that has clients on the stream, and the node hands it on.

mod hub;
mod listen;
mod subscription;
mod topic;

use rocket::async_trait;
use tokio::sync::watch;

pub(super) use self::{hub::Hub, listen::run, subscription::Subscriber};
use self::{
    hub::Joined,
    topic::{Found, Topic},
};
use super::RedisStore;
use crate::{
    event::EventId,
    store::{Batch, Page, StoreError, Tail, TailError},
};

/// Follows a topic: from its ring where that reaches, from the store where it does not.
pub(super) struct SharedTail {
    store: RedisStore,
    joined: Joined,
    changed: watch::Receiver<()>,
    first: Option<Page>,
    cursor: Option<EventId>,
    epoch: u64,
    /// The last answer was an error: the next one is reported in any case.
    failed: bool,
}

impl SharedTail {
    pub(super) fn new(store: RedisStore, hub: &Hub, page: Page) -> Self {
        let joined = hub.join(&page);
        let topic: &Topic = &joined.0;
        Self { changed: topic.subscribe(), epoch: topic.epoch(), cursor: page.cursor, first: Some(page), joined, store, failed: false }
    }

    fn take(&mut self, page: Page) -> Batch {
        self.cursor = page.cursor;
        let end = page.is_end();
        Batch { missed: page.missed, parts: page.parts, end }
    }

    /// One answer, empty where there is nothing new. Cancel safe.
    async fn step(&mut self) -> Result<Batch, TailError> {
        if let Some(page) = self.first.take() {
            return Ok(self.take(page));
        }
        let topic = &self.joined.0;
        // Marked as seen before the look, so that what comes after the look is not taken for seen.
        self.changed.mark_unchanged();
        match topic.after(self.cursor, self.epoch) {
            Found::Entries { parts, end } => {
                self.cursor = parts.last().and_then(|part| part.entries().last()).map(|entry| entry.id).or(self.cursor);
                Ok(Batch { missed: None, parts, end })
            }
            Found::InStore => {
                let epoch = topic.epoch();
                let page = self.store.page(&topic.key, self.cursor).await.map_err(|error| match error {
                    StoreError::NotFound => TailError::Gone,
                    error => TailError::Store(error),
                })?;
                if page.info.birth != topic.birth {
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
            Found::Down => Err(TailError::Store(StoreError::Unavailable("the subscription is down".to_owned()))),
            Found::Gone => Err(TailError::Gone),
        }
    }
}

#[async_trait]
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
