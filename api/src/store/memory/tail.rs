//! One stream of the embedded store, followed by one subscriber.

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::MemoryStore;
use crate::{
    store::{
        Batch, Page,
        merge::{Source, Tail, TailError},
    },
    stream::{EventId, Generation, StreamKey},
};

impl Source for MemoryStore {
    type Tail = MemoryTail;

    fn tail(&self, page: Page) -> MemoryTail {
        let changed = self
            .lock()
            .get(&page.key)
            .filter(|log| log.generation == page.info.generation)
            .map(|log| log.changed.subscribe());
        MemoryTail {
            store: self.clone(),
            key: page.key.clone(),
            generation: page.info.generation,
            cursor: page.cursor,
            first: page.is_read.then_some(page),
            changed,
        }
    }
}

/// Follows one stream: a page, and when there is nothing new, a wait for the stream to change.
pub(in crate::store) struct MemoryTail {
    store: MemoryStore,
    key: StreamKey,
    generation: Generation,
    cursor: Option<EventId>,
    first: Option<Page>,
    /// None when the stream had gone before the tail began.
    changed: Option<watch::Receiver<()>>,
}

impl Tail for MemoryTail {
    async fn next(&mut self) -> Result<Batch, TailError> {
        loop {
            let page = match self.first.take() {
                Some(page) => page,
                None => self.read()?,
            };
            let end = page.is_end();
            if end || page.missed.is_some() || !page.parts.is_empty() {
                self.cursor = page.cursor;
                return Ok(Batch {
                    missed: page.missed,
                    parts: page.parts,
                    end,
                });
            }
            let changed = self.changed.as_mut().ok_or(TailError::Gone)?;
            // Neither a write nor replacement: then the stream's time is up, or was prolonged
            // meanwhile.
            let expires_at = Instant::now() + page.info.ttl;
            let _ = timeout_at(expires_at, changed.changed()).await;
        }
    }
}

impl MemoryTail {
    fn read(&mut self) -> Result<Page, TailError> {
        // Marked as seen before the read, so that a write after the read is not taken for seen.
        if let Some(changed) = &mut self.changed {
            changed.mark_unchanged();
        }
        let mut streams = self.store.lock();
        let log = streams
            .get(&self.key)
            .filter(|log| log.generation == self.generation)
            .ok_or(TailError::Gone)?;
        Ok(log.page(&self.key, self.cursor))
    }
}
