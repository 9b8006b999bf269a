//! Entries that were written together, with the encodings of them that sessions share.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use crate::stream::{Entry, EventFilter};

/// A run of consecutive entries, shared by all who read it; its encodings are made once, by whoever
/// needs them first.
#[derive(Debug, Default)]
pub struct Segment {
    entries: Vec<Entry>,
    /// The run as server-sent events; `wire::sse` fills it.
    pub sse: OnceLock<Bytes>,
    /// The same of what a filter passes, for the few filters that most clients have.
    selected_sse: Mutex<Vec<(EventFilter, Bytes)>>,
}

/// How many filters a segment keeps the encoding for.
const SELECTIONS: usize = 8;

impl Segment {
    /// A run of these entries, which follow one another.
    #[must_use]
    pub fn new(entries: Vec<Entry>) -> Self {
        Self {
            entries,
            sse: OnceLock::new(),
            selected_sse: Mutex::default(),
        }
    }

    /// The entries, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What the filter passes as server-sent events: as somebody with the same filter has encoded
    /// it, or else as `encode` does.
    #[must_use]
    pub fn selected_sse(&self, filter: &EventFilter, encode: impl FnOnce() -> Bytes) -> Bytes {
        // What is behind a poisoned lock is whole: a vector is not left in pieces.
        let mut selected = self
            .selected_sse
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((_, bytes)) = selected.iter().find(|(known, _)| known == filter) {
            return bytes.clone();
        }
        let bytes = encode();
        if selected.len() < SELECTIONS {
            selected.push((filter.clone(), bytes.clone()));
        }
        bytes
    }
}

/// A segment from one of its entries on: a reader may start in its middle.
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

    /// The segment, where the part is all of it.
    #[must_use]
    pub fn whole(&self) -> Option<&Segment> {
        (self.skip == 0).then_some(&self.segment)
    }
}
