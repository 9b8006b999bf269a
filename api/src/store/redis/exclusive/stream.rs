//! One stream of an exclusive delivery.

use std::sync::Arc;

use super::read::ReadFrom;
use crate::{
    codec::segment::{Part, Segment},
    store::{
        Batch, Page, StreamUpdate,
        redis::{keys::Keys, reader::RedisReader, replies::Head},
    },
    stream::{Entry, EventId, Generation, SharedPosition, StreamKey},
};

pub(super) struct ExclusiveStream {
    pub(super) number: usize,
    pub(super) key: StreamKey,
    pub(super) keys: Arc<Keys>,
    pub(super) generation: Generation,
    position: SharedPosition,
    pub(super) state: State,
    /// Bytes of an entry, as a moving average. The entries of one `XREAD` are limited by their
    /// number, but the limit is meant for bytes.
    entry_bytes: usize,
}

pub(super) enum State {
    /// It has a page that was read before it was added.
    Page(Box<Page>),
    /// It reads history.
    CatchUp,
    /// It waits for live entries.
    Live,
}

impl ExclusiveStream {
    pub(super) fn new(
        reader: &RedisReader,
        number: usize,
        page: Page,
        position: SharedPosition,
    ) -> Self {
        Self {
            number,
            key: page.key.clone(),
            keys: Arc::new(reader.keys(&page.key)),
            generation: page.info.generation,
            position,
            state: if page.is_read {
                State::Page(Box::new(page))
            } else {
                State::CatchUp
            },
            entry_bytes: 256,
        }
    }

    /// The id after which it goes on.
    pub(super) fn cursor(&self) -> Option<EventId> {
        self.position.id()
    }

    /// Where to wait for live entries.
    pub(super) fn read_from(&self) -> ReadFrom {
        ReadFrom {
            number: self.number,
            keys: Arc::clone(&self.keys),
            cursor: self.cursor(),
            entry_bytes: self.entry_bytes,
        }
    }

    /// The update that a page of history brings.
    pub(super) fn take_page(&mut self, page: Page) -> StreamUpdate {
        let finished = page.finished();
        self.state = if page.is_newest() {
            State::Live
        } else {
            State::CatchUp
        };
        StreamUpdate::Events(Batch {
            missed: page.missed.map(Box::new),
            parts: page.parts,
            finished,
        })
    }

    /// The update that live entries bring. `head` is the stream's head as it was after the entries.
    /// Entries that do not follow the position are dropped, and history is read instead.
    pub(super) fn take_live(&mut self, entries: Vec<Entry>, head: Option<Head>) -> StreamUpdate {
        let Some(head) = head.filter(|head| head.generation == self.generation) else {
            return StreamUpdate::Deleted;
        };
        let cursor = self.cursor();
        let follows = |id: EventId| cursor.is_some_and(|cursor| id.n == cursor.n + 1);
        let newest = match entries.first() {
            None => cursor,
            Some(first) if follows(first.id) => entries.last().map(|entry| entry.id),
            // Trimmed before it was read, or Redis lost what it had acknowledged: history knows
            // which of the two.
            Some(_) => None,
        };
        let is_consistent = |newest: &EventId| {
            *newest <= head.last && (*newest == head.last || !entries.is_empty())
        };
        let Some(newest) = newest.filter(is_consistent) else {
            self.state = State::CatchUp;
            return StreamUpdate::Events(Batch::default());
        };
        let is_over = head.status.is_finished() && newest == head.last;
        let finished = is_over.then_some(head.status);
        let mut parts = Vec::new();
        if !entries.is_empty() {
            let bytes: usize = entries.iter().map(Entry::weight).sum();
            self.entry_bytes = usize::midpoint(self.entry_bytes, bytes / entries.len()).max(1);
            parts.push(Part::new(Arc::new(Segment::new(entries)), 0));
        }
        StreamUpdate::Events(Batch {
            missed: None,
            parts,
            finished,
        })
    }
}
