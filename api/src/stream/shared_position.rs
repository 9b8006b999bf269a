//! A subscriber's position in one stream, in the one place where it is stored.

use std::sync::{
    Arc,
    atomic::{AtomicU8, AtomicU64, Ordering},
};

use super::{id::EventId, position::Position};

/// How far a subscriber is in one stream. Clones are handles of the same position.
///
/// The subscription writes it. The stream's tail reads where to go on, in the same task. The
/// registry reads [`Self::next`] for operators, from another task.
#[derive(Clone, Debug)]
pub struct SharedPosition(Arc<Cell>);

#[derive(Debug)]
struct Cell {
    ms: AtomicU64,
    n: AtomicU64,
    kind: AtomicU8,
}

const START: u8 = 0;
const AT: u8 = 1;
const COMPLETE: u8 = 2;

impl SharedPosition {
    /// A position of its own.
    #[must_use]
    pub fn new(position: Position) -> Self {
        let shared = Self(Arc::new(Cell {
            ms: AtomicU64::new(0),
            n: AtomicU64::new(0),
            kind: AtomicU8::new(START),
        }));
        shared.set(position);
        shared
    }

    /// The position, as the task that writes it has set it last. In another task it may be a mix of
    /// two positions; such a task reads [`Self::next`].
    #[must_use]
    pub fn get(&self) -> Position {
        let id = || EventId {
            ms: self.0.ms.load(Ordering::Relaxed),
            n: self.0.n.load(Ordering::Relaxed),
        };
        match self.0.kind.load(Ordering::Relaxed) {
            START => Position::Start,
            AT => Position::At(id()),
            _ => Position::Complete(id()),
        }
    }

    /// The id of the last event that the subscriber has.
    #[must_use]
    pub fn id(&self) -> Option<EventId> {
        self.get().id()
    }

    /// Sets the position.
    pub fn set(&self, position: Position) {
        if let Some(id) = position.id() {
            self.0.ms.store(id.ms, Ordering::Relaxed);
            self.0.n.store(id.n, Ordering::Relaxed);
        }
        let kind = match position {
            Position::Start => START,
            Position::At(_) => AT,
            Position::Complete(_) => COMPLETE,
        };
        self.0.kind.store(kind, Ordering::Relaxed);
    }

    /// The number of the event that comes next: 0 at the start.
    #[must_use]
    pub fn next(&self) -> u64 {
        match self.0.kind.load(Ordering::Relaxed) {
            START => 0,
            _ => self.0.n.load(Ordering::Relaxed).saturating_add(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_set_through_every_handle() {
        let id = |n| EventId { ms: u64::MAX, n };
        for (position, next) in [
            (Position::Start, 0),
            (Position::At(id(0)), 1),
            (Position::At(id(u64::MAX)), u64::MAX),
            (Position::Complete(id(7)), 8),
        ] {
            let shared = SharedPosition::new(Position::Start);
            let other = shared.clone();
            shared.set(position);
            assert_eq!((other.get(), other.next()), (position, next));
            assert_eq!(other.id(), position.id());
            assert_eq!(SharedPosition::new(position).get(), position);
        }
    }
}
