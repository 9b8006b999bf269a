//! One stream of a subscription.

use std::sync::OnceLock;

use super::rollup::Run;
use crate::{
    codec::cursor::{self, Tag},
    store::Batch,
    stream::{EventId, Position, SharedPosition, Status, StreamKey},
};

/// The position in a deleted stream from which the subscriber has no event. Its cursor must say
/// that the deletion was reported.
const NO_EVENT: EventId = EventId { ms: 0, n: 0 };

/// A stream that a subscriber follows, and the subscriber's position in it.
#[derive(Debug)]
pub struct SubscribedStream {
    /// Its key.
    pub key: StreamKey,
    position: SharedPosition,
    phase: Phase,
    report: PositionReport,
    /// Everything that was stored when the stream was added has been sent, or passed over.
    is_caught_up: bool,
    /// Events that are joined, and not sent yet.
    pub(super) run: Option<Box<Run>>,
    /// What only cursors over several streams need; made when it is first needed.
    cursor_key: OnceLock<Box<(Tag, String)>>,
}

/// What is still to come of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The stream does not exist yet.
    Awaited,
    /// Its tail has this number. Events after `newest`, the newest when it was added, are live.
    Open { tail: usize, newest: EventId },
    /// Nothing: the subscriber has its last event.
    Finished(Status),
    /// Nothing: the stream was deleted. The subscriber was sent a report of it, or not yet.
    Deleted { is_reported: bool },
}

/// Whether the subscriber must be sent its position. It knows its position from each event that it
/// receives, but not from events that the filter passes over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PositionReport {
    /// It knows its position.
    None,
    /// With the next heartbeat.
    Later,
    /// Before anything else: it would begin elsewhere if it came back.
    First,
}

impl SubscribedStream {
    pub(super) fn new(
        key: StreamKey,
        position: SharedPosition,
        phase: Phase,
        report: PositionReport,
    ) -> Self {
        let is_caught_up = match phase {
            Phase::Open { newest, .. } => position.id() == Some(newest),
            Phase::Awaited | Phase::Finished(_) => true,
            Phase::Deleted { is_reported } => is_reported,
        };
        Self {
            key,
            position,
            phase,
            report,
            is_caught_up,
            run: None,
            cursor_key: OnceLock::new(),
        }
    }

    /// The subscriber's position once it has what was sent so far.
    #[must_use]
    pub fn position(&self) -> Position {
        let run = self.run.as_ref();
        run.map_or_else(|| self.position.get(), |run| run.before)
    }

    /// Bytes of the events that are joined, and not sent yet.
    pub(super) fn joined_bytes(&self) -> usize {
        self.run.as_ref().map_or(0, |run| run.bytes())
    }

    /// The newest event when the stream was added: what is stored up to it is history.
    pub(super) fn newest(&self) -> Option<EventId> {
        match self.phase {
            Phase::Open { newest, .. } => Some(newest),
            Phase::Awaited | Phase::Finished(_) | Phase::Deleted { .. } => None,
        }
    }

    /// The same, to be shared.
    #[must_use]
    pub fn shared_position(&self) -> &SharedPosition {
        &self.position
    }

    fn cursor_key(&self) -> &(Tag, String) {
        self.cursor_key
            .get_or_init(|| Box::new((Tag::of(&self.key), cursor::encoded(&self.key))))
    }

    /// What stands for the key in a compact cursor.
    #[must_use]
    pub fn tag(&self) -> Tag {
        self.cursor_key().0
    }

    /// The key as it is written in a cursor.
    #[must_use]
    pub fn encoded_key(&self) -> &str {
        &self.cursor_key().1
    }

    /// Whether nothing more can come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(
            self.phase,
            Phase::Finished(_) | Phase::Deleted { is_reported: true }
        )
    }

    /// The status of a finished stream whose last event the subscriber has.
    #[must_use]
    pub fn finished(&self) -> Option<Status> {
        match self.phase {
            Phase::Finished(status) => Some(status),
            Phase::Awaited | Phase::Open { .. } | Phase::Deleted { .. } => None,
        }
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.phase == Phase::Awaited
    }

    pub(super) fn is_caught_up(&self) -> bool {
        self.is_caught_up
    }

    /// The number of its tail, if it has one.
    pub(super) fn tail(&self) -> Option<usize> {
        match self.phase {
            Phase::Open { tail, .. } => Some(tail),
            Phase::Awaited | Phase::Finished(_) | Phase::Deleted { .. } => None,
        }
    }

    /// The last event that the subscriber has of a deleted stream.
    #[must_use]
    pub fn deleted_after(&self) -> Option<EventId> {
        self.position.id().filter(|&id| id != NO_EVENT)
    }

    /// Whether the event was written after the stream was added.
    pub(super) fn is_live(&self, id: EventId) -> bool {
        matches!(self.phase, Phase::Open { newest, .. } if id > newest)
    }

    /// A stream that the subscriber waited for exists now.
    pub(super) fn open(&mut self, tail: usize, newest: EventId) {
        self.phase = Phase::Open { tail, newest };
    }

    /// Moves the position behind a batch.
    pub(super) fn advance(&mut self, batch: &Batch) {
        let last = batch.entries().next_back().map(|entry| entry.id);
        if let Some(id) = last.or_else(|| self.position.id()) {
            self.position.set(if batch.is_last() {
                Position::Complete(id)
            } else {
                Position::At(id)
            });
        }
        if let (Phase::Open { newest, .. }, Some(last)) = (self.phase, last) {
            self.is_caught_up |= last >= newest;
        }
        if let Some(status) = batch.finished {
            (self.phase, self.is_caught_up) = (Phase::Finished(status), true);
        }
    }

    /// Moves the position back: the subscriber has nothing after this event.
    pub(super) fn move_back_to(&mut self, id: EventId) {
        self.position.set(Position::At(id));
        if self.finished().is_some() {
            // Its tail is over, but the subscriber still has to get the rest.
            self.phase = Phase::Open {
                tail: usize::MAX,
                newest: id,
            };
        }
    }

    /// The stream was deleted, which is reported now.
    pub(super) fn delete(&mut self) {
        self.phase = Phase::Deleted { is_reported: true };
        self.position
            .set(Position::Complete(self.position.id().unwrap_or(NO_EVENT)));
        (self.report, self.is_caught_up) = (PositionReport::None, true);
    }

    /// Whether its deletion must be reported; true once.
    pub(super) fn take_deletion(&mut self) -> bool {
        let is_due = self.phase == Phase::Deleted { is_reported: false };
        if is_due {
            self.delete();
        }
        is_due
    }

    pub(super) fn set_report(&mut self, report: PositionReport) {
        self.report = report;
    }

    /// Asks for a report, unless one is due earlier.
    pub(super) fn report_later(&mut self) {
        if self.report == PositionReport::None {
            self.report = PositionReport::Later;
        }
    }

    pub(super) fn must_report_first(&self) -> bool {
        self.report == PositionReport::First
    }

    /// Whether its position must be reported; true once.
    pub(super) fn take_report(&mut self) -> bool {
        std::mem::replace(&mut self.report, PositionReport::None) != PositionReport::None
    }
}
