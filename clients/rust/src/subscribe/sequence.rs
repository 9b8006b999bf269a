//! That the events of a stream come one after the other, each once.

use super::missed::MissedCounter;
use crate::{Error, Event, event::number};

/// Where a subscription stands in a stream.
#[derive(Clone, Debug)]
pub(super) struct Order {
    last: Last,
    /// What a `missedevents` told to come next.
    first: Option<String>,
    /// Counts what is missing.
    pub(super) missed: MissedCounter,
    /// Events are left out that are not wanted, so that their numbers only increase.
    is_filtered: bool,
}

#[derive(Clone, Debug)]
enum Last {
    /// Only the broker knows, until it tells.
    Unknown,
    /// There was none.
    None,
    Id(String),
}

impl Order {
    /// After the event with this id; None: before the first.
    pub(super) fn after(last_id: Option<String>, is_filtered: bool) -> Self {
        Self {
            last: last_id.map_or(Last::None, Last::Id),
            first: None,
            missed: MissedCounter::default(),
            is_filtered,
        }
    }

    /// Somewhere that the broker will tell.
    pub(super) fn unknown(is_filtered: bool) -> Self {
        Self {
            last: Last::Unknown,
            first: None,
            missed: MissedCounter::default(),
            is_filtered,
        }
    }

    /// For a new connection, where what was missed is told again.
    pub(super) fn resume(&mut self) {
        self.first = None;
    }

    /// Takes note of an event, which must be the next.
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
        let found = parse(id)?;
        let is_next = match (&self.first, self.next()) {
            (Some(first), _) if !self.is_filtered => first == id,
            (_, None) => true,
            (_, Some(next)) if self.is_filtered => found >= next,
            (_, Some(next)) => found == next,
        };
        if !is_next {
            return Err(self.gap(id));
        }
        self.go_to(id);
        Ok(())
    }

    /// Takes note of a position that was told without an event. Only where events are left out can
    /// it be another than that of the last.
    pub(super) fn move_to(&mut self, id: &str) -> Result<(), Error> {
        let after = parse(id)?.saturating_add(1);
        let may_be = match self.next() {
            None => true,
            Some(next) if self.is_filtered => after >= next,
            Some(next) => after == next,
        };
        if !may_be {
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
        Event::received(
            "k".into(),
            Some(format!("17-{number}")),
            "token".into(),
            String::new(),
        )
        .unwrap()
    }

    fn missed(first: u64) -> Event {
        let data = format!(r#"{{"after":null,"first":"17-{first}","missed":3}}"#);
        Event::received("k".into(), None, "missedevents".into(), data).unwrap()
    }

    fn after(last: u64, is_filtered: bool) -> Order {
        Order::after(Some(format!("16-{last}")), is_filtered)
    }

    proptest! {
        #[test]
        fn only_the_next_event_passes(last in 0..9_u64, next in 0..20_u64) {
            prop_assert_eq!(after(last, false).check(&event(next)).is_ok(), next == last + 1);
        }

        #[test]
        fn where_events_are_left_out_only_later_ones_pass(last in 0..9_u64, next in 0..20_u64) {
            prop_assert_eq!(after(last, true).check(&event(next)).is_ok(), next > last);
        }

        #[test]
        fn after_missedevents_only_the_event_that_it_names_passes(last in 0..9_u64, first in 0..20_u64, next in 0..20_u64) {
            let mut order = after(last, false);
            order.check(&missed(first)).unwrap();
            prop_assert_eq!(order.check(&event(next)).is_ok(), next == first);
        }

        #[test]
        fn after_missedevents_none_before_the_one_that_it_names_passes_a_filter(last in 0..9_u64, first in 0..20_u64, next in 0..20_u64) {
            let mut order = after(last, true);
            order.check(&missed(first)).unwrap();
            prop_assert_eq!(order.check(&event(next)).is_ok(), next >= first);
        }

        #[test]
        fn a_position_moves_only_forward_and_only_where_events_are_left_out(last in 0..9_u64, to in 0..20_u64, is_filtered: bool) {
            let moved = after(last, is_filtered).move_to(&format!("17-{to}"));
            prop_assert_eq!(moved.is_ok(), to == last || is_filtered && to > last);
        }

        #[test]
        fn from_a_position_that_the_broker_tells_the_events_follow(to in 0..9_u64, next in 0..20_u64) {
            let mut order = Order::unknown(false);
            order.move_to(&format!("17-{to}")).unwrap();
            prop_assert_eq!(order.check(&event(next)).is_ok(), next == to + 1);
        }
    }

    #[test]
    fn a_stream_begins_with_its_first_event() {
        assert!(Order::after(None, false).check(&event(0)).is_ok());
        assert_eq!(
            Order::after(None, false)
                .check(&event(1))
                .unwrap_err()
                .code(),
            "gap"
        );
    }

    #[test]
    fn what_was_missed_is_told_anew_on_another_connection() {
        let mut order = after(4, false);
        order.check(&missed(8)).unwrap();
        order.resume();
        order.check(&missed(9)).unwrap();
        assert!(order.check(&event(9)).is_ok());
    }
}
