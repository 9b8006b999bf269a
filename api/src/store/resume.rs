//! Where reading starts for a reader with a cursor, and what it must be told: the same for every
//! store.

use crate::stream::{EventId, Missed};

/// What the store found around a cursor, in one atomic look.
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

/// Where to read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// What follows the cursor, which includes the first event stored when something was trimmed.
    AtCursor(Option<Missed>),
    /// The first event stored: the cursor means nothing here.
    AtFirst(Missed),
}

/// Decides by the numbers of the ids, which have no holes. The cases, with the stream's stored
/// events in brackets:
///
/// - no cursor, or one older than the stream (of an earlier stream at this key, or `0-0`): all that
///   was trimmed is missed;
/// - a cursor whose successor is stored, or the newest event: nothing is missed;
/// - a cursor before the first stored event: what lies between is missed;
/// - a cursor that this log can't have issued (after its last event, or at a place where the log
///   has another event: the store lost what it had acknowledged): nobody knows what is missed, and
///   everything is sent.
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

/// The cursor of a reader to whom this event comes next, whatever the id of the one before; none
/// where it is the stream's first.
///
/// It need not be the id of an event, but [`start`] takes it for one: no event before lies
/// after it, and its number is the one before the event's, so that nothing is missed, and if the
/// event is trimmed meanwhile, it is known how many are.
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

    /// Events 3 to 9 of a stream are stored, all at 10 ms a piece from 100 on.
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
    fn a_cursor_made_up_to_lie_before_an_event_is_a_place_like_others() {
        let made_up = |n: u64| cursor_before(id(100 + 10 * n, n));
        for n in 3..10 {
            assert_eq!(
                decide(made_up(n)),
                Start::AtCursor(None),
                "{n}, also the first, whose predecessors are trimmed"
            );
        }
        // Trimmed between the look for the place and the read.
        for (n, count) in [(0, 3), (1, 2), (2, 1)] {
            assert_eq!(
                decide(made_up(n)),
                Start::AtCursor(Some(missed(made_up(n), Some(count)))),
                "{n}"
            );
        }
    }

    #[test]
    fn what_was_trimmed_is_counted_exactly() {
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
    fn a_cursor_that_the_stream_cannot_have_issued_is_told_and_all_is_sent() {
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
