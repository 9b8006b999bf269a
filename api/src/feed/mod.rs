//! A tail on its way to one client: what SSE and WebSocket have in common. Batches as they come, heartbeats in silence, and
//! one reason to close, whatever waits.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tracing::Span;

use self::pulse::Call;
use crate::{
    event::EventId,
    metrics::Departure,
    store::{Batch, Tail, TailError},
};

mod address;
mod group;
mod pulse;
mod slots;

pub use slots::{Full, Limits, Newcomer, Slot, Slots};

/// Of a client's live batches the first of so many is timed: a look at the clock and a histogram's lock cost several percent of
/// what a delivery does. A power of two, so that counting may begin anew.
const TIMED: u32 = 16;

/// Delays between attempts while the store fails: doubled from the first to the last, each with jitter.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// How long a client is kept, when the node stops, for what has been written but is still on its way from the store.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// The times that a client's connection keeps.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Silence after which a heartbeat goes out.
    pub heartbeat: Duration,
    /// Time without an event, or without the client's taking what it was given, after which the connection is closed.
    pub idle: Duration,
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

impl From<Reason> for Departure {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Ended => Self::Ended,
            Reason::Gone => Self::Gone,
            Reason::Idle => Self::Idle,
            Reason::Shutdown => Self::Shutdown,
            Reason::StoreUnavailable => Self::Store,
        }
    }
}

/// The pump: yields the next [`Step`] for a client. Dropped, it frees the tail, then the slot.
pub struct Feed {
    // In this order: whoever gets the slot finds the tail's connection free.
    tail: Box<dyn Tail>,
    slot: Slot,
    /// The newest event when the client came: what is newer is live.
    newest: EventId,
    /// How many batches of them there were.
    live_batches: u32,
    patience: Duration,
    /// The request's, which was answered long ago.
    span: Span,
    failing: Option<Failing>,
    closed: Option<Reason>,
}

/// Since when the store fails, and when to ask again.
struct Failing {
    since: Instant,
    delay: Duration,
    retry: Pin<Box<Sleep>>,
}

impl Feed {
    /// A feed of this tail, of a stream whose newest event is this, for the holder of this slot; `patience` is how long the
    /// store may fail.
    #[must_use]
    pub fn new(tail: Box<dyn Tail>, newest: EventId, slot: Slot, patience: Duration) -> Self {
        Self { tail, slot, newest, live_batches: 0, patience, span: Span::current(), failing: None, closed: None }
    }

    /// Counts a batch that is about to be handed to the client's connection, in so many bytes.
    pub fn delivered(&mut self, batch: &Batch, bytes: usize) {
        let metrics = self.slot.metrics();
        metrics.deliver(batch.parts.iter().map(|part| part.entries().len()).sum(), bytes);
        if batch.missed.is_some() {
            metrics.missed.inc();
        }
        if let Some(first) = batch.parts.first().and_then(|part| part.entries().first())
            && first.id > self.newest
        {
            if self.live_batches.is_multiple_of(TIMED) {
                metrics.observe_latency(first.id.ms);
            }
            self.live_batches = self.live_batches.wrapping_add(1);
        }
    }

    /// The client does not take what it is given, and is let go.
    pub fn stalled(&self) {
        self.slot.departs(Departure::Stalled);
    }

    /// Whether it must be let go as soon as its client has left or has stopped to read.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.tail.is_scarce()
    }

    /// The client was given what the last step was for. Until it has taken that, nobody asks for the next step; if this goes
    /// on for too long, the slot is freed.
    pub fn given(&self) {
        self.slot.given();
    }

    /// The client has taken what it was given.
    pub fn taken(&self) {
        self.slot.taken();
    }

    /// The next step. Cancel safe.
    pub async fn next(&mut self) -> Step {
        let step = match self.closed {
            Some(reason) => Step::Close(reason),
            None => self.wait().await,
        };
        self.slot.put_out(matches!(step, Step::Batch(_)));
        match &step {
            Step::Batch(batch) if batch.end => self.closed = Some(Reason::Ended),
            Step::Batch(_) => {}
            Step::Heartbeat => _ = self.slot.metrics().heartbeats.inc(),
            Step::Close(reason) => self.closed = Some(*reason),
        }
        if let Some(reason) = self.closed {
            self.slot.departs(reason.into());
        }
        step
    }

    async fn wait(&mut self) -> Step {
        loop {
            let asked = {
                let Self { tail, failing, slot, .. } = self;
                let mut asked = pin!(ask(tail.as_mut(), failing));
                // Calls come first, as a busy stream would keep its client for ever.
                poll_fn(|context| match slot.called(context) {
                    Some(call) => Poll::Ready(Err(call)),
                    None => asked.as_mut().poll(context).map(Ok),
                })
                .await
            };
            match asked {
                Ok(Ok(batch)) => {
                    self.failing = None;
                    if !batch.is_empty() {
                        return Step::Batch(batch);
                    }
                }
                Ok(Err(TailError::Gone)) => return Step::Close(Reason::Gone),
                Ok(Err(TailError::Store(error))) => {
                    tracing::debug!(parent: &self.span, %error, "the store failed a tail");
                    if !self.may_retry() {
                        return Step::Close(Reason::StoreUnavailable);
                    }
                }
                Err(Call::Close) => {
                    self.closed = Some(Reason::Shutdown);
                    return self.what_comes_within(ON_ITS_WAY).await.unwrap_or(Step::Close(Reason::Shutdown));
                }
                Err(Call::Idle) => return self.what_comes_within(Duration::ZERO).await.unwrap_or(Step::Close(Reason::Idle)),
                Err(Call::Heartbeat) => return Step::Heartbeat,
            }
        }
    }

    /// What a client is owed before it is closed.
    async fn what_comes_within(&mut self, time: Duration) -> Option<Step> {
        match timeout(time, self.tail.next()).await {
            Ok(Ok(batch)) if !batch.is_empty() => Some(Step::Batch(batch)),
            _ => None,
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
        now - since < self.patience
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
