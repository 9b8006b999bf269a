//! How a subscription joins events, where its subscriber asks for a rollup.

use std::{future::pending, pin::Pin};

use tokio::time::{Sleep, sleep};

use super::{
    rollup::{MAX_JOINED_BYTES, Rollup},
    stream::SubscribedStream,
};
use crate::{
    store::{Batch, StreamUpdate},
    stream::{EventId, Position},
};

/// What a subscription keeps to join events. The runs themselves are with their streams.
pub(super) struct Joining {
    rollup: Rollup,
    /// An update, and the tail that it is from. A run goes before it.
    next: Option<(usize, StreamUpdate)>,
    /// When the runs of live events are sent.
    due: Option<Pin<Box<Sleep>>>,
    /// The runs are sent now.
    is_due: bool,
}

/// A stream before an update of it was applied.
pub(super) struct Before {
    pub(super) position: Position,
    pub(super) newest: Option<EventId>,
    pub(super) was_caught_up: bool,
}

impl Joining {
    pub(super) fn new(rollup: Rollup) -> Self {
        Self {
            rollup,
            next: None,
            due: None,
            is_due: false,
        }
    }

    /// Resolves when the runs of live events are to be sent. Cancel safe.
    pub(super) async fn due(&mut self) {
        match &mut self.due {
            Some(due) => due.as_mut().await,
            None => pending().await,
        }
        (self.due, self.is_due) = (None, true);
    }

    /// Takes the run that must be sent before this update, and keeps the update for later: the
    /// stream has a gap there, or was deleted. Otherwise returns the update.
    pub(super) fn break_run(
        &mut self,
        stream: &mut SubscribedStream,
        tail: usize,
        update: StreamUpdate,
    ) -> Result<StreamUpdate, Batch> {
        let breaks = match &update {
            StreamUpdate::Deleted => true,
            StreamUpdate::Events(batch) => batch.missed.is_some(),
        };
        let run = if breaks { stream.run.take() } else { None };
        match run {
            Some(run) => {
                self.next = Some((tail, update));
                Err(run.into_batch())
            }
            None => Ok(update),
        }
    }

    /// The update that was kept until a run is sent, and its tail.
    pub(super) fn take_next(&mut self) -> Option<(usize, StreamUpdate)> {
        self.next.take()
    }

    /// Joins the events of a batch of the stream at this index, and leaves a run open where more
    /// may be joined to it.
    pub(super) fn join(
        &mut self,
        streams: &mut [SubscribedStream],
        index: usize,
        batch: Batch,
        before: &Before,
    ) -> Batch {
        let held: usize = streams.iter().map(SubscribedStream::joined_bytes).sum();
        let Some(stream) = streams.get_mut(index) else {
            return batch;
        };
        let gathers = !self.rollup.gather.is_zero();
        let is_history = |id: EventId| before.newest.is_some_and(|newest| id <= newest);
        let is_joined = |id| gathers || is_history(id);
        let others = held - stream.joined_bytes();
        let mut run = stream.run.take();
        let mut batch = self
            .rollup
            .join(batch, &mut run, before.position, is_joined);
        let Some(run) = run else {
            return batch;
        };
        // What was stored comes at once, and nothing else is waited for.
        let catches_up = stream.is_caught_up() && !before.was_caught_up;
        let is_too_much = others + run.bytes() > MAX_JOINED_BYTES;
        if catches_up || is_too_much {
            batch.parts.extend(run.into_batch().parts);
        } else {
            if stream.is_caught_up() && self.due.is_none() {
                self.due = Some(Box::pin(sleep(self.rollup.gather)));
            }
            stream.run = Some(run);
        }
        batch
    }

    /// A run whose time is over, and the index of its stream.
    pub(super) fn take_due_run(
        &mut self,
        streams: &mut [SubscribedStream],
    ) -> Option<(usize, Batch)> {
        if !self.is_due {
            return None;
        }
        let found = (0..)
            .zip(streams)
            .find_map(|(index, stream)| Some((index, stream.run.take()?.into_batch())));
        self.is_due = found.is_some();
        found
    }
}
