//! One stream of a client, and what is made of what comes of it.

use std::sync::Arc;

use super::read::ReadFrom;
use crate::{
    codec::segment::{Part, Segment},
    store::{
        Batch, Gone, Page,
        redis::{keys::Keys, reader::RedisReader, replies::Head},
    },
    stream::{Entry, EventId, Generation, Status, StreamKey},
};

pub(super) struct ExclusiveStream {
    pub(super) number: usize,
    pub(super) key: StreamKey,
    pub(super) keys: Arc<Keys>,
    pub(super) generation: Generation,
    pub(super) cursor: Option<EventId>,
    pub(super) state: State,
    /// Bytes of an entry, on a moving average: what one `XREAD` may fetch is counted in entries,
    /// but must be bounded in bytes.
    entry_bytes: usize,
}

pub(super) enum State {
    /// A page that is not yet handed on.
    Page(Box<Page>),
    CatchUp,
    Live,
}

impl ExclusiveStream {
    pub(super) fn new(reader: &RedisReader, number: usize, page: Page) -> Self {
        Self {
            number,
            key: page.key.clone(),
            keys: Arc::new(reader.keys(&page.key)),
            generation: page.info.generation,
            cursor: page.cursor,
            state: if page.is_read {
                State::Page(Box::new(page))
            } else {
                State::CatchUp
            },
            entry_bytes: 256,
        }
    }

    /// Where to wait for more.
    pub(super) fn position(&self) -> ReadFrom {
        ReadFrom {
            number: self.number,
            keys: Arc::clone(&self.keys),
            cursor: self.cursor,
            entry_bytes: self.entry_bytes,
        }
    }

    /// Hands on a page of history.
    pub(super) fn take(&mut self, page: Page) -> Batch {
        let end = page.is_end();
        self.state = if page.is_newest() {
            State::Live
        } else {
            State::CatchUp
        };
        self.cursor = page.cursor;
        Batch {
            missed: page.missed,
            parts: page.parts,
            end,
        }
    }

    /// Hands on what came live, if it follows; the head is as it was after the entries.
    pub(super) fn follow(
        &mut self,
        entries: Vec<Entry>,
        head: Option<Head>,
    ) -> Result<Batch, Gone> {
        let head = head
            .filter(|head| head.generation == self.generation)
            .ok_or(Gone)?;
        let follows = |id: EventId| self.cursor.is_some_and(|cursor| id.n == cursor.n + 1);
        let newest = match entries.first() {
            None => self.cursor,
            Some(first) if follows(first.id) => entries.last().map(|entry| entry.id),
            // Trimmed before it was read, or Redis lost what it had acknowledged: history knows
            // which.
            Some(_) => None,
        };
        let Some(newest) = newest
            .filter(|&newest| newest <= head.last && (newest == head.last || !entries.is_empty()))
        else {
            self.state = State::CatchUp;
            return Ok(Batch::default());
        };
        let end = head.status != Status::Active && newest == head.last;
        self.cursor = Some(newest);
        if entries.is_empty() {
            return Ok(Batch {
                end,
                ..Batch::default()
            });
        }
        let bytes: usize = entries.iter().map(Entry::weight).sum();
        self.entry_bytes = usize::midpoint(self.entry_bytes, bytes / entries.len().max(1)).max(1);
        Ok(Batch {
            missed: None,
            parts: vec![Part::new(Arc::new(Segment::new(entries)), 0)],
            end,
        })
    }
}
