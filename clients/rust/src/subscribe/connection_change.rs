//! What a subscription reports of its connection.

use std::{fmt, sync::Arc, time::Duration};

use tracing::{debug, info};

use crate::{Error, log::Cause};

/// The state of a subscription's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// The library connects.
    Connecting,
    /// The broker has accepted the subscription.
    Open,
    /// The connection failed. The next attempt comes after a delay.
    Waiting,
    /// The subscription is over.
    Closed,
}

impl ConnectionState {
    /// The state as one word: `connecting`, `open`, `waiting`, `closed`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Open => "open",
            Self::Waiting => "waiting",
            Self::Closed => "closed",
        }
    }
}

/// A change of a subscription's connection.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ConnectionChange<'a> {
    /// The new state.
    pub state: ConnectionState,
    /// The number of the attempt to connect, from 1. It begins again after the next event.
    pub attempt: u32,
    /// Why the connection failed, or the subscription.
    pub error: Option<&'a Error>,
    /// How long the library waits before the next attempt.
    pub retry_in: Option<Duration>,
}

/// The caller's function that receives changes.
pub(super) type OnConnection = Arc<dyn Fn(ConnectionChange<'_>) + Send + Sync>;

/// A connection reporter reports each change of a subscription's connection, to the caller and to
/// the log.
pub(super) struct ConnectionReporter {
    on_change: Option<OnConnection>,
    attempt: u32,
    /// Whether an event came since the last attempt.
    had_event: bool,
    is_closed: bool,
}

impl ConnectionReporter {
    pub(super) fn new(on_change: Option<OnConnection>) -> Self {
        Self {
            on_change,
            attempt: 0,
            had_event: false,
            is_closed: false,
        }
    }

    /// The subscription has received an event.
    pub(super) fn event(&mut self) {
        self.had_event = true;
    }

    pub(super) fn connecting(&mut self) {
        if std::mem::take(&mut self.had_event) {
            self.attempt = 0;
        }
        self.attempt = self.attempt.saturating_add(1);
        debug!(target: "tinistreamer", "the subscription connects: attempt {}", self.attempt);
        self.report(ConnectionState::Connecting, None, None);
    }

    pub(super) fn open(&self) {
        debug!(target: "tinistreamer", "the subscription is open");
        self.report(ConnectionState::Open, None, None);
    }

    pub(super) fn waiting(&self, error: &Error, retry_in: Duration) {
        info!(
            target: "tinistreamer",
            "the connection of a subscription failed, the next attempt comes in {retry_in:?}: {}",
            Cause(error)
        );
        self.report(ConnectionState::Waiting, Some(error), Some(retry_in));
    }

    pub(super) fn closed(&mut self, error: Option<&Error>) {
        if std::mem::replace(&mut self.is_closed, true) {
            return;
        }
        match error {
            None => debug!(target: "tinistreamer", "the subscription is over"),
            Some(error) => {
                debug!(target: "tinistreamer", "the subscription failed: {}", Cause(error));
            }
        }
        self.report(ConnectionState::Closed, error, None);
    }

    fn report(&self, state: ConnectionState, error: Option<&Error>, retry_in: Option<Duration>) {
        if let Some(on_change) = &self.on_change {
            on_change(ConnectionChange {
                state,
                attempt: self.attempt,
                error,
                retry_in,
            });
        }
    }
}

impl Drop for ConnectionReporter {
    fn drop(&mut self) {
        // A subscription that never connected has nothing to close.
        if self.attempt > 0 {
            self.closed(None);
        }
    }
}

impl fmt::Debug for ConnectionReporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionReporter")
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}
