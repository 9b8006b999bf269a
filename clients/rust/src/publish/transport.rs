//! How a writer sends events.

/// How a writer sends events to the broker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// One request carries all events that are ready. Events that are written meanwhile wait for
    /// the next request.
    #[default]
    Ndjson,
    /// Each event is sent at once, and confirmed on its own.
    #[cfg(feature = "websocket")]
    WebSocket,
}
