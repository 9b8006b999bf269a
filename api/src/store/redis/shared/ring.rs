//! The newest entries of a topic, kept in memory.

use std::{collections::VecDeque, sync::Arc};

use crate::{
    codec::segment::{Part, Segment},
    store::{PAGE_BYTES, PAGE_ENTRIES},
    stream::{Entry, EventId},
};

/// The most segments of one ring.
const MAX_SEGMENTS: usize = 256;

/// The most bytes of one ring.
const MAX_BYTES: usize = 256 << 10;

/// The most bytes of all rings of a node. With many topics each ring gets less, down to its newest
/// segment: what a ring does not have is in the store.
const MAX_BYTES_OF_ALL: usize = 64 << 20;

/// Bytes that an entry takes besides its name and data, about.
const ENTRY_BYTES: usize = 96;

/// A cache of a stream's newest entries, without a hole. Each segment is encoded once for all
/// subscribers.
#[derive(Default)]
pub(super) struct Ring {
    segments: VecDeque<Arc<Segment>>,
    bytes: usize,
}

impl Ring {
    /// Adds entries that follow those in the ring, on a node with so many topics.
    pub(super) fn push(&mut self, entries: Vec<Entry>, topics: usize) {
        let limit = MAX_BYTES.min(MAX_BYTES_OF_ALL / topics.max(1));
        self.bytes += weight(&entries);
        self.segments.push_back(Arc::new(Segment::new(entries)));
        // The newest segment stays, however large it is: the tails are about to read it.
        while self.segments.len() > 1 && (self.segments.len() > MAX_SEGMENTS || self.bytes > limit)
        {
            let oldest = self.segments.pop_front();
            self.bytes -= oldest.map_or(0, |segment| weight(segment.entries()));
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Up to a page of entries after the cursor, and the id of the last. None if the ring does not
    /// reach back to the cursor.
    pub(super) fn after(&self, cursor: EventId) -> Option<(Vec<Part>, EventId)> {
        let begin = self.segment_after(cursor);
        let first = self.segments.get(begin)?.entries();
        let first_skip = first.partition_point(|entry| entry.id.n <= cursor.n);
        if first.get(first_skip)?.id.n != cursor.n + 1 {
            return None;
        }
        let (mut parts, mut last) = (Vec::with_capacity(1), cursor);
        let (mut count, mut bytes) = (0, 0);
        for segment in self.segments.range(begin..) {
            if count >= PAGE_ENTRIES || bytes >= PAGE_BYTES {
                break;
            }
            let skip = if parts.is_empty() { first_skip } else { 0 };
            count += segment.entries().len() - skip;
            bytes += weight(segment.entries());
            last = segment.entries().last()?.id;
            parts.push(Part::new(Arc::clone(segment), skip));
        }
        Some((parts, last))
    }

    /// The index of the first segment with an entry after the cursor.
    fn segment_after(&self, cursor: EventId) -> usize {
        // Most tails have all but the newest segment.
        let newest = self.segments.back().and_then(|it| it.entries().first());
        if newest.is_some_and(|first| first.id.n == cursor.n + 1) {
            return self.segments.len() - 1;
        }
        self.segments.partition_point(|segment| {
            let last = segment.entries().last();
            last.is_some_and(|last| last.id.n <= cursor.n)
        })
    }
}

/// Bytes of the entries and of their encoded form, which is about as large.
fn weight(entries: &[Entry]) -> usize {
    let weight = |entry: &Entry| 2 * entry.weight() + ENTRY_BYTES;
    entries.iter().map(weight).sum()
}
