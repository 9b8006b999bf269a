//! Entries that were written together, with cached encodings for all sessions that deliver them.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;

use crate::stream::{Entry, EventFilter};

/// How many filters a segment caches an encoding for.
const MAX_FILTERS: usize = 8;

/// A segment is a run of consecutive entries of a stream. All sessions share it. It caches its
/// encodings, so that the broker encodes it once, not once for each session.
#[derive(Debug, Default)]
pub struct Segment {
    entries: Vec<Entry>,
    /// How many events of the stream each entry stands for. Empty: each is one.
    counts: Vec<u32>,
    /// All entries as server-sent events.
    sse: OnceLock<Bytes>,
    /// The entries that pass a filter, as server-sent events. Most sessions use one of a few
    /// filters.
    filtered_sse: Mutex<Vec<(EventFilter, Bytes)>>,
}

impl Segment {
    /// A segment of these entries, which must be consecutive.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Self {
        Self {
            entries,
            ..Self::default()
        }
    }

    /// A segment for one session, of entries that stand for so many consecutive events each. An
    /// entry has the id of the last of them.
    #[must_use]
    pub fn joined(entries: Vec<Entry>, counts: Vec<u32>) -> Self {
        Self {
            entries,
            counts,
            ..Self::default()
        }
    }

    /// The entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entries from this index on, and how many events each stands for.
    fn counted(&self, skip: usize) -> impl DoubleEndedIterator<Item = (&Entry, u32)> + Clone {
        let count = move |index: usize| self.counts.get(index).copied().unwrap_or(1);
        let entries = self.entries.get(skip..).unwrap_or_default();
        let counted = move |(index, entry)| (entry, count(skip + index));
        entries.iter().enumerate().map(counted)
    }

    /// All entries as server-sent events. Calls `encode` if they are not in the cache.
    pub(super) fn sse(&self, encode: impl FnOnce() -> Bytes) -> Bytes {
        self.sse.get_or_init(encode).clone()
    }

    /// The entries that pass the filter, as server-sent events. Calls `encode` if they are not in
    /// the cache.
    pub(super) fn filtered_sse(
        &self,
        filter: &EventFilter,
        encode: impl FnOnce() -> Bytes,
    ) -> Bytes {
        let mut cached = self.filtered_sse.lock();
        if let Some((_, bytes)) = cached.iter().find(|(known, _)| known == filter) {
            return bytes.clone();
        }
        // The lock is held meanwhile: other sessions with this filter wait for the encoding.
        let bytes = encode();
        if cached.len() < MAX_FILTERS {
            cached.push((filter.clone(), bytes.clone()));
        }
        bytes
    }
}

/// A part is a segment without its first entries: a session may start in the middle of a segment.
#[derive(Clone, Debug)]
pub struct Part {
    segment: Arc<Segment>,
    skip: usize,
}

impl Part {
    /// The segment without its first `skip` entries.
    #[must_use]
    pub fn new(segment: Arc<Segment>, skip: usize) -> Self {
        Self { segment, skip }
    }

    /// The entries of this part, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        self.segment.entries.get(self.skip..).unwrap_or_default()
    }

    /// The same, and how many events of the stream each stands for.
    #[must_use = "iterators are lazy"]
    pub fn counted(&self) -> impl DoubleEndedIterator<Item = (&Entry, u32)> + Clone {
        self.segment.counted(self.skip)
    }

    /// How many events of the stream the entries stand for.
    #[must_use]
    pub fn counted_events(&self) -> usize {
        if self.segment.counts.is_empty() {
            self.entries().len()
        } else {
            self.counted().map(|(_, count)| count as usize).sum()
        }
    }

    /// The segment, if the part has all of its entries.
    pub(super) fn whole_segment(&self) -> Option<&Segment> {
        (self.skip == 0).then_some(&self.segment)
    }
}
