//! How far a subscriber is in a stream.

use super::id::EventId;

/// Where a client is in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Before its first event.
    Start,
    /// It has this event and all before.
    At(EventId),
    /// It has all: this is the last.
    Complete(EventId),
}

impl Position {
    /// The last event that the client has.
    #[must_use]
    pub fn id(self) -> Option<EventId> {
        match self {
            Self::Start => None,
            Self::At(id) | Self::Complete(id) => Some(id),
        }
    }
}
