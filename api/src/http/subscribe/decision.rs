//! Decides what a subscriber gets of a stream, from what is known of the stream. No I/O here.

use crate::stream::{EventId, Position, Status};

/// What is known of a stream, and what the subscriber asks for.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one fact, independent of the others"
)]
pub(super) struct Question {
    /// The subscriber's position in the stream, if its cursor has one.
    pub(super) position: Option<Position>,
    /// What the store has at the key; none if there is no stream.
    pub(super) found: Option<Found>,
    /// The request names several streams.
    pub(super) is_keyed: bool,
    /// The request has a cursor.
    pub(super) resumes: bool,
    /// The subscriber waits for a stream that does not exist, and its token allows it.
    pub(super) waits: bool,
    /// Without a position it does not start with the oldest stored event.
    pub(super) starts_elsewhere: bool,
}

/// A stream that exists.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// The cursor where the subscriber starts.
    pub(super) start: Option<EventId>,
    pub(super) last: EventId,
    pub(super) status: Status,
    /// The token is for this stream, and not for an earlier one at the key.
    pub(super) may_open: bool,
}

/// What the subscriber gets of the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Everything after this position. With `report`, it does not know the position.
    Open { position: Position, report: bool },
    /// Nothing: it has everything.
    Complete { position: Position, status: Status },
    /// Everything, once the stream exists.
    Await { report: bool },
    /// A report that the stream was deleted. The other streams of the request go on.
    Deleted { position: Position },
    /// An error: the stream does not exist.
    NotFound,
    /// An error: the token is for an earlier stream at the key.
    Forbidden,
}

/// Decides what the subscriber gets.
pub(super) fn decide(question: &Question) -> Decision {
    let Question {
        position,
        found,
        is_keyed,
        resumes,
        waits,
        starts_elsewhere,
    } = *question;
    let Some(found) = found else {
        return match position {
            // A subscriber that was cut off while it waited may have a cursor at the start.
            None | Some(Position::Start) if waits => Decision::Await {
                report: position.is_none() && starts_elsewhere,
            },
            // Its cursor knows the other streams but not this one, which existed then.
            None if is_keyed && resumes => Decision::Deleted {
                position: Position::Start,
            },
            position => without_stream(position, is_keyed).unwrap_or(Decision::NotFound),
        };
    };
    if !found.may_open {
        // Another stream has the key now. That is no reason to refuse the other streams.
        return without_stream(position, is_keyed).unwrap_or(Decision::Forbidden);
    }
    if found.status != Status::Active && found.start == Some(found.last) {
        return Decision::Complete {
            position: Position::Complete(found.last),
            status: found.status,
        };
    }
    Decision::Open {
        position: found.start.map_or(Position::Start, Position::At),
        report: position.is_none() && found.start.is_some(),
    }
}

/// What a subscriber of several streams gets of one that it has begun to read and that is not there
/// any more.
fn without_stream(position: Option<Position>, is_keyed: bool) -> Option<Decision> {
    let position = position.filter(|_| is_keyed)?;
    Some(match position {
        Position::Complete(_) => Decision::Complete {
            position,
            status: Status::Ended,
        },
        Position::Start | Position::At(_) => Decision::Deleted { position },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: EventId = EventId { ms: 5, n: 3 };
    const LAST: EventId = EventId { ms: 9, n: 7 };

    /// A new subscriber of one stream that exists and is active.
    const NEW: Question = Question {
        position: None,
        found: Some(Found {
            start: None,
            last: LAST,
            status: Status::Active,
            may_open: true,
        }),
        is_keyed: false,
        resumes: false,
        waits: false,
        starts_elsewhere: false,
    };

    fn found(start: Option<EventId>, status: Status, may_open: bool) -> Found {
        Found {
            start,
            last: LAST,
            status,
            may_open,
        }
    }

    fn resumed(position: Position, is_keyed: bool) -> Question {
        Question {
            position: Some(position),
            resumes: true,
            is_keyed,
            ..NEW
        }
    }

    #[test]
    fn a_stream_that_exists_is_opened_at_the_start_position() {
        let open = |position, report| Decision::Open { position, report };
        let (at, start) = (Position::At(ID), Position::Start);
        for (question, decision) in [
            (NEW, open(start, false)),
            // From a start position of its own choice: it can't know the cursor there.
            (
                Question {
                    found: Some(found(Some(ID), Status::Active, true)),
                    starts_elsewhere: true,
                    ..NEW
                },
                open(at, true),
            ),
            (
                Question {
                    found: Some(found(Some(ID), Status::Active, true)),
                    ..resumed(at, false)
                },
                open(at, false),
            ),
            // An active stream may go on after its last event, a finished one still has events.
            (
                Question {
                    found: Some(found(Some(LAST), Status::Active, true)),
                    ..resumed(Position::At(LAST), false)
                },
                open(Position::At(LAST), false),
            ),
            (
                Question {
                    found: Some(found(Some(ID), Status::Ended, true)),
                    ..resumed(at, false)
                },
                open(at, false),
            ),
        ] {
            assert_eq!(decide(&question), decision, "{question:?}");
        }
    }

    #[test]
    fn a_subscriber_with_the_last_event_of_a_finished_stream_has_everything() {
        for (status, position) in [
            (Status::Ended, Some(Position::At(LAST))),
            (Status::Cancelled, Some(Position::Complete(LAST))),
            // `from=now` of a stream that is finished.
            (Status::Ended, None),
        ] {
            let question = Question {
                position,
                found: Some(found(Some(LAST), status, true)),
                ..NEW
            };
            let position = Position::Complete(LAST);
            assert_eq!(decide(&question), Decision::Complete { position, status });
        }
    }

    #[test]
    fn a_stream_that_does_not_exist_is_awaited_deleted_or_not_found() {
        let missing = |question: Question| Question {
            found: None,
            ..question
        };
        let (at, start) = (Position::At(ID), Position::Start);
        let complete = Position::Complete(ID);
        let deleted = |position| Decision::Deleted { position };
        let ended = |position| Decision::Complete {
            position,
            status: Status::Ended,
        };
        for (question, decision) in [
            (NEW, Decision::NotFound),
            (
                Question { waits: true, ..NEW },
                Decision::Await { report: false },
            ),
            (
                Question {
                    waits: true,
                    starts_elsewhere: true,
                    ..NEW
                },
                Decision::Await { report: true },
            ),
            (
                Question {
                    waits: true,
                    starts_elsewhere: true,
                    ..resumed(start, false)
                },
                Decision::Await { report: false },
            ),
            // It has begun to read: the stream that it waits for now would be another.
            (
                Question {
                    waits: true,
                    ..resumed(at, false)
                },
                Decision::NotFound,
            ),
            (resumed(at, true), deleted(at)),
            (resumed(start, true), deleted(start)),
            (resumed(complete, true), ended(complete)),
            (resumed(complete, false), Decision::NotFound),
            (
                Question {
                    is_keyed: true,
                    resumes: true,
                    ..NEW
                },
                deleted(start),
            ),
            (
                Question {
                    is_keyed: true,
                    ..NEW
                },
                Decision::NotFound,
            ),
        ] {
            let question = missing(question);
            assert_eq!(decide(&question), decision, "{question:?}");
        }
    }

    #[test]
    fn a_token_of_an_earlier_stream_opens_nothing_and_does_not_end_other_streams() {
        let replaced = |question: Question| Question {
            found: Some(found(Some(ID), Status::Active, false)),
            ..question
        };
        let (at, complete) = (Position::At(ID), Position::Complete(ID));
        for (question, decision) in [
            (NEW, Decision::Forbidden),
            (resumed(at, false), Decision::Forbidden),
            (
                Question {
                    is_keyed: true,
                    ..NEW
                },
                Decision::Forbidden,
            ),
            (resumed(at, true), Decision::Deleted { position: at }),
            (
                resumed(complete, true),
                Decision::Complete {
                    position: complete,
                    status: Status::Ended,
                },
            ),
        ] {
            let question = replaced(question);
            assert_eq!(decide(&question), decision, "{question:?}");
        }
    }
}
