//! What nodes tell each other of their clients.

use std::time::Duration;

use crate::stream::StreamKey;

/// How long what a node has told of its clients holds, unless it is told again.
pub const PRESENCE_TTL: Duration = Duration::from_secs(20);

/// How many clients a node has on which streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresenceUpdate {
    /// Whether this is all there is, rather than what has changed since the announcement before.
    pub whole: bool,
    /// Streams and their clients on the node; 0: none any more.
    pub counts: Vec<(StreamKey, u32)>,
}

impl PresenceUpdate {
    /// That the node has no clients.
    #[must_use]
    pub fn none() -> Self {
        Self {
            whole: true,
            counts: Vec::new(),
        }
    }

    /// Whether it says that the node has no clients.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.whole && self.counts.is_empty()
    }
}

/// What has become of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PresenceOutcome {
    /// It holds.
    Kept,
    /// It was about changes only, and what had changed is no longer known: all is to be told anew.
    PreviousExpired,
}
