//! The streams of a run, and how subscribers receive them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// How many events a stream keeps: more than a subscriber lags in any scenario but `slow`.
pub(crate) const KEPT: u64 = 20_000;

/// A stream, and the token that opens it for subscribers.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) key: String,
    pub(crate) token: String,
    /// How many events were written to it. Used where the server does not number events.
    count: Arc<AtomicU64>,
}

impl Stream {
    pub(crate) fn new(key: String) -> Self {
        Self {
            key,
            token: String::new(),
            count: Arc::default(),
        }
    }

    /// Takes the number of the next event. Only one publisher at a time may call this, or the order
    /// breaks.
    pub(crate) fn count_event(&self) -> u64 {
        self.count.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn counted(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// How subscribers receive events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// Server-sent events
    Sse,
    /// WebSocket
    Ws,
}
