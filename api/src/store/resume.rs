//! Where a subscriber with a cursor starts to read, and which events it has missed. The same for
//! every store.

use crate::stream::{EventId, Missed};

/// What the store has around a cursor, read in one atomic step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Around {
    /// The time of the stream's event 0.
    pub(super) created_ms: u64,
    /// The oldest event stored.
    pub(super) first: EventId,
    /// The newest event.
    pub(super) last: EventId,
    /// The oldest stored event after the cursor.
    pub(super) next: Option<EventId>,
}

/// The place to start reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// After the cursor. Where events after it were trimmed, that is the first event stored.
    AtCursor(Option<Missed>),
    /// At the first event stored, because the stream did not issue the cursor.
    AtFirst(Missed),
}

/// Decides by the event numbers, which have no holes. The cases:
///
/// - No cursor, or one older than the stream: all events that were trimmed are missed. An older
///   cursor is `0-0`, or of an earlier stream at this key.
/// - A cursor whose next event is stored, or the newest event: nothing is missed.
/// - A cursor before the first stored event: the events between the two are missed.
/// - A cursor that this stream can't have issued: nobody knows what is missed, so all events are
///   sent. It comes after the last event, or where the stream has another event. That happens when
///   the store lost events that it had acknowledged.
pub(super) fn start(cursor: Option<EventId>, around: &Around) -> Start {
    let Around {
        created_ms,
        first,
        last,
        next,
    } = *around;
    let trimmed = |seen: u64| {
        first
            .n
            .checked_sub(seen)
            .filter(|&count| count > 0)
            .map(|count| Missed {
                after: cursor,
                first,
                missed: Some(count),
            })
    };
    let Some(id) = cursor else {
        return Start::AtCursor(trimmed(0));
    };
    let foreign = Start::AtFirst(Missed {
        after: cursor,
        first,
        missed: None,
    });
    if id.ms < created_ms {
        return Start::AtCursor(trimmed(0));
    }
    match next {
        None if id == last => Start::AtCursor(None),
        Some(next) if Some(next.n) == id.n.checked_add(1) => Start::AtCursor(None),
        Some(next) if next == first && next.n > id.n => Start::AtCursor(trimmed(id.n + 1)),
        _ => foreign,
    }
}

/// A cursor after which this event comes next. None: the event is the stream's first.
///
/// It need not be the id of an event, but [`start`] accepts it like one. No earlier event comes
/// after it, and its number is one less than the event's. So nothing is missed, and if the event is
/// trimmed meanwhile, the count of missed events is known.
pub(super) fn cursor_before(event: EventId) -> Option<EventId> {
    event.n.checked_sub(1).map(|n| EventId { n, ..event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::resume::cursor_before;

    fn id(ms: u64, n: u64) -> EventId {
        EventId { ms, n }
    }

    /// Events 3 to 9 of a stream are stored. The stream began at 100 ms, with an event each 10 ms.
    fn around(cursor: Option<EventId>) -> Around {
        let stored: Vec<_> = (3..10).map(|n| id(100 + 10 * n, n)).collect();
        let next = stored
            .iter()
            .copied()
            .find(|&stored| cursor.is_none_or(|cursor| stored > cursor));
        Around {
            created_ms: 100,
            first: stored[0],
            last: stored[6],
            next,
        }
    }

    fn decide(cursor: Option<EventId>) -> Start {
        start(cursor, &around(cursor))
    }

    fn missed(after: Option<EventId>, missed: Option<u64>) -> Missed {
        Missed {
            after,
            first: id(130, 3),
            missed,
        }
    }

    #[test]
    fn nothing_is_missed_when_the_next_event_is_stored_or_there_is_none() {
        for n in 2..10 {
            assert_eq!(
                decide(Some(id(100 + 10 * n, n))),
                Start::AtCursor(None),
                "{n}"
            );
        }
    }

    #[test]
    fn a_cursor_that_was_made_for_the_place_before_an_event_is_accepted() {
        let made_up = |n: u64| cursor_before(id(100 + 10 * n, n));
        for n in 3..10 {
            assert_eq!(
                decide(made_up(n)),
                Start::AtCursor(None),
                "{n}, also the first, whose predecessors are trimmed"
            );
        }
        // The event is trimmed before the read.
        for (n, count) in [(0, 3), (1, 2), (2, 1)] {
            assert_eq!(
                decide(made_up(n)),
                Start::AtCursor(Some(missed(made_up(n), Some(count)))),
                "{n}"
            );
        }
    }

    #[test]
    fn trimmed_events_are_counted_exactly() {
        assert_eq!(decide(None), Start::AtCursor(Some(missed(None, Some(3)))));
        for (cursor, count) in [
            (id(100, 0), 2),
            (id(110, 1), 1),
            (id(0, 0), 3),
            (id(99, 77), 3),
        ] {
            assert_eq!(
                decide(Some(cursor)),
                Start::AtCursor(Some(missed(Some(cursor), Some(count)))),
                "{cursor}"
            );
        }
    }

    #[test]
    fn a_cursor_that_the_stream_cannot_have_issued_is_reported_and_all_is_sent() {
        for cursor in [
            id(191, 9),
            id(190, 10),
            id(5000, 3),
            id(150, 7),
            id(155, 3),
            id(u64::MAX, u64::MAX),
            id(125, u64::MAX),
        ] {
            assert_eq!(
                decide(Some(cursor)),
                Start::AtFirst(missed(Some(cursor), None)),
                "{cursor}"
            );
        }
    }
}
