//! What a store reports of deadlines.

use crate::stream::Deadlines;

/// The deadlines of a stream after a renewal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewed {
    /// Those of the producer's promises.
    pub deadlines: Deadlines,
    /// Until when the producer has to follow a stop, in milliseconds since the Unix epoch. None: it
    /// is not asked to, or has no deadline.
    pub stop_expires_ms: Option<u64>,
    /// When somebody first asked the producer to stop, in milliseconds since the Unix epoch.
    pub stop_requested_ms: Option<u64>,
}

/// How many streams a sweep finished.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Their producers did not follow a stop in time.
    pub cancelled: usize,
    /// Their producers went silent.
    pub abandoned: usize,
}
