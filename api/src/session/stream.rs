//! One stream of a client, and how far the client is in it.

use crate::{
    codec::cursor::{self, Tag},
    store::Batch,
    stream::{EventId, Position, StreamKey},
};

/// What stands for the last event of a stream that is gone and of which the client has nothing:
/// that it was told must be in its cursor.
const NOTHING: EventId = EventId { ms: 0, n: 0 };

/// A stream that a client follows.
#[derive(Debug)]
pub struct SubscribedStream {
    /// Its key.
    pub key: StreamKey,
    /// Where the client is when it has what was put out so far.
    pub position: Position,
    pub(super) phase: Phase,
    /// The client has passed over events of which it does not know.
    pub(super) owes: bool,
    /// It must be told where it is before anything else.
    pub(super) tell: bool,
    /// All that was there when it was added was put out, or passed over.
    caught_up: bool,
    /// What only cursors over several streams need, made when it is first needed.
    name: std::cell::OnceCell<Box<(Tag, String)>>,
}

/// What is to come of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is not there yet.
    Awaited,
    /// Its tail has this number. This was its newest event when it was added: what is newer is
    /// live.
    Live { number: usize, newest: EventId },
    /// Nothing: the client has its last event.
    Ended,
    /// Nothing: it is no more, which the client was told or not.
    Gone { told: bool },
}

impl SubscribedStream {
    pub(super) fn new(key: StreamKey, position: Position, phase: Phase, tell: bool) -> Self {
        let caught_up = match phase {
            Phase::Live { newest, .. } => position.id() == Some(newest),
            Phase::Awaited | Phase::Ended => true,
            Phase::Gone { told } => told,
        };
        Self {
            key,
            position,
            phase,
            owes: tell,
            tell,
            caught_up,
            name: std::cell::OnceCell::new(),
        }
    }

    fn name(&self) -> &(Tag, String) {
        self.name
            .get_or_init(|| Box::new((Tag::of(&self.key), cursor::encoded(&self.key))))
    }

    /// What stands for the key in a compact cursor.
    #[must_use]
    pub fn tag(&self) -> Tag {
        self.name().0
    }

    /// The key as it stands in a cursor.
    #[must_use]
    pub fn encoded_key(&self) -> &str {
        &self.name().1
    }

    /// Whether nothing more can come.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Ended | Phase::Gone { told: true })
    }

    pub(super) fn is_caught_up(&self) -> bool {
        self.caught_up
    }

    /// The last event that the client has, of a stream that is gone.
    #[must_use]
    pub fn gone_after(&self) -> Option<EventId> {
        self.position.id().filter(|&id| id != NOTHING)
    }

    /// Whether an event was written since the client came.
    pub(super) fn is_live(&self, id: EventId) -> bool {
        match self.phase {
            Phase::Live { newest, .. } => id > newest,
            Phase::Awaited | Phase::Ended | Phase::Gone { .. } => false,
        }
    }

    pub(super) fn has_number(&self, stream: usize) -> bool {
        matches!(self.phase, Phase::Live { number, .. } if number == stream)
    }

    /// Goes on behind a batch.
    pub(super) fn advance(&mut self, batch: &Batch) {
        let last = batch
            .entries()
            .next_back()
            .map(|entry| entry.id)
            .or(self.position.id());
        match last {
            Some(id) if batch.end => self.position = Position::Complete(id),
            Some(id) => self.position = Position::At(id),
            None => {}
        }
        if let (Phase::Live { newest, .. }, Some(last)) = (self.phase, batch.entries().next_back())
        {
            self.caught_up |= last.id >= newest;
        }
        if batch.end {
            (self.phase, self.caught_up) = (Phase::Ended, true);
        }
    }

    /// The client has nothing behind this event.
    pub(super) fn cut(&mut self, after: EventId) {
        self.position = Position::At(after);
        if self.phase == Phase::Ended {
            // Its tail is over, but not the stream for the client.
            self.phase = Phase::Live {
                number: usize::MAX,
                newest: after,
            };
        }
    }

    /// It is no more.
    pub(super) fn gone(&mut self) {
        self.phase = Phase::Gone { told: true };
        self.position = Position::Complete(self.position.id().unwrap_or(NOTHING));
        (self.owes, self.tell, self.caught_up) = (false, false, true);
    }

    /// Whether it is to be told that it is no more; once.
    pub(super) fn tell_gone(&mut self) -> bool {
        let untold = self.phase == Phase::Gone { told: false };
        if untold {
            self.gone();
        }
        untold
    }

    /// Whether it is to be told where the client is; once.
    pub(super) fn owed(&mut self) -> bool {
        self.tell = false;
        std::mem::take(&mut self.owes)
    }
}
