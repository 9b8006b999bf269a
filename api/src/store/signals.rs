//! What a store says of the signals of a stream.

use std::time::Duration;

use crate::stream::{Generation, Signal, Status};

/// Bytes of signals after which a read returns what it has.
pub const SIGNAL_PAGE_BYTES: usize = 64 << 10;

/// A consistent read of a stream's signals from a number on.
#[derive(Clone, Debug)]
pub struct SignalPage {
    /// Distinguishes the stream from every other that has had its key.
    pub generation: Generation,
    /// Whether the stream is active, or how it was finished.
    pub status: Status,
    /// Time until the stream expires, unless something is written.
    pub ttl: Duration,
    /// The signals, in order. More may follow, unless there are none.
    pub signals: Vec<Signal>,
}
