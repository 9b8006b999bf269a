//! What the registry watches of each session: when it last wrote something, and whether its
//! subscriber takes it.
//!
//! One task checks the sessions of the whole node. A timer and several waits for each session would
//! cost more memory than the rest of a silent session, and more CPU than delivering an event.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use futures::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{
    limits::Member,
    membership::{Membership, StreamPermit},
    metadata::{Identity, SessionInfo},
};
use crate::{
    stream::{SharedPosition, StreamKey},
    telemetry::metrics::{ClientMetrics, DisconnectReason},
};

/// The times that a session keeps.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Silence after which a heartbeat goes out.
    pub heartbeat: Duration,
    /// Time without an event after which the connection is closed. A subscriber that takes nothing
    /// for this long loses its admission.
    pub idle: Duration,
}

/// What the registry asks a session to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Instruction {
    /// Close: the node stops.
    Shutdown,
    /// Close: an operator disconnects the subscriber.
    Disconnect,
    /// Close: there was no event for too long.
    Idle,
    /// Write something: there was no output for long, or another subscriber waits for a permit.
    Heartbeat,
}

impl Instruction {
    /// The most urgent first.
    const ALL: [Self; 4] = [
        Self::Shutdown,
        Self::Disconnect,
        Self::Idle,
        Self::Heartbeat,
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The liveness of one session. The session reports what it does; the registry reads it and sends
/// instructions.
#[derive(Debug)]
pub(super) struct Liveness {
    pub(super) identity: Identity,
    /// None once the session is over.
    membership: Mutex<Option<Membership>>,
    pub(super) metrics: Arc<ClientMetrics>,
    timeouts: Timeouts,
    /// When the session closes during a shutdown: 0 is first, 1 is last.
    turn: f64,
    started: Instant,
    /// When the last event was written, in milliseconds since `started`.
    last_event: AtomicU64,
    /// When anything was written last.
    last_output: AtomicU64,
    /// Since when the subscriber has not taken what was written; 0 when it has taken everything.
    untaken_since: AtomicU64,
    /// Events that were handed to the connection.
    events: AtomicU64,
    /// Bytes of the frames and messages with these events.
    bytes: AtomicU64,
    instructions: AtomicU8,
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
            started: Instant::now(),
            last_event: AtomicU64::new(0),
            last_output: AtomicU64::new(0),
            untaken_since: AtomicU64::new(0),
            events: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            instructions: AtomicU8::new(0),
            waker: AtomicWaker::new(),
        }
    }

    /// Sets the reason that the metrics report when the session is over.
    pub(super) fn set_disconnect_reason(&self, reason: DisconnectReason) {
        if let Some(membership) = self.membership.lock().as_mut() {
            membership.set_disconnect_reason(reason);
        }
    }

    /// Ends the membership: the session is over, and its permits are free.
    pub(super) fn leave(&self) {
        self.membership.lock().take();
    }

    /// Adds a stream, unless the session is over.
    pub(super) fn add_stream(
        &self,
        key: StreamKey,
        position: SharedPosition,
        permit: StreamPermit,
    ) {
        if let Some(membership) = self.membership.lock().as_mut() {
            membership.add([(key, position, permit)]);
        }
    }

    /// Removes a stream, and returns its permit.
    pub(super) fn remove_stream(&self, key: &StreamKey) -> StreamPermit {
        self.membership.lock().as_mut()?.remove(key)
    }

    /// Whether the session counts as a subscriber of the stream.
    pub(super) fn has_stream(&self, key: &StreamKey) -> bool {
        let membership = self.membership.lock();
        membership
            .as_ref()
            .is_some_and(|membership| membership.has(key))
    }

    /// Counts events that were handed to the connection.
    pub(super) fn count_delivery(&self, events: usize, bytes: usize) {
        self.events.fetch_add(events as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// The session as it is now; none when it is over.
    pub(super) fn describe(&self) -> Option<SessionInfo> {
        let streams = self.membership.lock().as_ref()?.streams().collect();
        let events = self.events.load(Ordering::Relaxed);
        let bytes = self.bytes.load(Ordering::Relaxed);
        Some(self.identity.describe(streams, events, bytes))
    }

    /// Disconnects the subscriber; whether the session was still admitted. Its permits are free at
    /// once: a session whose subscriber takes nothing would receive the instruction much later.
    pub(super) fn disconnect(&self) -> bool {
        let membership = self.membership.lock().take();
        let Some(mut membership) = membership else {
            return false;
        };
        membership.set_disconnect_reason(DisconnectReason::Disconnected);
        drop(membership);
        self.send(Instruction::Disconnect);
        true
    }

    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The session writes something now.
    pub(super) fn record_output(&self, is_event: bool) {
        let now = self.now();
        self.last_output.store(now, Ordering::Relaxed);
        if is_event {
            self.last_event.store(now, Ordering::Relaxed);
        }
    }

    /// Something was handed to the connection. Until the subscriber has taken it, the session does
    /// not run.
    pub(super) fn record_handed_over(&self) {
        self.untaken_since
            .store(self.now().max(1), Ordering::Relaxed);
    }

    /// The subscriber has taken everything.
    pub(super) fn record_taken(&self) {
        self.untaken_since.store(0, Ordering::Relaxed);
    }

    /// Takes the most urgent instruction. If there is none, the next instruction wakes the task.
    pub(super) fn poll_instruction(&self, context: &Context<'_>) -> Poll<Instruction> {
        self.waker.register(context.waker());
        if self.instructions.load(Ordering::Acquire) == 0 {
            return Poll::Pending;
        }
        let instructions = self.instructions.swap(0, Ordering::AcqRel);
        let most_urgent = Instruction::ALL
            .into_iter()
            .find(|instruction| instructions & instruction.bit() != 0);
        most_urgent.map_or(Poll::Pending, Poll::Ready)
    }

    /// Resolves when an operator disconnects the subscriber. The instruction stays.
    pub(super) fn poll_disconnect(&self, context: &Context<'_>) -> Poll<()> {
        self.waker.register(context.waker());
        if self.instructions.load(Ordering::Acquire) & Instruction::Disconnect.bit() == 0 {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    fn send(&self, instruction: Instruction) {
        self.instructions
            .fetch_or(instruction.bit(), Ordering::AcqRel);
        self.waker.wake();
    }

    fn since(&self, moment: &AtomicU64) -> Duration {
        let moment = moment.load(Ordering::Relaxed);
        Duration::from_millis(self.now().saturating_sub(moment))
    }

    /// Sends the instruction that is due, if one is. `shutdown` is how far the shutdown has come,
    /// from 0 to 1.
    pub(super) fn check(&self, shutdown: Option<f64>) {
        if shutdown.is_some_and(|progress| progress >= self.turn) {
            return self.send(Instruction::Shutdown);
        }
        if self.untaken_since.load(Ordering::Relaxed) != 0 {
            // A subscriber that takes nothing for so long is as good as gone. What else the session
            // holds, a batch and Rocket's buffers, is freed with its connection.
            if self.since(&self.untaken_since) >= self.timeouts.idle {
                self.set_disconnect_reason(DisconnectReason::Stalled);
                self.leave();
            }
        } else if self.since(&self.last_event) >= self.timeouts.idle {
            self.send(Instruction::Idle);
        } else if self.since(&self.last_output) >= self.timeouts.heartbeat {
            self.send(Instruction::Heartbeat);
        }
    }
}

impl Member for Liveness {
    fn probe(&self, silence: Duration) {
        if self.since(&self.last_output) >= silence {
            self.send(Instruction::Heartbeat);
        }
    }

    fn is_admitted(&self) -> bool {
        self.membership.lock().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_session_takes_little_memory() {
        // What most sessions lack, such as a name and tags, is elsewhere.
        assert!(size_of::<Liveness>() <= 272, "{}", size_of::<Liveness>());
    }
}
