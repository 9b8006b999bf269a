//! That the events of a stream come one after the other, each once.

use crate::{Error, Event, event::number};

/// Where a subscription stands in its stream.
#[derive(Debug)]
pub(super) struct Order {
    last_id: Option<String>,
    /// What a `missedevents` told to come next.
    first: Option<String>,
}

impl Order {
    /// After the event with this id; None: before the first.
    pub(super) fn after(last_id: Option<String>) -> Self {
        Self { last_id, first: None }
    }

    /// The id after which to go on, for a new connection.
    pub(super) fn resume(&mut self) -> Option<&str> {
        // What was missed is told again.
        self.first = None;
        self.last_id.as_deref()
    }

    /// Takes note of an event, which must be the next.
    pub(super) fn check(&mut self, event: &Event) -> Result<(), Error> {
        let Some(id) = &event.id else {
            self.first = event.missed.as_ref().map(|missed| missed.first.clone());
            return Ok(());
        };
        let Some(found) = number(id) else { return Err(Error::InvalidAnswer(format!("{id:?} is no event id"))) };
        let next = self.last_id.as_deref().and_then(number).map_or(0, |last| last.saturating_add(1));
        let (is_next, expected) = match &self.first {
            Some(first) => (first == id, first.clone()),
            None => (found == next, format!("number {next}")),
        };
        if !is_next {
            return Err(Error::Gap { expected, found: id.clone() });
        }
        *self = Self::after(event.id.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(number: u64) -> Event {
        Event::received(Some(format!("17-{number}")), "token".into(), String::new()).unwrap()
    }

    fn missed(first: u64) -> Event {
        let data = format!(r#"{{"after":null,"first":"17-{first}","missed":3}}"#);
        Event::received(None, "missedevents".into(), data).unwrap()
    }

    proptest! {
        #[test]
        fn only_the_next_event_passes(last in 0..9_u64, next in 0..20_u64) {
            let mut order = Order::after(Some(format!("16-{last}")));
            prop_assert_eq!(order.check(&event(next)).is_ok(), next == last + 1);
        }

        #[test]
        fn after_missedevents_only_the_event_that_it_names_passes(last in 0..9_u64, first in 0..20_u64, next in 0..20_u64) {
            let mut order = Order::after(Some(format!("16-{last}")));
            order.check(&missed(first)).unwrap();
            prop_assert_eq!(order.check(&event(next)).is_ok(), next == first);
        }
    }

    #[test]
    fn a_stream_begins_with_its_first_event() {
        assert!(Order::after(None).check(&event(0)).is_ok());
        assert_eq!(Order::after(None).check(&event(1)).unwrap_err().code(), "gap");
    }

    #[test]
    fn what_was_missed_is_told_anew_on_another_connection() {
        let mut order = Order::after(Some("17-4".into()));
        order.check(&missed(8)).unwrap();
        assert_eq!(order.resume(), Some("17-4"));
        order.check(&missed(9)).unwrap();
        assert!(order.check(&event(9)).is_ok());
        assert_eq!(order.resume(), Some("17-9"));
    }
}
