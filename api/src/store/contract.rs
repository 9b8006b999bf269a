//! The contract that every store keeps, in words.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::BoxFuture;

use super::{
    create::{Created, NewStream},
    deadlines::{Renewed, Swept},
    error::{CrossSlot, StoreError},
    page::{Appended, Page, StreamInfo},
    presence::{PresenceOutcome, PresenceUpdate},
    signals::SignalPage,
    tail::TailSet,
    watch::StreamWatch,
};
use crate::stream::{
    EventId, Finish, Generation, NewEvent, NewSignal, ProducerSequence, Renewal, StartPosition,
    StreamKey,
};

/// Streams: write them, read them, follow them.
///
/// Each method is one atomic step: whatever races with it comes before or after it as a whole.
#[async_trait]
pub trait StreamStore: Send + Sync {
    /// Creates a stream with its event `start`, or takes the one that exists, as `new` asks for. A
    /// stream that is replaced is deleted without a last event, and its tails return
    /// [`StreamUpdate::Deleted`](super::StreamUpdate::Deleted).
    ///
    /// Errors: [`StoreError::Exists`].
    async fn create(&self, key: &StreamKey, new: &NewStream) -> Result<Created, StoreError>;

    /// Appends all of the events, one after another with nothing between them, or none. Afterwards
    /// the stream lives for its TTL from now on, and all but about its newest `max_events` events
    /// are deleted.
    ///
    /// With a generation, the stream must have it. With a producer's sequence, events that the
    /// stream has already are not appended again.
    ///
    /// Errors: [`StoreError::NotActive`]; with a generation also [`StoreError::StaleGeneration`];
    /// with a producer's sequence also [`StoreError::SequenceGap`] and
    /// [`StoreError::TooManyProducers`].
    async fn append(
        &self,
        key: &StreamKey,
        generation: Option<Generation>,
        events: &[NewEvent],
        producer_sequence: Option<&ProducerSequence>,
    ) -> Result<Appended, StoreError>;

    /// Appends the last event and records the status. Nothing can follow. With a generation, the
    /// stream must have it.
    ///
    /// Errors: [`StoreError::NotActive`]; with a generation also [`StoreError::StaleGeneration`].
    async fn finish(
        &self,
        key: &StreamKey,
        generation: Option<Generation>,
        finish: &Finish,
    ) -> Result<EventId, StoreError>;

    /// Stores a signal for the producer of an active stream, and notifies the watches of the
    /// stream. Returns the number of the signal. A second `stop` is not stored, and neither is a
    /// signal with an id that its sender has used: the result is the number of the first one. The
    /// signals live as long as the stream. With a generation, the stream must have it.
    ///
    /// Errors: [`StoreError::NotActive`], [`StoreError::TooManySignals`]; with a generation also
    /// [`StoreError::StaleGeneration`].
    async fn signal(
        &self,
        key: &StreamKey,
        generation: Option<Generation>,
        signal: &NewSignal,
    ) -> Result<u64, StoreError>;

    /// Reads the signals after this number, in order, until they have [`SIGNAL_PAGE_BYTES`] bytes.
    ///
    /// Errors: [`StoreError::NotFound`].
    ///
    /// [`SIGNAL_PAGE_BYTES`]: super::SIGNAL_PAGE_BYTES
    async fn signals(&self, key: &StreamKey, after: u64) -> Result<SignalPage, StoreError>;

    /// Renews the lease of an active stream, if it has one, and does what else `renewal` asks for.
    /// An append renews the lease too, and with an event the stall. A stream lives at least for its
    /// TTL after its last deadline. The watches of the stream are notified when a lease or a stall
    /// begins or ends.
    ///
    /// Errors: [`StoreError::NotActive`]; with a generation also [`StoreError::StaleGeneration`].
    async fn renew(
        &self,
        key: &StreamKey,
        generation: Option<Generation>,
        renewal: Renewal,
    ) -> Result<Renewed, StoreError>;

    /// Finishes the streams whose deadlines have passed. It cancels those whose producer did not
    /// follow a stop in time, and abandons those whose producer went silent. The earliest deadline
    /// decides. After an outage of the store, a producer has its whole lease or stall again.
    ///
    /// Every node calls it once a second.
    async fn sweep(&self) -> Result<Swept, StoreError>;

    /// The state of a stream.
    ///
    /// Errors: [`StoreError::NotFound`].
    async fn info(&self, key: &StreamKey) -> Result<StreamInfo, StoreError>;

    /// The keys of all active streams, in no order. The cost grows with their number alone. A
    /// stream may be deleted before the caller reads it.
    async fn list(&self) -> Result<Vec<StreamKey>, StoreError>;

    /// Reads up to [`PAGE_ENTRIES`](super::PAGE_ENTRIES) entries after `cursor`, or from the first
    /// one stored. For a cursor that the stream can't have issued it reads from the first event,
    /// and [`Page::missed`] says so.
    ///
    /// Errors: [`StoreError::NotFound`].
    async fn read(&self, key: &StreamKey, cursor: Option<EventId>) -> Result<Page, StoreError>;

    /// The cursor at which a start position lies among the stored events, for [`Self::read`]. It
    /// need not be the id of an event. None is before the first event, and always the answer for
    /// [`StartPosition::Start`].
    ///
    /// The cost does not grow with the stream. Errors: [`StoreError::NotFound`], except for
    /// [`StartPosition::Start`].
    async fn locate(
        &self,
        key: &StreamKey,
        start_position: StartPosition,
    ) -> Result<Option<EventId>, StoreError>;

    /// Resolves when a stream exists at the key, which may be at once. While the store fails, it
    /// waits.
    fn appears(&self, key: &StreamKey) -> BoxFuture<'static, StreamInfo>;

    /// Watches the stream at the key. The watch is notified within a second after the stream was
    /// finished or replaced, or got a signal, from a caller of any node. While the store fails no
    /// notification comes, but one comes afterwards. One may also come without a reason.
    fn watch(&self, key: &StreamKey) -> StreamWatch;

    /// Whether one subscriber can follow these streams over one connection.
    ///
    /// Errors: [`CrossSlot`].
    fn may_share(&self, keys: &[StreamKey]) -> Result<(), CrossSlot> {
        let _ = keys;
        Ok(())
    }

    /// Tails for one subscriber, of no stream yet. They may share a connection;
    /// [`Self::may_share`] says whether they can.
    fn tails(&self) -> Box<dyn TailSet>;
}

/// Subscriber counts, as the nodes of one store send them to each other.
#[async_trait]
pub trait Presence: Send + Sync {
    /// Sends the other nodes how many subscribers this one has. The counts expire after
    /// [`PRESENCE_TTL`](super::PRESENCE_TTL); each further update, an empty one too, prolongs them.
    ///
    /// Errors: the other nodes may or may not have the update. The next one has to be complete.
    async fn update_presence(&self, update: &PresenceUpdate)
    -> Result<PresenceOutcome, StoreError>;

    /// How many subscribers the other nodes have on this stream, as they have sent it.
    async fn subscribers_elsewhere(&self, key: &StreamKey) -> Result<u64, StoreError>;
}

/// What operators want to know of a store.
#[async_trait]
pub trait Introspect: Send + Sync {
    /// The name of the store in `/api/info`.
    fn name(&self) -> &'static str;

    /// How live entries reach subscribers, as in `/api/info`.
    fn delivery(&self) -> &'static str;

    /// The connections that it holds.
    fn connections(&self) -> ConnectionCounts;

    /// Succeeds when the store can be read and written, and the node receives what is written.
    /// Returns warnings for the operator, a sentence each.
    async fn ready(&self) -> Result<Vec<String>, StoreError>;
}

/// A complete store.
pub trait Store: StreamStore + Presence + Introspect {}

impl<S: StreamStore + Presence + Introspect> Store for S {}

/// A store that can be shared.
pub type SharedStore = Arc<dyn Store>;

/// How many Redis connections a store holds.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConnectionCounts {
    /// For writes and management.
    pub fixed: usize,
    /// For streaming, idle ones included.
    pub streaming: usize,
    /// Those of them that a session holds.
    pub streaming_in_use: usize,
}
