//! What a producer promises of its stream, and until when.

use std::time::Duration;

/// How long the producer of a stream may do nothing. Zero: for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Promise {
    /// The producer shows at least so often that it lives.
    pub lease: Duration,
    /// The producer writes an event at least so often.
    pub stall: Duration,
}

/// What a producer asks for when it renews its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewal {
    /// It follows a stop, and needs the grace once more. Only the first time counts.
    pub stop_ack: bool,
    /// A new lease, from now on. Zero ends the lease. None: the lease that it has.
    pub lease: Option<Duration>,
    /// A new stall, from now on. Zero ends it. None: it stays as it is.
    pub stall: Option<Duration>,
}

/// The deadlines of an active stream. Times are in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadlines {
    /// How often the producer has to show that it lives. None: it need not.
    pub lease: Option<Duration>,
    /// When the broker abandons the stream, unless the producer shows that it lives.
    pub lease_expires_ms: Option<u64>,
    /// When the broker abandons the stream, unless the producer writes an event.
    pub stall_expires_ms: Option<u64>,
}
