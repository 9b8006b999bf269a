//! Gaps: events that a subscriber can no longer receive.

use serde::Serialize;

use super::id::EventId;

/// A gap: events that a subscriber did not receive, and that the stream no longer holds. The broker
/// reports a gap before the events that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Missed {
    /// The position of the subscriber before the gap, if it had one.
    pub after: Option<EventId>,
    /// The id of the first event after the gap.
    pub first: EventId,
    /// How many events are missing. None if the number is unknown, because the position belongs to
    /// another stream.
    pub missed: Option<u64>,
}
