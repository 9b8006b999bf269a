//! What a session gives to its connection.

use crate::{
    store::{Batch, StreamUpdate},
    telemetry::metrics::DisconnectReason,
};

/// What a connection sends next. Streams are named by their index in
/// [`Subscription::streams`](super::Subscription::streams), until the next output.
#[derive(Debug)]
pub enum Output {
    /// What changed in this stream, as far as the filter passes it. Where the subscriber has no
    /// other stream, its deletion closes the connection instead.
    Update(usize, StreamUpdate),
    /// The subscriber's positions in these streams: it can't know them, because the filter passed
    /// events over.
    Positions(Vec<usize>),
    /// Everything that was stored when the subscriber came has been sent, or passed over.
    CaughtUp,
    /// Anything: it shows the subscriber that the broker is alive, and the broker that the
    /// subscriber is.
    Heartbeat,
    /// The end of the connection; it is the last output.
    Close(CloseReason),
}

impl Output {
    /// The batch of events, if it is one, and the index of its stream.
    #[must_use]
    pub fn batch(&self) -> Option<(usize, &Batch)> {
        match self {
            Self::Update(stream, StreamUpdate::Events(batch)) => Some((*stream, batch)),
            _ => None,
        }
    }

    /// The stream that ends with this output, if one does.
    pub(super) fn ended_stream(&self) -> Option<usize> {
        match self {
            Self::Update(stream, StreamUpdate::Deleted) => Some(*stream),
            Self::Update(stream, StreamUpdate::Events(batch)) if batch.is_last() => Some(*stream),
            _ => None,
        }
    }

    /// Whether it is a batch without anything for the subscriber.
    pub(super) fn is_empty_update(&self) -> bool {
        self.batch().is_some_and(|(_, batch)| batch.is_empty())
    }
}

/// Why the broker closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The subscriber has the last events of its streams.
    Ended,
    /// All streams were deleted.
    Deleted,
    /// There was no event for the client timeout. The subscriber may come back.
    Idle,
    /// The node stops. The subscriber should connect to another one.
    Shutdown,
    /// The store has failed for too long. The subscriber should connect to another node.
    StoreUnavailable,
    /// An operator disconnects the subscriber.
    Disconnected,
    /// The script failed with an event. The subscriber may come back for it.
    ScriptFailed,
}

impl From<CloseReason> for DisconnectReason {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Ended => Self::Ended,
            CloseReason::Deleted => Self::Gone,
            CloseReason::Idle => Self::Idle,
            CloseReason::Shutdown => Self::Shutdown,
            CloseReason::StoreUnavailable => Self::Store,
            CloseReason::Disconnected => Self::Disconnected,
            CloseReason::ScriptFailed => Self::Script,
        }
    }
}
