//! One stream of a client, and how far the client is in it.

use crate::{
    event::{EventId, StreamKey},
    store::Batch,
    wire::cursor::{self, Position, Tag},
};

/// What stands for the last event of a stream that is gone and of which the client has nothing:
/// that it was told must be in its cursor.
const NOTHING: EventId = EventId { ms: 0, n: 0 };

/// A stream that a client follows.
#[derive(Debug)]
pub struct Followed {
    /// Its key.
    pub key: StreamKey,
    /// Where the client is when it has what was put out so far.
    pub position: Position,
    pub(super) life: Life,
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
pub(super) enum Life {
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

impl Followed {
    pub(super) fn new(key: StreamKey, position: Position, life: Life, tell: bool) -> Self {
        let caught_up = match life {
            Life::Live { newest, .. } => position.id() == Some(newest),
            Life::Awaited | Life::Ended => true,
            Life::Gone { told } => told,
        };
        Self {
            key,
            position,
            life,
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
        matches!(self.life, Life::Ended | Life::Gone { told: true })
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
        match self.life {
            Life::Live { newest, .. } => id > newest,
            Life::Awaited | Life::Ended | Life::Gone { .. } => false,
        }
    }

    pub(super) fn has_number(&self, stream: usize) -> bool {
        matches!(self.life, Life::Live { number, .. } if number == stream)
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
        if let (Life::Live { newest, .. }, Some(last)) = (self.life, batch.entries().next_back()) {
            self.caught_up |= last.id >= newest;
        }
        if batch.end {
            (self.life, self.caught_up) = (Life::Ended, true);
        }
    }

    /// The client has nothing behind this event.
    pub(super) fn cut(&mut self, after: EventId) {
        self.position = Position::At(after);
        if self.life == Life::Ended {
            // Its tail is over, but not the stream for the client.
            self.life = Life::Live {
                number: usize::MAX,
                newest: after,
            };
        }
    }

    /// It is no more.
    pub(super) fn gone(&mut self) {
        self.life = Life::Gone { told: true };
        self.position = Position::Complete(self.position.id().unwrap_or(NOTHING));
        (self.owes, self.tell, self.caught_up) = (false, false, true);
    }

    /// Whether it is to be told that it is no more; once.
    pub(super) fn tell_gone(&mut self) -> bool {
        let untold = self.life == Life::Gone { told: false };
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
