//! The check that each event follows the one before.

use super::missed::{MissedCounter, MissedTotal};
use crate::{Error, Event, event::number};

/// A sequence check verifies that a stream's events arrive in order, each once.
#[derive(Clone, Debug)]
pub(super) struct SequenceCheck {
    last: Last,
    /// The id that a `missedevents` announced as the next.
    first: Option<String>,
    missed: MissedCounter,
    /// Whether the event names filter leaves events out. Then the numbers only increase.
    is_filtered: bool,
}

#[derive(Clone, Debug)]
enum Last {
    /// Only the broker knows, until it sends a position.
    Unknown,
    /// There was no event yet.
    None,
    Id(String),
}

impl SequenceCheck {
    /// Starts after the event with this id, or before the first event.
    pub(super) fn after(last_id: Option<String>, is_filtered: bool) -> Self {
        Self {
            last: last_id.map_or(Last::None, Last::Id),
            first: None,
            missed: MissedCounter::default(),
            is_filtered,
        }
    }

    /// Starts at a position that the broker will send.
    pub(super) fn unknown(is_filtered: bool) -> Self {
        Self {
            last: Last::Unknown,
            first: None,
            missed: MissedCounter::default(),
            is_filtered,
        }
    }

    /// Prepares for a new connection, on which the broker reports missing events again.
    pub(super) fn reconnect(&mut self) {
        self.first = None;
    }

    /// The events that are missing so far.
    pub(super) fn missed(&self) -> Option<MissedTotal> {
        self.missed.total()
    }

    /// Records an event. Fails when it is not the next.
    pub(super) fn check(&mut self, event: &Event) -> Result<(), Error> {
        let Some(id) = &event.id else {
            self.first = event
                .missed
                .as_ref()
                .and_then(|missed| missed.first.clone());
            if let Some(missed) = &event.missed {
                self.missed.add(missed);
            }
            return Ok(());
        };
        // An event that stands for several has the id of the last.
        let found = parse(id)?.checked_sub(event.count.saturating_sub(1));
        let is_next = match (&self.first, self.next(), found) {
            (_, _, None) => false,
            (Some(first), ..) if !self.is_filtered && event.count <= 1 => first == id,
            (_, None, _) => true,
            (_, Some(next), Some(found)) if self.is_filtered => found >= next,
            (_, Some(next), Some(found)) => found == next,
        };
        if !is_next {
            return Err(self.gap(id));
        }
        self.go_to(id);
        Ok(())
    }

    /// Records a position without an event. Fails when it differs from that of the last event,
    /// unless the filter leaves events out.
    pub(super) fn move_to(&mut self, id: &str) -> Result<(), Error> {
        let after = parse(id)?.saturating_add(1);
        let is_possible = match self.next() {
            None => true,
            Some(next) if self.is_filtered => after >= next,
            Some(next) => after == next,
        };
        if !is_possible {
            return Err(self.gap(id));
        }
        self.go_to(id);
        Ok(())
    }

    /// The number of the next event, if it is known.
    fn next(&self) -> Option<u64> {
        match (&self.first, &self.last) {
            (Some(first), _) => number(first),
            (None, Last::Unknown) => None,
            (None, Last::None) => Some(0),
            (None, Last::Id(id)) => Some(number(id).map_or(0, |last| last.saturating_add(1))),
        }
    }

    fn go_to(&mut self, id: &str) {
        self.last = Last::Id(id.to_owned());
        self.first = None;
    }

    fn gap(&self, found: &str) -> Error {
        let number = || {
            format!(
                "number {}{}",
                self.next().unwrap_or_default(),
                if self.is_filtered {
                    " or a later one"
                } else {
                    ""
                }
            )
        };
        Error::Gap {
            expected: self.first.clone().unwrap_or_else(number),
            found: found.to_owned(),
        }
    }
}

fn parse(id: &str) -> Result<u64, Error> {
    number(id).ok_or_else(|| Error::InvalidAnswer(format!("{id:?} is no event id")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(number: u64) -> Event {
        several(number, 1)
    }

    /// An event that stands for several.
    fn several(number: u64, count: u64) -> Event {
        let id = Some(format!("17-{number}"));
        Event::received("k".into(), id, "token".into(), String::new(), count).unwrap()
    }

    fn missed(first: u64) -> Event {
        let data = format!(r#"{{"after":null,"first":"17-{first}","missed":3}}"#);
        Event::received("k".into(), None, "missedevents".into(), data, 1).unwrap()
    }

    fn after(last: u64, is_filtered: bool) -> SequenceCheck {
        SequenceCheck::after(Some(format!("16-{last}")), is_filtered)
    }

    proptest! {
        #[test]
        fn only_the_next_event_passes(last in 0..9_u64, next in 0..20_u64) {
            prop_assert_eq!(after(last, false).check(&event(next)).is_ok(), next == last + 1);
        }

        #[test]
        fn with_a_filter_only_later_events_pass(last in 0..9_u64, next in 0..20_u64) {
            prop_assert_eq!(after(last, true).check(&event(next)).is_ok(), next > last);
        }

        #[test]
        fn after_missedevents_only_the_event_that_it_names_passes(
            last in 0..9_u64,
            first in 0..20_u64,
            next in 0..20_u64,
        ) {
            let mut sequence = after(last, false);
            sequence.check(&missed(first)).unwrap();
            prop_assert_eq!(sequence.check(&event(next)).is_ok(), next == first);
        }

        #[test]
        fn after_missedevents_with_a_filter_no_earlier_event_than_it_names_passes(
            last in 0..9_u64,
            first in 0..20_u64,
            next in 0..20_u64,
        ) {
            let mut sequence = after(last, true);
            sequence.check(&missed(first)).unwrap();
            prop_assert_eq!(sequence.check(&event(next)).is_ok(), next >= first);
        }

        #[test]
        fn an_event_that_stands_for_several_follows_with_its_first(
            last in 0..9_u64,
            next in 0..30_u64,
            count in 1..9_u64,
            is_filtered: bool,
        ) {
            let begins = (next + 1).saturating_sub(count);
            let checked = after(last, is_filtered).check(&several(next, count));
            let follows = begins == last + 1 || is_filtered && begins > last;
            prop_assert_eq!(checked.is_ok(), follows);
            let mut sequence = after(last, false);
            sequence.check(&missed(12)).unwrap();
            let checked = sequence.check(&several(next, count));
            prop_assert_eq!(checked.is_ok(), begins == 12);
        }

        #[test]
        fn a_position_moves_only_forward_and_only_with_a_filter(
            last in 0..9_u64,
            to in 0..20_u64,
            is_filtered: bool,
        ) {
            let moved = after(last, is_filtered).move_to(&format!("17-{to}"));
            prop_assert_eq!(moved.is_ok(), to == last || is_filtered && to > last);
        }

        #[test]
        fn events_follow_the_position_that_the_broker_sends(
            to in 0..9_u64,
            next in 0..20_u64,
        ) {
            let mut sequence = SequenceCheck::unknown(false);
            sequence.move_to(&format!("17-{to}")).unwrap();
            prop_assert_eq!(sequence.check(&event(next)).is_ok(), next == to + 1);
        }
    }

    #[test]
    fn a_stream_starts_with_its_first_event() {
        assert!(SequenceCheck::after(None, false).check(&event(0)).is_ok());
        assert_eq!(
            SequenceCheck::after(None, false)
                .check(&event(1))
                .unwrap_err()
                .code(),
            "gap"
        );
    }

    #[test]
    fn missing_events_may_be_reported_again_on_another_connection() {
        let mut sequence = after(4, false);
        sequence.check(&missed(8)).unwrap();
        sequence.reconnect();
        sequence.check(&missed(9)).unwrap();
        assert!(sequence.check(&event(9)).is_ok());
    }
}
