//! The streams of one subscriber, and what the subscriber is sent of each update.

use super::{
    awaited::{Appearance, AwaitedStreams},
    joining::{Before, Joining},
    output::Output,
    rollup::Rollup,
    scripted::{Scripted, UpdateError, next_update},
    stream::{Phase, PositionReport, SubscribedStream},
};
use crate::{
    store::{Page, StreamUpdate, TailSet},
    stream::{EventFilter, EventId, Position, SharedPosition, Status, StreamKey},
};

/// How many events the filter may pass over before the subscriber is sent its position.
const MAX_PASSED_OVER: usize = 1_000;

/// The streams that a subscriber follows and its position in each. Dropping it frees the tails.
pub struct Subscription {
    pub(super) tails: Box<dyn TailSet>,
    /// Streams that do not exist yet. Most subscribers wait for none.
    pub(super) awaited: Option<Box<AwaitedStreams>>,
    pub(super) streams: Vec<SubscribedStream>,
    pub(super) filter: Option<EventFilter>,
    /// Most subscribers join no events.
    pub(super) joining: Option<Box<Joining>>,
    /// None without a script.
    pub(super) scripted: Option<Box<Scripted>>,
    is_keyed: bool,
    /// Events that the filter passed over since the last report of the position.
    passed_over: usize,
}

/// How a subscription ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With the last event of a stream.
    Ended,
    /// All streams were deleted.
    Deleted,
}

impl Subscription {
    /// A subscription to no stream yet. With `is_keyed`, each frame names its stream. Then the
    /// deletion of one stream does not end the others.
    #[must_use]
    pub fn new(tails: Box<dyn TailSet>, filter: Option<EventFilter>, is_keyed: bool) -> Self {
        Self {
            tails,
            awaited: None,
            streams: Vec::with_capacity(1),
            filter,
            joining: None,
            scripted: None,
            is_keyed,
            passed_over: 0,
        }
    }

    /// Joins events as this rollup says.
    #[must_use]
    pub fn with_rollup(mut self, rollup: Option<Rollup>) -> Self {
        self.joining = rollup.map(Joining::new).map(Box::new);
        self
    }

    /// The next update, and the tail that it is from. Cancel safe.
    ///
    /// Errors: the store fails, or the script.
    pub(super) async fn next_update(&mut self) -> Result<(usize, StreamUpdate), UpdateError> {
        next_update(
            self.tails.as_mut(),
            self.scripted.as_deref_mut(),
            &self.streams,
            self.filter.as_ref(),
        )
        .await
    }

    /// Adds the stream that the page was read from. With `report`, the subscriber does not know its
    /// position and is sent it first.
    pub fn add(&mut self, page: Page, position: SharedPosition, report: bool) {
        let (key, newest) = (page.key.clone(), page.info.last);
        let tail = self.tails.add(page, position.clone());
        let phase = Phase::Open { tail, newest };
        self.push(key, position, phase, report);
    }

    /// Adds a stream that does not exist yet. With `report`, the subscriber is sent that it is at
    /// the start of the stream.
    pub fn add_awaited(
        &mut self,
        key: StreamKey,
        position: SharedPosition,
        appearance: Appearance,
        report: bool,
    ) {
        self.push(key.clone(), position, Phase::Awaited, report);
        self.awaited.get_or_insert_default().add(key, appearance);
    }

    /// Adds a stream that was finished with this status. The subscriber has everything of it.
    pub fn add_finished(&mut self, key: StreamKey, position: SharedPosition, status: Status) {
        self.push(key, position, Phase::Finished(status), false);
    }

    /// Adds a stream that was deleted, which is to be reported.
    pub fn add_deleted(&mut self, key: StreamKey, position: SharedPosition) {
        let phase = Phase::Deleted { is_reported: false };
        self.push(key, position, phase, false);
    }

    fn push(&mut self, key: StreamKey, position: SharedPosition, phase: Phase, report: bool) {
        let report = if report {
            PositionReport::First
        } else {
            PositionReport::None
        };
        self.streams
            .push(SubscribedStream::new(key, position, phase, report));
    }

    /// Removes a stream, and returns the position in it; none if it is not there.
    pub fn remove(&mut self, key: &StreamKey) -> Option<Position> {
        let index = self.streams.iter().position(|stream| stream.key == *key)?;
        let stream = self.streams.remove(index);
        if let Some(tail) = stream.tail() {
            self.tails.remove(tail);
        }
        if let Some(awaited) = &mut self.awaited {
            awaited.remove(key);
        }
        if let Some(scripted) = &mut self.scripted {
            scripted.remove(key);
        }
        Some(stream.position())
    }

    /// Whether it holds a Redis connection, which must be freed as soon as the subscriber has left
    /// or no longer reads.
    #[must_use]
    pub fn holds_connection(&self) -> bool {
        self.tails.holds_connection()
    }

    /// Whether each frame names its stream.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.is_keyed
    }

    /// From now on each frame names its stream.
    pub fn set_keyed(&mut self) {
        self.is_keyed = true;
    }

    /// The streams, those that are over included.
    #[must_use]
    pub fn streams(&self) -> &[SubscribedStream] {
        &self.streams
    }

    /// The filter, if the subscriber does not want every event.
    #[must_use]
    pub fn filter(&self) -> Option<&EventFilter> {
        self.filter.as_ref()
    }

    /// Whether the subscriber wants events of this name.
    #[must_use]
    pub fn wants(&self, name: &str) -> bool {
        let filter = self.filter.as_ref();
        filter.is_none_or(|filter| filter.passes(name))
    }

    /// Whether everything that was stored when the subscriber came has been sent, or passed over.
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        self.streams.iter().all(SubscribedStream::is_caught_up)
    }

    /// How it ended; none while more can come.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome> {
        let is_over =
            !self.streams.is_empty() && self.streams.iter().all(SubscribedStream::is_over);
        let is_ended = || (self.streams.iter()).any(|stream| stream.finished().is_some());
        is_over.then(|| {
            if is_ended() {
                Outcome::Ended
            } else {
                Outcome::Deleted
            }
        })
    }

    /// The next output of what was stored when the subscriber came; none when it has all of it.
    ///
    /// Errors: the store fails, or the script.
    pub async fn history(&mut self) -> Result<Option<Output>, UpdateError> {
        loop {
            if let Some(output) = self.take_report() {
                return Ok(Some(output));
            }
            if self.is_caught_up() {
                return Ok(None);
            }
            let (tail, update) = self.next_update().await?;
            match self.apply(tail, update) {
                None | Some(Output::CaughtUp) => {}
                output => return Ok(output),
            }
        }
    }

    /// Moves the position in a stream back to this event: an answer had no room for more. For a
    /// subscriber that is sent no more, and comes back with its position.
    pub fn move_back(&mut self, stream: usize, to: EventId) {
        if let Some(stream) = self.streams.get_mut(stream) {
            stream.move_back_to(to);
        }
    }

    /// What must be sent because events were joined: the update before which a run was sent, or a
    /// run whose time is over.
    fn take_joined(&mut self) -> Option<Output> {
        if let Some((tail, update)) = self.joining.as_mut()?.take_next() {
            return self.apply(tail, update);
        }
        while let Some((index, run)) = self.joining.as_mut()?.take_due_run(&mut self.streams) {
            if run.entries().any(|entry| self.wants(&entry.name)) {
                return Some(Output::Update(index, StreamUpdate::Events(run)));
            }
            self.streams.get_mut(index)?.report_later();
        }
        None
    }

    /// What the subscriber must be sent before any update.
    pub(super) fn take_report(&mut self) -> Option<Output> {
        if let Some(output) = self.take_joined() {
            return Some(output);
        }
        let deleted = self
            .streams
            .iter_mut()
            .position(SubscribedStream::take_deletion);
        if let Some(index) = deleted {
            return Some(Output::Update(index, StreamUpdate::Deleted));
        }
        let is_due = self.passed_over >= MAX_PASSED_OVER
            || self.streams.iter().any(SubscribedStream::must_report_first);
        is_due.then(|| self.take_positions()).flatten()
    }

    /// The streams in which the subscriber does not know its position; none if it knows all.
    pub(super) fn take_positions(&mut self) -> Option<Output> {
        self.passed_over = 0;
        let unknown: Vec<_> = (0..)
            .zip(&mut self.streams)
            .filter_map(|(index, stream)| stream.take_report().then_some(index))
            .collect();
        (!unknown.is_empty()).then_some(Output::Positions(unknown))
    }

    /// Records an update of the stream with this tail, and returns what the subscriber is sent of
    /// it. None where that is nothing.
    pub(super) fn apply(&mut self, tail: usize, update: StreamUpdate) -> Option<Output> {
        if let (None, Some(scripted)) = (&self.filter, &self.scripted)
            && scripted.has_rewritten()
        {
            // The filter leaves out what the script has dropped.
            self.filter = Some(EventFilter::all());
        }
        // A stream that was removed has no updates.
        let has_tail = |stream: &SubscribedStream| stream.tail() == Some(tail);
        let index = self.streams.iter().position(has_tail)?;
        let stream = self.streams.get_mut(index)?;
        let update = match &mut self.joining {
            None => update,
            Some(joining) => match joining.break_run(stream, tail, update) {
                Ok(update) => update,
                Err(run) => return Some(Output::Update(index, StreamUpdate::Events(run))),
            },
        };
        let StreamUpdate::Events(batch) = update else {
            stream.delete();
            return Some(Output::Update(index, StreamUpdate::Deleted));
        };
        let was_caught_up = stream.is_caught_up();
        let batch = match &mut self.joining {
            None => {
                stream.advance(&batch);
                batch
            }
            Some(joining) => {
                let before = Before {
                    position: stream.shared_position().get(),
                    newest: stream.newest(),
                    was_caught_up,
                };
                stream.advance(&batch);
                joining.join(&mut self.streams, index, batch, &before)
            }
        };
        let Some(filter) = &self.filter else {
            let output = Output::Update(index, StreamUpdate::Events(batch));
            return (!output.is_empty_update()).then_some(output);
        };
        let stream = self.streams.get_mut(index)?;
        let last = batch.entries().next_back();
        let ends_unwanted = last.is_some_and(|last| !filter.passes(&last.name));
        let is_wanted = batch.missed.is_some()
            || batch.is_last()
            || batch.entries().any(|entry| filter.passes(&entry.name));
        if is_wanted {
            // A wanted event says which position the subscriber has.
            stream.set_report(if ends_unwanted {
                PositionReport::Later
            } else {
                PositionReport::None
            });
            return Some(Output::Update(index, StreamUpdate::Events(batch)));
        }
        if ends_unwanted {
            stream.report_later();
        }
        self.passed_over += batch.entries().count();
        (!was_caught_up && self.is_caught_up()).then_some(Output::CaughtUp)
    }

    /// A stream that the subscriber waited for exists now.
    pub(super) fn appear(&mut self, page: Page) {
        let awaited = self
            .streams
            .iter_mut()
            .find(|stream| stream.key == page.key && stream.is_awaited());
        if let Some(stream) = awaited {
            let newest = page.info.last;
            let tail = self.tails.add(page, stream.shared_position().clone());
            stream.open(tail, newest);
        }
    }
}
