//! Events that a subscriber can no longer have.

use serde::Serialize;

use super::id::EventId;

/// Events that a reader has not seen and can no longer have. It is told before anything else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Missed {
    /// The reader's cursor, if it had one.
    pub after: Option<EventId>,
    /// The id of the first event that follows.
    pub first: EventId,
    /// How many are missing; none when the cursor is not of this stream's making, so that nobody
    /// knows.
    pub missed: Option<u64>,
}
