//! The subscriber counts that nodes send each other.

use std::time::Duration;

use crate::stream::StreamKey;

/// How long the counts of a node hold, unless it sends another update.
pub const PRESENCE_TTL: Duration = Duration::from_secs(20);

/// How many subscribers a node has on its streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceUpdate {
    /// Whether these are all counts, rather than those that changed since the update before.
    pub whole: bool,
    /// Streams and their subscribers on the node. 0: the stream has none any more.
    pub counts: Vec<(StreamKey, u32)>,
}

impl PresenceUpdate {
    /// An update that reports no subscribers.
    #[must_use]
    pub fn none() -> Self {
        Self {
            whole: true,
            counts: Vec::new(),
        }
    }

    /// Whether it reports that the node has no subscribers.
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
    /// It had changes only, and the counts before them have expired. The node must send all counts.
    PreviousExpired,
}
