//! What a client and the rounds that look after all of them share. One task goes round for every
//! client of the node: a timer and a handful of waits for each would cost more memory than the rest
//! of a silent client, and more time than to deliver an event.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::Context,
    time::Duration,
};

use futures::task::AtomicWaker;
use tokio::time::Instant;

use super::{
    Timeouts,
    membership::{Membership, StreamPermit},
    metadata::{Identity, SessionInfo},
};
use crate::{
    stream::{EventId, StreamKey},
    telemetry::metrics::{ClientMetrics, Departure},
};

/// What a client is `poll_signal` on to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Signal {
    /// The node stops.
    Close,
    /// An operator wants it gone.
    Disconnect,
    /// There was no event for too long.
    Idle,
    /// There was no output for long, or somebody wants to know whether the client is still there.
    Heartbeat,
}

impl Signal {
    const ALL: [Self; 4] = [Self::Close, Self::Disconnect, Self::Idle, Self::Heartbeat];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A client as the rounds see it.
#[derive(Debug)]
pub(super) struct Liveness {
    pub(super) identity: Identity,
    membership: Mutex<Option<Membership>>,
    pub(super) metrics: Arc<ClientMetrics>,
    timeouts: Timeouts,
    /// When, of the time over which the node's clients are closed, this one is: 0 at once, 1 last.
    turn: f64,
    begun: Instant,
    /// Milliseconds since `begun` of the last event and the last output.
    event: AtomicU64,
    output: AtomicU64,
    /// The same of what the client was given and has not taken; 0 when it waits for more.
    given: AtomicU64,
    /// Events and bytes that were handed to its connection.
    events: AtomicU64,
    bytes: AtomicU64,
    signals: AtomicU8,
    waker: AtomicWaker,
}

impl Liveness {
    pub(super) fn new(
        identity: Identity,
        membership: Membership,
        timeouts: Timeouts,
        metrics: Arc<ClientMetrics>,
    ) -> Self {
        Self {
            identity,
            membership: Mutex::new(Some(membership)),
            metrics,
            timeouts,
            turn: fastrand::f64(),
            begun: Instant::now(),
            event: AtomicU64::new(0),
            output: AtomicU64::new(0),
            given: AtomicU64::new(0),
            events: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            signals: AtomicU8::new(0),
            waker: AtomicWaker::new(),
        }
    }

    /// No code panics while it holds the lock, so that what is behind a poisoned one is whole.
    fn membership(&self) -> MutexGuard<'_, Option<Membership>> {
        self.membership
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the client still counts.
    pub(super) fn has_membership(&self) -> bool {
        self.membership().is_some()
    }

    /// Says why the client is about to be gone.
    pub(super) fn set_disconnect_reason(&self, reason: Departure) {
        if let Some(membership) = self.membership().as_mut() {
            membership.set_disconnect_reason(reason);
        }
    }

    /// The client is gone: whatever it had is free.
    pub(super) fn leave(&self) {
        self.membership().take();
    }

    /// Follows one more stream, unless the client is gone.
    pub(super) fn follow(&self, key: StreamKey, permit: StreamPermit) {
        if let Some(membership) = self.membership().as_mut() {
            membership.follow([(key, permit)]);
        }
    }

    /// Follows a stream no longer; returns the seat that it had.
    pub(super) fn unfollow(&self, key: &StreamKey) -> StreamPermit {
        self.membership().as_mut()?.unfollow(key)
    }

    /// Whether it follows the stream.
    pub(super) fn follows(&self, key: &StreamKey) -> bool {
        self.membership()
            .as_ref()
            .is_some_and(|membership| membership.follows(key))
    }

    /// Counts what was handed to the client's connection of a stream, up to this event.
    pub(super) fn delivered(&self, key: &StreamKey, last: EventId, events: usize, bytes: usize) {
        self.events.fetch_add(events as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if let Some(membership) = self.membership().as_mut() {
            membership.sent(key, last.n);
        }
    }

    /// The client as it is now; none when it is gone.
    pub(super) fn describe(&self) -> Option<SessionInfo> {
        let streams = self.membership().as_ref()?.streams().collect();
        let (events, bytes) = (
            self.events.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        );
        let Identity {
            id,
            since_ms,
            address,
            ..
        } = self.identity;
        Some(SessionInfo {
            id,
            metadata: self.identity.metadata(),
            streams,
            since_ms,
            address,
            events,
            bytes,
        })
    }

    /// Lets the client go; whether it was there. What it had is free at once: one that takes
    /// nothing would notice the call only when it does.
    pub(super) fn disconnect(&self) -> bool {
        let was_there = self.membership().take().is_some_and(|mut membership| {
            membership.set_disconnect_reason(Departure::Disconnected);
            true
        });
        if was_there {
            self.signal(Signal::Disconnect);
        }
        was_there
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Something was put out, an event perhaps.
    pub(super) fn record_output(&self, event: bool) {
        let now = self.now();
        self.output.store(now, Ordering::Relaxed);
        if event {
            self.event.store(now, Ordering::Relaxed);
        }
    }

    /// The client was given something, and is not there for more until it has taken it.
    pub(super) fn given(&self) {
        self.given.store(self.now().max(1), Ordering::Relaxed);
    }

    /// The client has taken all.
    pub(super) fn taken(&self) {
        self.given.store(0, Ordering::Relaxed);
    }

    /// The most pressing call, if there is one; else the task is woken by the next.
    pub(super) fn poll_signal(&self, context: &Context<'_>) -> Option<Signal> {
        self.waker.register(context.waker());
        if self.signals.load(Ordering::Acquire) == 0 {
            return None;
        }
        let signals = self.signals.swap(0, Ordering::AcqRel);
        Signal::ALL
            .into_iter()
            .find(|signal| signals & signal.bit() != 0)
    }

    /// Whether an operator wants the client gone; else the task is woken by the next call. The call
    /// remains.
    pub(super) fn is_dismissed(&self, context: &Context<'_>) -> bool {
        self.waker.register(context.waker());
        self.signals.load(Ordering::Acquire) & Signal::Disconnect.bit() != 0
    }

    fn signal(&self, signal: Signal) {
        self.signals.fetch_or(signal.bit(), Ordering::AcqRel);
        self.waker.wake();
    }

    /// Asks a client that has been silent for a moment to show that it is there.
    pub(super) fn probe(&self, silence: Duration) {
        if self.since(&self.output) >= silence {
            self.signal(Signal::Heartbeat);
        }
    }

    fn since(&self, moment: &AtomicU64) -> Duration {
        Duration::from_millis(self.now().saturating_sub(moment.load(Ordering::Relaxed)))
    }

    /// Looks after the client, once in every round. `closing`: how far the closing of all clients
    /// has come, from 0 to 1.
    pub(super) fn check(&self, closing: Option<f64>) {
        if closing.is_some_and(|progress| progress >= self.turn) {
            return self.signal(Signal::Close);
        }
        let given = self.given.load(Ordering::Relaxed);
        if given != 0 {
            // One that takes nothing for so long is as good as gone, and its slot is somebody
            // else's. What else it has, a batch and Rocket's buffers, goes with its connection.
            if self.since(&self.given) >= self.timeouts.idle {
                self.set_disconnect_reason(Departure::Stalled);
                self.leave();
            }
        } else if self.since(&self.event) >= self.timeouts.idle {
            self.signal(Signal::Idle);
        } else if self.since(&self.output) >= self.timeouts.heartbeat {
            self.signal(Signal::Heartbeat);
        }
    }
}
