//! Tails on their way to one client: what all transports have in common. Batches as they come,
//! heartbeats in silence, and one reason to close, whatever waits.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep_until, timeout};
use tracing::Span;

use super::{
    admission::Admission, liveness::Signal, registry::LimitReached, subscription::Subscription,
};
use crate::{
    store::{Batch, Gone, News, Page, StoreError, Tails},
    stream::{Position, StreamKey},
    telemetry::metrics::Departure,
};

/// Of a client's live batches the first of so many is timed: a look at the clock and a histogram's
/// lock cost several percent of what a delivery does. A power of two, so that counting may begin
/// anew.
const TIMED: u32 = 16;

/// Delays between attempts while the store fails: doubled from the first to the last, each with
/// jitter.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(1);

/// How long a client is kept, when the node stops, for what has been written but is still on its
/// way from the store.
const ON_ITS_WAY: Duration = Duration::from_millis(250);

/// The times that a client's connection keeps.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// Silence after which a heartbeat goes out.
    pub heartbeat: Duration,
    /// Time without an event, or without the client's taking what it was given, after which the
    /// connection is closed.
    pub idle: Duration,
}

/// What is to be done next for a client. Streams are told by their place among
/// [`Subscription::streams`], until the next step.
#[derive(Debug)]
pub enum Step {
    /// Send what is new in this stream, as far as the filter passes it.
    Batch(usize, Batch),
    /// This stream is no more: tell it. Where the client has but one, the connection is closed
    /// instead.
    Gone(usize),
    /// Tell the client where it is in these streams: events that it does not want were passed over.
    Positions(Vec<usize>),
    /// What was there when the client came is passed over or sent.
    CaughtUp,
    /// Nothing to send: write anything, to show the client that the broker is there and to see
    /// whether the client is.
    Heartbeat,
    /// Close the connection; there is no other step.
    Close(CloseReason),
}

/// Why a connection is closed by the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client has the last events of its streams.
    Ended,
    /// The stream expired or was replaced, and so did all others.
    Gone,
    /// No event for the client timeout. The client may resume.
    Idle,
    /// The node stops. The client should resume, on another one.
    Shutdown,
    /// The store has failed for too long. The client should resume, on another node.
    StoreUnavailable,
    /// An operator wants it gone.
    Disconnected,
}

impl From<CloseReason> for Departure {
    fn from(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Ended => Self::Ended,
            CloseReason::Gone => Self::Gone,
            CloseReason::Idle => Self::Idle,
            CloseReason::Shutdown => Self::Shutdown,
            CloseReason::StoreUnavailable => Self::Store,
            CloseReason::Disconnected => Self::Disconnected,
        }
    }
}

/// The pump: yields the next [`Step`] for a client. Dropped, it frees the tails, then the slot.
pub struct Session {
    // In this order: whoever gets the slot finds the tails' connection free.
    subscription: Subscription,
    admission: Admission,
    /// How many live batches there were.
    live_batches: u32,
    patience: Duration,
    /// The request's, which was answered long ago.
    span: Span,
    failing: Option<Failing>,
    closed: Option<CloseReason>,
}

/// Since when the store fails, and when to ask again.
struct Failing {
    since: Instant,
    delay: Duration,
    retry: Pin<Box<Sleep>>,
}

impl Session {
    /// A feed for the holder of this slot; `patience` is how long the store may fail.
    #[must_use]
    pub fn new(subscription: Subscription, admission: Admission, patience: Duration) -> Self {
        for stream in subscription.streams() {
            begins_at(&admission, &stream.key, stream.position);
        }
        Self {
            subscription,
            admission,
            live_batches: 0,
            patience,
            span: Span::current(),
            failing: None,
            closed: None,
        }
    }

    /// What it reads.
    #[must_use]
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// What it reads, to be changed.
    pub fn reading_mut(&mut self) -> &mut Subscription {
        &mut self.subscription
    }

    /// Takes what one more stream, in which the client is at this position, takes up of the limits.
    pub fn follow(&self, key: &StreamKey, position: Position) -> Result<(), LimitReached> {
        self.admission.follow(key)?;
        begins_at(&self.admission, key, position);
        Ok(())
    }

    /// Lets a stream go; where the client was in it, if it was there.
    pub fn unfollow(&mut self, key: &StreamKey) -> Option<Position> {
        let position = self.subscription.remove(key);
        if position.is_some() {
            self.admission.unfollow(key);
        }
        position
    }

    /// Closes the connection at the next step if nothing more can come.
    pub fn close_if_over(&mut self) {
        self.closed = self.all_over().or(self.closed);
    }

    /// Counts a batch that is about to be handed to the client's connection, in so many bytes.
    pub fn delivered(&mut self, stream: usize, batch: &Batch, bytes: usize) {
        let events = match self.subscription.filter() {
            None => batch.parts.iter().map(|part| part.entries().len()).sum(),
            Some(filter) => batch
                .entries()
                .filter(|entry| filter.passes(&entry.name))
                .count(),
        };
        let stream = self.subscription.streams().get(stream);
        if let (Some(stream), Some(last)) = (stream, batch.entries().next_back()) {
            self.admission
                .delivered(&stream.key, last.id, events, bytes);
        }
        let metrics = self.admission.metrics();
        metrics.deliver(events, bytes);
        if batch.missed.is_some() {
            metrics.missed.inc();
        }
        if let (Some(first), Some(stream)) = (batch.entries().next(), stream)
            && stream.is_live(first.id)
        {
            if self.live_batches.is_multiple_of(TIMED) {
                metrics.observe_latency(first.id.ms);
            }
            self.live_batches = self.live_batches.wrapping_add(1);
        }
    }

    /// The client does not take what it is given, and is let go.
    pub fn stalled(&self) {
        self.admission.set_disconnect_reason(Departure::Stalled);
    }

    /// Lets the streams go. The slot remains, for as long as the client takes what it was given.
    #[must_use]
    pub fn into_slot(self) -> Admission {
        self.admission
    }

    /// Resolves when an operator wants the client gone: for whoever waits until it has taken what
    /// it was given, and so does not ask for the next step.
    pub fn dismissed(&self) -> impl Future<Output = ()> {
        self.admission.dismissed()
    }

    /// Whether it must be let go as soon as its client has left or has stopped to read.
    #[must_use]
    pub fn is_scarce(&self) -> bool {
        self.subscription.is_scarce()
    }

    /// The client was given what the last step was for. Until it has taken that, nobody asks for
    /// the next step; if this goes on for too long, the slot is freed.
    pub fn given(&self) {
        self.admission.given();
    }

    /// The client has taken what it was given.
    pub fn taken(&self) {
        self.admission.taken();
    }

    /// The next step. Cancel safe.
    pub async fn next(&mut self) -> Step {
        let step = match self.closed {
            // The last batch need not be of a stream of which something was passed over.
            Some(reason) => self.close(reason),
            None => self.wait().await,
        };
        self.record(&step);
        step
    }

    /// The next step that no stream causes: the node stops, an operator or a deadline ends the
    /// connection, or it was silent for long. For a transport that can deliver nothing at the
    /// moment. Cancel safe.
    pub async fn interrupted(&mut self) -> Step {
        let step = if let Some(
            reason @ (CloseReason::Shutdown | CloseReason::Idle | CloseReason::Disconnected),
        ) = self.closed
        {
            self.close(reason)
        } else {
            let admission = &self.admission;
            let signal = poll_fn(|context| {
                admission
                    .poll_signal(context)
                    .map_or(Poll::Pending, Poll::Ready)
            })
            .await;
            self.handle_signal(signal).await
        };
        self.record(&step);
        step
    }

    fn record(&mut self, step: &Step) {
        self.admission
            .record_output(matches!(step, Step::Batch(..) | Step::Gone(_)));
        match step {
            Step::Batch(_, Batch { end: true, .. }) | Step::Gone(_) => {
                self.closed = self.all_over().or(self.closed);
            }
            Step::Batch(..) | Step::Positions(_) | Step::CaughtUp => {}
            Step::Heartbeat => _ = self.admission.metrics().heartbeats.inc(),
            Step::Close(reason) => self.closed = Some(*reason),
        }
        if let Step::Batch(index, Batch { end: true, .. }) | Step::Gone(index) = step
            && self.closed.is_none()
            && let Some(stream) = self.subscription.streams().get(*index)
        {
            self.admission.unfollow(&stream.key);
        }
        if let Some(reason) = self.closed {
            self.admission.set_disconnect_reason(reason.into());
        }
    }

    async fn handle_signal(&mut self, signal: Signal) -> Step {
        match signal {
            Signal::Close => self.last_of(CloseReason::Shutdown, ON_ITS_WAY).await,
            Signal::Disconnect => Step::Close(CloseReason::Disconnected),
            Signal::Idle => self.last_of(CloseReason::Idle, Duration::ZERO).await,
            Signal::Heartbeat => self.subscription.positions().unwrap_or(Step::Heartbeat),
        }
    }

    async fn wait(&mut self) -> Step {
        loop {
            if let Some(step) = self.subscription.overdue() {
                return step;
            }
            let asked = {
                let Self {
                    subscription: Subscription { tails, awaited, .. },
                    failing,
                    admission,
                    ..
                } = self;
                let mut asked = pin!(ask(tails.as_mut(), failing));
                // Calls come first, as a busy stream would keep its client for ever.
                poll_fn(|context| match admission.poll_signal(context) {
                    Some(signal) => Poll::Ready(Asked::Called(signal)),
                    None => match awaited.as_mut().map(|awaited| awaited.poll(context)) {
                        Some(Poll::Ready(page)) => Poll::Ready(Asked::Appeared(page)),
                        Some(Poll::Pending) | None => {
                            asked.as_mut().poll(context).map(Asked::Answered)
                        }
                    },
                })
                .await
            };
            match asked {
                Asked::Answered(Ok(news)) => {
                    if !self.subscription.tails.is_failing() {
                        self.failing = None;
                    }
                    let number = news.stream;
                    let step = self.subscription.take(news);
                    if self.subscription.filter().is_some()
                        && !matches!(step, Some(Step::Batch(..) | Step::Gone(_)))
                    {
                        self.passed_over(number);
                    }
                    match step {
                        Some(Step::Gone(_)) if !self.subscription.is_keyed() => {
                            return self.close(CloseReason::Gone);
                        }
                        Some(step) => return step,
                        None => {}
                    }
                    // A filter may pass over a long history, all of which is there.
                    tokio::task::consume_budget().await;
                }
                Asked::Answered(Err(error)) => {
                    tracing::debug!(parent: &self.span, %error, "the store failed a tail");
                    if !self.may_retry() {
                        return self.close(CloseReason::StoreUnavailable);
                    }
                }
                Asked::Appeared(page) => self.subscription.appeared(page),
                Asked::Called(signal) => return self.handle_signal(signal).await,
            }
        }
    }

    /// Events that the client does not want count as sent: it is not behind for them.
    fn passed_over(&self, number: usize) {
        if let Some(stream) = self
            .subscription
            .streams()
            .iter()
            .find(|stream| stream.has_number(number))
        {
            begins_at(&self.admission, &stream.key, stream.position);
        }
    }

    /// Why the connection is to be closed, if nothing more can come.
    fn all_over(&self) -> Option<CloseReason> {
        match self.subscription.outcome()? {
            Ok(()) => Some(CloseReason::Ended),
            Err(Gone) => Some(CloseReason::Gone),
        }
    }

    /// Closes the connection, but tells the client first where it is.
    fn close(&mut self, reason: CloseReason) -> Step {
        self.closed = Some(reason);
        self.subscription.positions().unwrap_or(Step::Close(reason))
    }

    /// The last step before the connection is closed: what comes within this time is still owed to
    /// the client.
    async fn last_of(&mut self, reason: CloseReason, time: Duration) -> Step {
        // First of all, as a call comes but once.
        self.closed = Some(reason);
        let news = timeout(time, self.subscription.tails.next()).await;
        match news
            .ok()
            .and_then(Result::ok)
            .and_then(|news| self.subscription.take(news))
        {
            // With one stream that it is gone is told by the answer to the next request.
            Some(Step::Gone(_)) if !self.subscription.is_keyed() => self.close(reason),
            Some(step) => step,
            None => self.close(reason),
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
        self.failing = Some(Failing {
            since,
            delay,
            retry: Box::pin(sleep_until(now + jittered)),
        });
        now - since < self.patience
    }
}

/// Says where a client is in a stream of which it was sent nothing.
fn begins_at(admission: &Admission, key: &StreamKey, position: Position) {
    if let Some(id) = position.id() {
        admission.delivered(key, id, 0, 0);
    }
}

/// What a wait came to.
enum Asked {
    Answered(Result<News, StoreError>),
    Appeared(Page),
    Called(Signal),
}

/// Asks the tails, after the wait that a failure set.
async fn ask(tails: &mut dyn Tails, failing: &mut Option<Failing>) -> Result<News, StoreError> {
    if let Some(failing) = failing {
        // A sleep that is over is over at once when waited for again.
        pin!(&mut failing.retry).await;
    }
    tails.next().await
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

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::gauge::Gauge;
    use rocket::async_trait;
    use tokio::time::sleep;

    use super::*;
    use crate::{
        lifecycle::Lifecycle,
        session::{AdmissionRequest, ClientMetadata, Limits, Registry},
        store::StreamInfo,
        stream::{EventId, Generation, Status},
        telemetry::metrics::{Metrics, Transport},
    };

    /// The first question has no answer; the next is answered, a little later, with the second
    /// stream's being gone.
    struct GoneLate(bool);

    #[async_trait]
    impl Tails for GoneLate {
        fn add(&mut self, _: Page) {}

        fn remove(&mut self, _: usize) {}

        fn is_failing(&self) -> bool {
            false
        }

        async fn next(&mut self) -> Result<News, StoreError> {
            if !std::mem::replace(&mut self.0, true) {
                return std::future::pending().await;
            }
            sleep(ON_ITS_WAY / 2).await;
            Ok(News {
                stream: 1,
                told: Err(Gone),
            })
        }
    }

    fn page(key: &str) -> Page {
        let id = EventId { ms: 1, n: 0 };
        let info = StreamInfo {
            generation: Generation([0; 16]),
            status: Status::Active,
            length: 1,
            ttl: Duration::from_secs(9),
            first: id,
            last: id,
            created_ms: 1,
        };
        Page::unread(key.parse().unwrap(), info, Some(id))
    }

    #[tokio::test(start_paused = true)]
    async fn that_a_stream_is_gone_is_told_also_while_the_node_stops() {
        let lifecycle = Lifecycle::default();
        let registry = Registry::new(
            Limits {
                node: 1,
                per_stream: 0,
                per_address: 0,
            },
            Gauge::default(),
            lifecycle.clone(),
        );
        let keys = ["a", "b"].map(|key| key.parse().unwrap()).to_vec();
        let metadata = ClientMetadata {
            transport: Transport::Sse,
            name: None,
            tags: Box::default(),
            filter: None,
        };
        let timeouts = Timeouts {
            heartbeat: Duration::from_secs(60),
            idle: Duration::from_secs(60),
        };
        let request = AdmissionRequest {
            keys,
            address: None,
            metadata,
        };
        let admission = registry
            .claim(
                request,
                timeouts,
                Metrics::new(None, 1).clients(Transport::Sse),
            )
            .await
            .unwrap();
        let mut subscription = Subscription::new(Box::new(GoneLate(false)), None, true);
        for key in ["a", "b"] {
            subscription.add(page(key), Position::At(EventId { ms: 1, n: 0 }), false);
        }
        let mut session = Session::new(subscription, admission, Duration::from_secs(1));
        let _request = lifecycle.request();
        let close = async { lifecycle.close(Duration::from_secs(5)) };
        let (step, ()) = tokio::join!(session.next(), close);
        assert!(matches!(step, Step::Gone(1)), "{step:?}");
        assert!(matches!(
            session.next().await,
            Step::Close(CloseReason::Shutdown)
        ));
    }
}
