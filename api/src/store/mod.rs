//! Where streams live: the contract that every store keeps, in words, and the types that it speaks
//! in.
//!
//! [`memory`] reads as the specification; [`redis`] keeps the same promises on Redis Streams. One
//! test suite runs over both.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::{
    codec::segment::Part,
    stream::{
        Entry, EventId, Finish, Generation, MAX_PRODUCERS, Missed, NewEvent, ProducerSequence,
        StartPosition, Status, StreamKey,
    },
};

mod fault;
pub mod memory;
mod merge;
mod presence;
pub mod quota;
pub mod redis;
mod resume;

pub use self::{
    fault::{Right, StoreFault},
    presence::{PRESENCE_TTL, PresenceOutcome, PresenceUpdate},
};

/// Entries that one read returns at the most.
pub const PAGE_ENTRIES: usize = 512;

/// Bytes of names and data after which a read returns what it has.
pub const PAGE_BYTES: usize = 1 << 20;

/// What there is to know about a stream without reading it.
#[derive(Clone, Debug)]
pub struct StreamInfo {
    /// Which stream this is of all that ever had the key.
    pub generation: Generation,
    /// Where it is in its life.
    pub status: Status,
    /// Events stored now; at least one.
    pub length: u64,
    /// Time left unless something is written.
    pub ttl: Duration,
    /// The oldest event still stored.
    pub first: EventId,
    /// The newest event.
    pub last: EventId,
    /// Milliseconds since the Unix epoch.
    pub created_ms: u64,
}

/// What a new stream asks for.
#[derive(Clone, Copy, Debug)]
pub struct NewStream {
    /// How long it lives after its last write.
    pub ttl: Duration,
    /// How many events it keeps, at the least.
    pub max_events: u64,
}

/// Where a batch was written: its events share `ms` and are numbered from `first.n` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The id of the first event that was written; where none was, the id that the next event will
    /// not be before.
    pub first: EventId,
    /// How many events at the batch's beginning were in the stream already.
    pub duplicates: usize,
}

impl Appended {
    /// The ids of the events that were written now, of a batch of this many.
    pub fn ids(self, count: usize) -> impl Iterator<Item = EventId> {
        let Self { first, duplicates } = self;
        (first.n..)
            .take(count.saturating_sub(duplicates))
            .map(move |n| EventId { n, ..first })
    }
}

/// A consistent look at a stream from a cursor on: its state, and entries as many as fit a page.
#[derive(Clone, Debug)]
pub struct Page {
    /// The stream that was read.
    pub key: StreamKey,
    /// Its state at the moment of reading.
    pub info: StreamInfo,
    /// What lies between the cursor and these entries but is no longer stored.
    pub missed: Option<Missed>,
    /// The entries, in order and without a hole.
    pub parts: Vec<Part>,
    /// Where to go on: the last entry's id, or the cursor where there was none after it.
    pub cursor: Option<EventId>,
    /// Whether the entries were read; if not, there may be some after the cursor, and something
    /// missed before them.
    pub is_read: bool,
}

impl Page {
    /// A page whose entries were not read yet.
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

    /// Whether nothing will ever follow this page: the stream is finished and the page reaches its
    /// last event.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.info.status != Status::Active && self.is_newest()
    }

    /// Whether the page reached the newest event there was.
    #[must_use]
    pub fn is_newest(&self) -> bool {
        self.cursor == Some(self.info.last)
    }
}

/// What is new in a stream.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// To be told before the entries: what the reader can no longer have.
    pub missed: Option<Missed>,
    /// Entries that follow those of the batch before, or what was missed.
    pub parts: Vec<Part>,
    /// The stream is finished and this batch holds its last event, or the reader has it already.
    pub end: bool,
}

/// How many Redis connections there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionCounts {
    /// For writes and management.
    pub fixed: usize,
    /// For streaming clients, idle ones included.
    pub streaming: usize,
    /// Those of them that a client holds.
    pub streaming_in_use: usize,
}

impl Batch {
    /// Its entries, in order.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.parts.iter().flat_map(Part::entries)
    }

    /// Whether it says nothing but that the store answers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missed.is_none() && self.parts.is_empty() && !self.end
    }
}

impl From<getrandom::Error> for StoreError {
    fn from(error: getrandom::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Why a store did not do as asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A stream at this key is active.
    #[error("a stream at this key is active")]
    Exists,
    /// No active stream at this key. Nothing was written.
    #[error("no active stream at this key")]
    NotActive,
    /// Events of this producer are missing before the batch's. Nothing was written.
    #[error("the stream has {has} events of this producer")]
    SequenceGap {
        /// How many of the producer's events the stream has.
        has: u64,
    },
    /// The producer would be one more than [`MAX_PRODUCERS`]. Nothing was written.
    #[error("the stream has had {MAX_PRODUCERS} producers")]
    TooManyProducers,
    /// No stream at this key, active or finished.
    #[error("no stream at this key")]
    NotFound,
    /// The store can't be reached, refused, or did not confirm in time. A write may or may not have
    /// happened; it must not be acknowledged. The text is for the log.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// The same with a known cause. Where [`StoreFault::is_refusal`], nothing was written.
    #[error("the store is unavailable: {fault} ({detail})")]
    Refused {
        /// The cause, which answers may show.
        fault: StoreFault,
        /// What the server or the library said, for the log.
        detail: String,
    },
    /// The store holds something that this program did not write. The text is for the log.
    #[error("the store holds something unexpected: {0}")]
    Unexpected(&'static str),
}

/// What tails yield.
#[derive(Clone, Debug)]
pub struct News {
    /// The number of the stream among those that were added, from 0.
    pub stream: usize,
    /// What is new in it.
    pub told: Result<Batch, Gone>,
}

/// The stream is no more: it expired, was evicted, or another took its place. Final.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// The stream can't be followed over the connection that follows the others: a Redis Cluster has
/// them on different slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the streams are on several slots of the Cluster")]
pub struct CrossSlot;

/// The promises of a store. Each method is one atomic step: whatever races with it comes before or
/// after it as a whole.
#[async_trait]
pub trait Store: Send + Sync {
    /// What the store is called in `/api/info`.
    fn name(&self) -> &'static str;

    /// How live entries reach clients, as in `/api/info`.
    fn delivery(&self) -> &'static str;

    /// The connections it holds.
    fn connections(&self) -> ConnectionCounts;

    /// Succeeds when the store can be read and written, and the node hears what is written. Returns
    /// what an operator should know although all is well, a sentence each.
    async fn ready(&self) -> Result<Vec<String>, StoreError>;

    /// Starts a stream with its event `start`. A finished stream at the key is replaced: its events
    /// are gone, and its tails report [`TailError::Gone`].
    ///
    /// Errors: [`StoreError::Exists`].
    async fn create(&self, key: &StreamKey, new: NewStream) -> Result<StreamInfo, StoreError>;

    /// Writes all of the events, one after another with nothing between them, or none. Afterwards
    /// the stream lives for its TTL from now on, and all but about its newest `max_events` events
    /// are gone.
    ///
    /// Of a numbered batch, what the stream has already is not written again.
    ///
    /// Errors: [`StoreError::NotActive`]; of a numbered batch also [`StoreError::SequenceGap`],
    /// [`StoreError::TooManyProducers`].
    async fn append(
        &self,
        key: &StreamKey,
        events: &[NewEvent],
        producer_sequence: Option<&ProducerSequence>,
    ) -> Result<Appended, StoreError>;

    /// Writes the last event and records the status; nothing can follow.
    ///
    /// Errors: [`StoreError::NotActive`].
    async fn finish(&self, key: &StreamKey, finish: Finish) -> Result<EventId, StoreError>;

    /// The state of a stream.
    ///
    /// Errors: [`StoreError::NotFound`].
    async fn info(&self, key: &StreamKey) -> Result<StreamInfo, StoreError>;

    /// The keys of all active streams, in no order. The cost grows with them and with nothing else.
    /// A key may have gone by the time it is looked at.
    async fn list(&self) -> Result<Vec<StreamKey>, StoreError>;

    /// Up to [`PAGE_ENTRIES`] entries after `cursor`, or from the first one stored. A cursor that
    /// the stream can't have issued is answered from the first event on, and [`Page::missed`] says
    /// so.
    ///
    /// Errors: [`StoreError::NotFound`].
    async fn read(&self, key: &StreamKey, cursor: Option<EventId>) -> Result<Page, StoreError>;

    /// The cursor after which `beginning` lies among the events that are kept, for [`Self::read`],
    /// to which nothing is missing between the two. It need not be the id of an event. None: before
    /// the first event, and always for [`Beginning::Start`].
    ///
    /// Its cost does not grow with the stream. Errors: [`StoreError::NotFound`], but for
    /// [`Beginning::Start`].
    async fn locate(
        &self,
        key: &StreamKey,
        start: StartPosition,
    ) -> Result<Option<EventId>, StoreError>;

    /// Resolves when there is a stream at the key, which may be at once. While the store fails, it
    /// waits.
    fn appears(&self, key: &StreamKey) -> BoxFuture<'static, StreamInfo>;

    /// Tells the other nodes of this store how many clients this one has on which streams. It holds
    /// for [`PRESENCE_TTL`], and for as long again with each further announcement, an empty
    /// one too. After an error nothing is known: the next is to be a whole one.
    async fn update_presence(&self, update: &PresenceUpdate)
    -> Result<PresenceOutcome, StoreError>;

    /// How many clients the other nodes have on this stream, by what they have announced.
    async fn subscribers_elsewhere(&self, key: &StreamKey) -> Result<u64, StoreError>;

    /// Whether these streams can be followed over one connection.
    fn may_share(&self, keys: &[StreamKey]) -> Result<(), CrossSlot> {
        let _ = keys;
        Ok(())
    }

    /// Tails of no stream yet. All that will be added share what is scarce, such as a connection;
    /// [`Store::may_share`] says whether they can.
    fn tails(&self) -> Box<dyn Tails>;
}

/// Streams on their way to one reader, each from a cursor on: history, then live, then the end.
#[async_trait]
pub trait Tails: Send {
    /// Whether they hold something that is scarce, such as a connection, and must be let go as soon
    /// as their reader has left or has stopped to read.
    fn is_scarce(&self) -> bool {
        false
    }

    /// Follows one more stream, the one that `page` was read from: that page first, then all that
    /// comes after it. Streams are numbered in the order in which they are added, from 0.
    fn add(&mut self, page: Page);

    /// Lets a stream go: nothing more is told of it. One that is not there is let go already.
    fn remove(&mut self, stream: usize);

    /// Whether a stream's last answer was an error.
    fn is_failing(&self) -> bool;

    /// The next news, as soon as there are any: every entry of each stream after its cursor once
    /// and in order, or what was missed. After a batch with [`Batch::end`], or [`Gone`], there is
    /// nothing more of the stream. With no stream left it waits.
    ///
    /// Errors: the store failed a stream. All have kept their places: ask again after a while. The
    /// first answer of the store for that stream is told in any case, as an empty batch where there
    /// is nothing new, so that whoever counts a failure's time knows when it was over.
    ///
    /// Cancel safe: dropping the future loses nothing and repeats nothing. Dropping the tails frees
    /// all that they hold.
    async fn next(&mut self) -> Result<News, StoreError>;
}

/// A store that can be shared.
pub type SharedStore = Arc<dyn Store>;
