//! The position of a subscriber in a stream.

use super::id::EventId;

/// A position says which events of a stream a subscriber has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// None yet.
    Start,
    /// This event and all before it.
    At(EventId),
    /// All events of a finished stream. This is its last event.
    Complete(EventId),
}

impl Position {
    /// The last event that the subscriber has.
    #[must_use]
    pub fn id(self) -> Option<EventId> {
        match self {
            Self::Start => None,
            Self::At(id) | Self::Complete(id) => Some(id),
        }
    }
}
