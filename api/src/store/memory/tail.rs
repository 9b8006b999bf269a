//! One stream of the embedded store, followed by one subscriber.

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::MemoryStore;
use crate::{
    store::{
        Batch, Page, StoreError, StreamUpdate,
        merge::{Tail, TailSource},
    },
    stream::{Generation, SharedPosition, StreamKey},
};

impl TailSource for MemoryStore {
    type Tail = MemoryTail;

    fn tail(&self, page: Page, position: SharedPosition) -> MemoryTail {
        let mut streams = self.lock();
        let log = streams
            .get(&page.key)
            .filter(|log| log.generation == page.info.generation);
        MemoryTail {
            store: self.clone(),
            key: page.key.clone(),
            generation: page.info.generation,
            position,
            changed: log.map(|log| log.changed.subscribe()),
            first: page.is_read.then_some(page),
        }
    }
}

/// Follows one stream: it reads a page, and when nothing is new it waits until the stream changes.
pub(in crate::store) struct MemoryTail {
    store: MemoryStore,
    key: StreamKey,
    generation: Generation,
    position: SharedPosition,
    /// A page that was read before the tail began.
    first: Option<Page>,
    /// None if the stream was deleted before the tail began.
    changed: Option<watch::Receiver<()>>,
}

impl Tail for MemoryTail {
    async fn next(&mut self) -> Result<StreamUpdate, StoreError> {
        loop {
            let Some(page) = self.first.take().or_else(|| self.read()) else {
                return Ok(StreamUpdate::Deleted);
            };
            let ttl = page.info.ttl;
            let batch = Batch {
                finished: page.finished(),
                missed: page.missed.map(Box::new),
                parts: page.parts,
            };
            if !batch.is_empty() {
                return Ok(StreamUpdate::Events(batch));
            }
            let Some(changed) = &mut self.changed else {
                return Ok(StreamUpdate::Deleted);
            };
            // If the stream does not change, it has expired by then, or a write has prolonged it.
            let _ = timeout_at(Instant::now() + ttl, changed.changed()).await;
        }
    }
}

impl MemoryTail {
    /// The next page; none if the stream was deleted.
    fn read(&mut self) -> Option<Page> {
        // Marked as seen before the read, so that a write after the read still counts as a change.
        if let Some(changed) = &mut self.changed {
            changed.mark_unchanged();
        }
        let mut streams = self.store.lock();
        let log = streams
            .get(&self.key)
            .filter(|log| log.generation == self.generation)?;
        Some(log.page(&self.key, self.position.id()))
    }
}
