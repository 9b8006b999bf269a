//! One of the streams that a subscription follows.

use super::{attempt::StartPosition, frame::Ending, reason::Reason, sequence::SequenceCheck};
use crate::{Event, Status, status::may_finish};

/// A stream that a subscription follows.
#[derive(Clone, Debug)]
pub(super) struct OneStream {
    pub(super) sequence: SequenceCheck,
    pub(super) start: StartPosition,
    pub(super) phase: Phase,
    /// How and why the stream was finished if no event follows the newest one.
    pub(super) may_be: Option<(Status, Option<Reason>)>,
    /// Why the stream was finished, once that is known.
    pub(super) reason: Option<Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Open,
    /// No event follows. The status is None when the subscription has not received the last event.
    Over(Option<Status>),
}

impl OneStream {
    /// Records whether the stream is over with this event. Returns whether it is known to be.
    pub(super) fn note_end(&mut self, event: &Event, ending: Ending) -> bool {
        self.may_be = None;
        let by_name = may_finish(&event.event);
        let status = match ending {
            Ending::Status(status) => Some(status),
            Ending::Last => event.finishes().or(by_name),
            Ending::Unsaid => event.finishes(),
            Ending::Unknown => {
                self.may_be = by_name.map(|status| (status, Reason::of(status, &event.data)));
                event.finishes()
            }
        };
        if let Some(status) = status {
            self.phase = Phase::Over(Some(status));
            self.reason = Reason::of(status, &event.data);
        }
        status.is_some()
    }

    pub(super) fn status(&self) -> Option<Status> {
        if let Phase::Over(status) = self.phase {
            status
        } else {
            None
        }
    }
}
