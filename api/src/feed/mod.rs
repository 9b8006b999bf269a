//! A tail on its way to one client: what SSE and WebSocket have in common. Batches as they come, heartbeats in silence, and
//! one reason to close, whatever waits.

use std::{
    pin::{Pin, pin},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::FutureExt;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::{
    lifecycle::Lifecycle,
    store::{Batch, Tail, TailError},
};

mod slots;

pub use slots::{AllTaken, Release, Slot, Slots};

/// Delays between attempts while the store fails: doubled from the first to the last, each with jitter.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// The times that a feed keeps.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Silence after which a heartbeat goes out.
    pub heartbeat: Duration,
    /// Time without an event after which the connection is closed.
    pub idle: Duration,
    /// How long the store may fail.
    pub patience: Duration,
}

/// What is to be done next for a client.
#[derive(Debug)]
pub enum Step {
    /// Send these.
    Batch(Batch),
    /// Nothing to send: write anything, to show the client that the broker is there and to see whether the client is.
    Heartbeat,
    /// Close the connection; there is no other step.
    Close(Reason),
}

/// Why a connection is closed by the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The client has the stream's last event.
    Ended,
    /// The stream expired or was replaced.
    Gone,
    /// No event for the client timeout. The client may resume.
    Idle,
    /// The node stops. The client should resume, on another one.
    Shutdown,
    /// The store has failed for too long. The client should resume, on another node.
    StoreUnavailable,
}

/// The pump: yields the next [`Step`] for a client. Dropped, it frees the tail, then the slot.
pub struct Feed {
    // In this order: whoever gets the slot finds the tail's connection free.
    tail: Box<dyn Tail>,
    slot: Slot,
    pace: Pace,
    closing: Wait,
    probed: Wait,
    timer: Pin<Box<Sleep>>,
    last_event: Instant,
    last_output: Instant,
    failing: Option<Failing>,
    closed: Option<Reason>,
}

/// A wait that is kept from step to step: to begin it anew for each would cost more than to deliver an event.
type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Since when the store fails, and when to ask again.
struct Failing {
    since: Instant,
    delay: Duration,
    retry: Pin<Box<Sleep>>,
}

impl Feed {
    /// A feed of this tail for the holder of this slot.
    #[must_use]
    pub fn new(tail: Box<dyn Tail>, slot: Slot, pace: Pace, lifecycle: &Lifecycle) -> Self {
        let now = Instant::now();
        let lifecycle = lifecycle.clone();
        let closing = Box::pin(async move { lifecycle.closing().await });
        let probed = Box::pin(slot.probes());
        let timer = Box::pin(sleep_until(now + pace.heartbeat.min(pace.idle)));
        Self { tail, slot, pace, closing, probed, timer, last_event: now, last_output: now, failing: None, closed: None }
    }

    /// Whether it must be let go as soon as its client has left or has stopped to read.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.tail.is_scarce()
    }

    /// What frees the client's slot while the feed itself is out of reach.
    #[must_use]
    pub fn release(&self) -> Release {
        self.slot.release()
    }

    /// The next step. Cancel safe.
    pub async fn next(&mut self) -> Step {
        let step = match self.closed {
            Some(reason) => Step::Close(reason),
            None => self.wait().await,
        };
        self.last_output = Instant::now();
        match &step {
            Step::Batch(batch) => {
                self.last_event = self.last_output;
                if batch.end {
                    self.closed = Some(Reason::Ended);
                }
            }
            Step::Heartbeat => {}
            Step::Close(reason) => self.closed = Some(*reason),
        }
        step
    }

    async fn wait(&mut self) -> Step {
        loop {
            let Self { tail, failing, timer, closing, probed, .. } = self;
            // Closing comes first, as a busy stream would keep its client for ever.
            tokio::select! {
                biased;
                () = closing => return self.close(),
                batch = ask(tail.as_mut(), failing) => match batch {
                    Ok(batch) => {
                        self.failing = None;
                        if !batch.is_empty() {
                            return Step::Batch(batch);
                        }
                    }
                    Err(TailError::Gone) => return Step::Close(Reason::Gone),
                    Err(TailError::Store(error)) => {
                        tracing::debug!(%error, "the store failed a tail");
                        if !self.may_retry() {
                            return Step::Close(Reason::StoreUnavailable);
                        }
                    }
                },
                () = timer => if let Some(step) = self.is_due() {
                    return step;
                },
                () = probed => {
                    self.probed = Box::pin(self.slot.probes());
                    return Step::Heartbeat;
                }
            }
        }
    }

    /// What is due, if anything is. The timer is set when it has run out, not with every event, which only moves the times
    /// back: it is often early and then set again.
    fn is_due(&mut self) -> Option<Step> {
        let now = Instant::now();
        let heartbeat = self.last_output + self.pace.heartbeat;
        let idle = self.last_event + self.pace.idle;
        let step = match now {
            now if now >= idle => Some(Step::Close(Reason::Idle)),
            now if now >= heartbeat => Some(Step::Heartbeat),
            _ => None,
        };
        let heartbeat = if step.is_some() { now + self.pace.heartbeat } else { heartbeat };
        self.timer.as_mut().reset(heartbeat.min(idle));
        step
    }

    /// The node stops: what is ready now is still sent.
    fn close(&mut self) -> Step {
        self.closed = Some(Reason::Shutdown);
        match self.tail.next().now_or_never() {
            Some(Ok(batch)) if !batch.is_empty() => Step::Batch(batch),
            _ => Step::Close(Reason::Shutdown),
        }
    }

    /// Sets the time of the next attempt, unless the store has failed for too long.
    fn may_retry(&mut self) -> bool {
        let now = Instant::now();
        if self.failing.is_none() {
            warn_now_and_then();
        }
        let (since, delay) = match &self.failing {
            Some(failing) => (failing.since, (failing.delay * 2).min(LAST_RETRY)),
            None => (now, FIRST_RETRY),
        };
        let jittered = delay.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.failing = Some(Failing { since, delay, retry: Box::pin(sleep_until(now + jittered)) });
        now - since < self.pace.patience
    }
}

/// Asks the tail, after the wait that a failure set.
async fn ask(tail: &mut dyn Tail, failing: &mut Option<Failing>) -> Result<Batch, TailError> {
    if let Some(failing) = failing {
        // A sleep that is over is over at once when waited for again.
        pin!(&mut failing.retry).await;
    }
    tail.next().await
}

/// Says that clients wait for the store; not for each of them, who may be ten thousand.
fn warn_now_and_then() {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    const INTERVAL: Duration = Duration::from_secs(5);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if last.is_none_or(|last| last.elapsed() >= INTERVAL) {
        *last = Some(Instant::now());
        tracing::warn!("clients wait for the store, which fails");
    }
}
