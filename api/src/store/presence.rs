//! What the nodes of a store send each other about their subscribers.

use std::time::Duration;

use crate::stream::StreamKey;

/// How long the counts of a node last after its last update.
pub const PRESENCE_TTL: Duration = Duration::from_secs(20);

/// How many subscribers a node has on which streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceUpdate {
    /// Whether it lists all streams with subscribers, and not only what changed since the update
    /// before.
    pub whole: bool,
    /// Streams and the number of their subscribers on the node; 0 if it has none any more.
    pub counts: Vec<(StreamKey, u32)>,
}

impl PresenceUpdate {
    /// The update of a node without subscribers.
    #[must_use]
    pub fn none() -> Self {
        Self {
            whole: true,
            counts: Vec::new(),
        }
    }

    /// Whether it says that the node has no subscribers.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.whole && self.counts.is_empty()
    }
}

/// The result of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceOutcome {
    /// The other nodes have the counts.
    Kept,
    /// The update held only changes, and the counts before them have expired: a complete update must
    /// follow.
    PreviousExpired,
}
