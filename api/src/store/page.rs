//! What a store says of a stream: its state, and pages of its entries.

use std::time::Duration;

use crate::{
    codec::segment::Part,
    stream::{Deadlines, EventId, Generation, Missed, Status, StreamKey},
};

/// Entries that one read returns at the most.
pub const PAGE_ENTRIES: usize = 512;

/// Bytes of names and data after which a read returns what it has.
pub const PAGE_BYTES: usize = 1 << 20;

/// The state of a stream.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// Distinguishes the stream from every other that has had its key.
    pub generation: Generation,
    /// Whether it is active, or how it was finished.
    pub status: Status,
    /// Events stored now: at least one.
    pub length: u64,
    /// Time until it expires, unless something is written.
    pub ttl: Duration,
    /// The oldest event still stored.
    pub first: EventId,
    /// The newest event.
    pub last: EventId,
    /// When it was created, in milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// When its producer was first asked to stop, in milliseconds since the Unix epoch.
    pub stop_requested_ms: Option<u64>,
    /// Its deadlines. None of them for a finished stream.
    pub deadlines: Deadlines,
}

/// The result of an append. The events share `ms` and are numbered from `first.n` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The id of the first event that was appended. Where none was, the id of the next event will
    /// not be smaller.
    pub first: EventId,
    /// How many events at the front of the batch were in the stream already.
    pub duplicates: usize,
}

impl Appended {
    /// The ids of the events that were appended now, of a batch of this many.
    pub fn ids(self, count: usize) -> impl Iterator<Item = EventId> {
        let Self { first, duplicates } = self;
        (first.n..)
            .take(count.saturating_sub(duplicates))
            .map(move |n| EventId { n, ..first })
    }
}

/// A consistent read of a stream from a cursor on: its state, and a page of entries.
#[derive(Clone, Debug)]
pub struct Page {
    /// The stream that was read.
    pub key: StreamKey,
    /// Its state at the moment of reading.
    pub info: StreamInfo,
    /// Events between the cursor and these entries that are no longer stored.
    pub missed: Option<Missed>,
    /// The entries, in order and without a hole.
    pub parts: Vec<Part>,
    /// Where to go on: the id of the last entry, or the cursor if there is none.
    pub cursor: Option<EventId>,
    /// Whether the entries were read. If not, entries may follow the cursor, and events may be
    /// missed before them.
    pub is_read: bool,
}

impl Page {
    /// A page whose entries are not read yet.
    #[must_use]
    pub fn unread(key: StreamKey, info: StreamInfo, cursor: Option<EventId>) -> Self {
        Self {
            key,
            info,
            missed: None,
            parts: Vec::new(),
            cursor,
            is_read: false,
        }
    }

    /// The status of a finished stream whose last event the page reaches: nothing can follow.
    #[must_use]
    pub fn finished(&self) -> Option<Status> {
        let status = self.info.status;
        (status.is_finished() && self.is_newest()).then_some(status)
    }

    /// Whether the page reaches the newest event.
    #[must_use]
    pub fn is_newest(&self) -> bool {
        self.cursor == Some(self.info.last)
    }
}
