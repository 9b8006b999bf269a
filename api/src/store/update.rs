//! What changes in a stream that somebody follows.

use crate::{
    codec::segment::Part,
    stream::{Entry, Missed, Status},
};

/// What changed in one stream: the way of every event from a store to a subscriber.
#[derive(Clone, Debug)]
pub enum StreamUpdate {
    /// It has new events.
    Events(Batch),
    /// It was deleted: it expired, Redis evicted it, or a new stream has its key. This update is
    /// the last.
    Deleted,
}

impl StreamUpdate {
    /// Whether no update follows this one.
    #[must_use]
    pub fn is_last(&self) -> bool {
        match self {
            Self::Events(batch) => batch.is_last(),
            Self::Deleted => true,
        }
    }

    /// Whether it says nothing except that the store answers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Events(batch) => batch.is_empty(),
            Self::Deleted => false,
        }
    }
}

/// New events of one stream, in order and without a hole.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Events that the subscriber can no longer have, before these entries. Boxed, because few
    /// batches have it, and each batch is moved several times.
    pub missed: Option<Box<Missed>>,
    /// Entries that follow those of the batch before, or what was missed.
    pub parts: Vec<Part>,
    /// The status of the stream if it is finished. The subscriber has its last event, from this
    /// batch or already.
    pub finished: Option<Status>,
}

impl Batch {
    /// The entries, in order.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.parts.iter().flat_map(Part::entries)
    }

    /// The entries, and how many events of the stream each stands for.
    pub fn counted(&self) -> impl DoubleEndedIterator<Item = (&Entry, u32)> {
        self.parts.iter().flat_map(Part::counted)
    }

    /// Whether nothing can follow it.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.finished.is_some()
    }

    /// The last event of a finished stream, if it is in this batch.
    #[must_use]
    pub fn last_event(&self) -> Option<(&Entry, Status)> {
        let status = self.finished?;
        Some((self.entries().next_back()?, status))
    }

    /// Whether it says nothing except that the store answers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missed.is_none() && self.parts.is_empty() && !self.is_last()
    }
}
