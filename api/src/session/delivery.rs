//! The delivery loop of one connected subscriber: what all transports have in common.

use std::{
    future::{pending, poll_fn},
    time::Duration,
};

use tokio::time::timeout;
use tracing::Span;

use super::{
    admission::Admission,
    awaited::AwaitedStreams,
    joining::Joining,
    limits::LimitReached,
    liveness::Instruction,
    outage::Outage,
    output::{CloseReason, Output},
    scripted::{UpdateError, next_update as scripted_update},
    subscription::{Outcome, Subscription},
};
use crate::{
    codec::segment::Part,
    store::{Batch, Page, StreamUpdate},
    stream::{Position, SharedPosition, StreamKey},
    telemetry::metrics::DisconnectReason,
};

/// The latency of one in so many live batches of a session is measured. The clock and the
/// histogram's lock cost several percent of a delivery. A power of two, so that the count may wrap.
const MEASURED: u32 = 16;

/// How long a session waits at a shutdown for events that are on their way from the store.
const LAST_EVENTS_TIMEOUT: Duration = Duration::from_millis(250);

/// A session delivers one subscriber's streams to its connection.
///
/// The transport calls [`Session::next`] for each output and makes bytes of it. Dropping the
/// session frees its tails, and then its admission.
pub struct Session {
    // In this order: a subscriber that gets the permit finds the tails' connection free.
    subscription: Subscription,
    admission: Admission,
    state: State,
    /// None while the store answers.
    outage: Option<Outage>,
    store_timeout: Duration,
    /// How many live batches there were; it may wrap.
    live_batches: u32,
    /// The span of the request, which was answered long ago.
    span: Span,
}

/// Whether the session goes on.
#[derive(Clone, Copy, Debug)]
enum State {
    /// It delivers updates.
    Delivering,
    /// It closes the connection, after one last report of positions where that is due.
    Closing(CloseReason),
}

impl Session {
    /// A session of an admitted subscriber. `store_timeout` is how long the store may fail before
    /// the session ends.
    #[must_use]
    pub fn new(subscription: Subscription, admission: Admission, store_timeout: Duration) -> Self {
        Self {
            subscription,
            admission,
            state: State::Delivering,
            outage: None,
            store_timeout,
            live_batches: 0,
            span: Span::current(),
        }
    }

    /// The streams, and the positions in them.
    #[must_use]
    pub fn subscription(&self) -> &Subscription {
        &self.subscription
    }

    /// The same, to be changed.
    pub fn subscription_mut(&mut self) -> &mut Subscription {
        &mut self.subscription
    }

    /// Takes a permit for one more stream, before it is added to the subscription.
    ///
    /// Errors: the limit of the stream is reached.
    pub fn admit_stream(
        &self,
        key: &StreamKey,
        position: &SharedPosition,
    ) -> Result<(), LimitReached> {
        self.admission.add_stream(key, position)
    }

    /// Removes a stream, and returns the position in it; none if it is not there.
    pub fn remove_stream(&mut self, key: &StreamKey) -> Option<Position> {
        let position = self.subscription.remove(key);
        if position.is_some() {
            self.admission.remove_stream(key);
        }
        position
    }

    /// Closes the connection with the next output if nothing more can come.
    pub fn close_if_over(&mut self) {
        if let Some(reason) = self.end() {
            self.state = State::Closing(reason);
        }
    }

    /// Counts a batch of this stream that is about to be handed to the connection, in so many
    /// bytes.
    pub fn count_delivery(&mut self, stream: usize, batch: &Batch, bytes: usize) {
        let events = match self.subscription.filter() {
            None => batch.parts.iter().map(Part::counted_events).sum(),
            Some(filter) => {
                let wanted = batch
                    .counted()
                    .filter(|(entry, _)| filter.passes(&entry.name));
                wanted.map(|(_, count)| count as usize).sum()
            }
        };
        self.admission.count_delivery(events, bytes);
        let metrics = self.admission.metrics();
        metrics.deliver(events, bytes);
        if batch.missed.is_some() {
            metrics.missed.inc();
        }
        let stream = self.subscription.streams().get(stream);
        if let (Some(first), Some(stream)) = (batch.entries().next(), stream)
            && stream.is_live(first.id)
        {
            if self.live_batches.is_multiple_of(MEASURED) {
                metrics.observe_latency(first.id.ms);
            }
            self.live_batches = self.live_batches.wrapping_add(1);
        }
    }

    /// The subscriber does not take what is sent, and the transport gives it up.
    pub fn set_stalled(&self) {
        self.admission
            .set_disconnect_reason(DisconnectReason::Stalled);
    }

    /// Frees the streams. The admission stays, for as long as the subscriber takes the rest.
    #[must_use]
    pub fn into_admission(self) -> Admission {
        self.admission
    }

    /// Resolves when an operator disconnects the subscriber. For a transport that waits until the
    /// subscriber has taken something, and so does not ask for the next output. Cancel safe.
    pub fn disconnected(&self) -> impl Future<Output = ()> {
        self.admission.disconnected()
    }

    /// Whether it holds a Redis connection, which must be freed as soon as the subscriber has left
    /// or no longer reads.
    #[must_use]
    pub fn holds_connection(&self) -> bool {
        self.subscription.holds_connection()
    }

    /// The last output was handed to the connection. Until the subscriber has taken it, nothing
    /// asks for the next one. If that takes too long, the subscriber loses its admission.
    pub fn record_handed_over(&self) {
        self.admission.record_handed_over();
    }

    /// The subscriber has taken the last output.
    pub fn record_taken(&self) {
        self.admission.record_taken();
    }

    /// The next output. Cancel safe.
    pub async fn next(&mut self) -> Output {
        let output = match self.state {
            State::Delivering => self.deliver().await,
            State::Closing(reason) => self.close(reason),
        };
        self.finish(output).await
    }

    /// The next output that no stream causes: a heartbeat or the end. For a transport that can send
    /// no update at the moment. Cancel safe.
    pub async fn next_without_updates(&mut self) -> Output {
        use CloseReason::{Disconnected, Idle, Shutdown};
        let output = match self.state {
            State::Closing(reason @ (Shutdown | Idle | Disconnected)) => self.close(reason),
            State::Delivering | State::Closing(_) => {
                let instruction = self.admission.instruction().await;
                self.handle(instruction).await
            }
        };
        self.finish(output).await
    }

    /// Records an output. Before the end of a subscriber whose time is over, the script learns it.
    async fn finish(&mut self, output: Output) -> Output {
        if matches!(output, Output::Close(CloseReason::Idle)) {
            self.subscription.time_out().await;
        }
        self.record(&output);
        output
    }

    async fn deliver(&mut self) -> Output {
        loop {
            if let Some(report) = self.subscription.take_report() {
                return self.or_close(report);
            }
            let Subscription {
                tails,
                awaited,
                joining,
                scripted,
                streams,
                filter,
                ..
            } = &mut self.subscription;
            let scripted = scripted.as_deref_mut();
            let updates = scripted_update(tails.as_mut(), scripted, streams, filter.as_ref());
            tokio::select! {
                // A busy stream would otherwise keep an instruction waiting for ever.
                biased;
                instruction = self.admission.instruction() => return self.handle(instruction).await,
                () = joined_due(joining.as_deref_mut()) => {}
                page = next_appeared(awaited.as_deref_mut()) => self.subscription.appear(page),
                update = next_update(updates, &mut self.outage) => {
                    if let Some(output) = self.receive(update) {
                        return output;
                    }
                    // A filter may pass over a long history without ever waiting for the store.
                    tokio::task::consume_budget().await;
                }
            }
        }
    }

    /// Takes an update, or an error, from the tails.
    fn receive(&mut self, update: Result<(usize, StreamUpdate), UpdateError>) -> Option<Output> {
        match update {
            Ok((tail, update)) => {
                if !self.subscription.tails.is_failing() {
                    self.outage = None;
                }
                let output = self.subscription.apply(tail, update)?;
                Some(self.or_close(output))
            }
            Err(UpdateError::Script(error)) => {
                tracing::warn!(parent: &self.span, %error, "the script failed a session");
                Some(self.close(CloseReason::ScriptFailed))
            }
            Err(UpdateError::Store(error)) => {
                tracing::debug!(parent: &self.span, %error, "the store failed a session");
                let goes_on = self.schedule_retry();
                (!goes_on).then(|| self.close(CloseReason::StoreUnavailable))
            }
        }
    }

    /// The output, or the end where the only stream was deleted.
    fn or_close(&mut self, output: Output) -> Output {
        match output {
            Output::Update(_, StreamUpdate::Deleted) if !self.subscription.is_keyed() => {
                self.close(CloseReason::Deleted)
            }
            output => output,
        }
    }

    /// Sets the time of the next attempt. False if the store has failed for too long.
    fn schedule_retry(&mut self) -> bool {
        if self.outage.is_none() {
            self.admission.warn_of_store();
        }
        let outage = Outage::next(self.outage.take());
        let goes_on = outage.lasted() < self.store_timeout;
        self.outage = Some(outage);
        goes_on
    }

    async fn handle(&mut self, instruction: Instruction) -> Output {
        match instruction {
            Instruction::Shutdown => {
                self.last_update(CloseReason::Shutdown, LAST_EVENTS_TIMEOUT)
                    .await
            }
            Instruction::Disconnect => Output::Close(CloseReason::Disconnected),
            Instruction::Idle => self.last_update(CloseReason::Idle, Duration::ZERO).await,
            Instruction::Heartbeat => self
                .subscription
                .take_positions()
                .unwrap_or(Output::Heartbeat),
        }
    }

    /// The last output before the connection closes: an update that comes within this time.
    async fn last_update(&mut self, reason: CloseReason, time: Duration) -> Output {
        // Set first, because an instruction comes only once.
        self.state = State::Closing(reason);
        let update = timeout(time, self.subscription.next_update()).await;
        let output = update
            .ok()
            .and_then(Result::ok)
            .and_then(|(tail, update)| self.subscription.apply(tail, update));
        match output {
            // A subscriber of one stream learns of its deletion from its next request.
            Some(Output::Update(_, StreamUpdate::Deleted)) if !self.subscription.is_keyed() => {
                self.close(reason)
            }
            Some(output) => output,
            None => self.close(reason),
        }
    }

    /// Closes the connection, and before that reports positions that the subscriber can't know.
    fn close(&mut self, reason: CloseReason) -> Output {
        self.state = State::Closing(reason);
        let positions = self.subscription.take_positions();
        positions.unwrap_or(Output::Close(reason))
    }

    fn record(&mut self, output: &Output) {
        self.admission
            .record_output(matches!(output, Output::Update(..)));
        match output {
            Output::Heartbeat => _ = self.admission.metrics().heartbeats.inc(),
            Output::Close(reason) => self.state = State::Closing(*reason),
            Output::Update(..) | Output::Positions(_) | Output::CaughtUp => {}
        }
        if let Some(stream) = output.ended_stream() {
            self.record_end(stream);
        }
        if let State::Closing(reason) = self.state {
            self.admission.set_disconnect_reason(reason.into());
        }
    }

    /// A stream ended. If it was the last, so does the session; otherwise its permit is free.
    fn record_end(&mut self, stream: usize) {
        self.close_if_over();
        if let (State::Delivering, Some(stream)) =
            (self.state, self.subscription.streams().get(stream))
        {
            self.admission.remove_stream(&stream.key);
        }
    }

    /// Why the connection is to be closed, if nothing more can come.
    fn end(&self) -> Option<CloseReason> {
        Some(match self.subscription.outcome()? {
            Outcome::Ended => CloseReason::Ended,
            Outcome::Deleted => CloseReason::Deleted,
        })
    }
}

/// Waits for the next update, and before that until the retry that a failure set.
async fn next_update(
    updates: impl Future<Output = Result<(usize, StreamUpdate), UpdateError>>,
    outage: &mut Option<Outage>,
) -> Result<(usize, StreamUpdate), UpdateError> {
    if let Some(outage) = outage {
        outage.retry_is_due().await;
    }
    updates.await
}

/// Waits until joined events are to be sent. Cancel safe.
async fn joined_due(joining: Option<&mut Joining>) {
    match joining {
        Some(joining) => joining.due().await,
        None => pending().await,
    }
}

/// Waits for the next stream that appears. Cancel safe.
async fn next_appeared(awaited: Option<&mut AwaitedStreams>) -> Page {
    match awaited {
        Some(awaited) => poll_fn(|context| awaited.poll_next(context)).await,
        None => pending().await,
    }
}

#[cfg(test)]
mod tests;
