//! The events that a subscription delivers.

use serde::{Deserialize, de::DeserializeOwned};

use crate::{Error, Status};

/// Event names that only the broker may write.
const RESERVED_NAMES: [&str; 7] = [
    "start",
    "end",
    "cancel",
    "fail",
    "abandon",
    "error",
    MISSED_EVENTS,
];
pub(crate) const MISSED_EVENTS: &str = "missedevents";

/// The longest event name, in bytes of UTF-8.
const MAX_NAME_BYTES: usize = 128;

/// An event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// The key of its stream.
    pub key: String,
    /// Its id, `<milliseconds>-<number>`. None only for `missedevents`, which is not stored in the
    /// stream.
    pub id: Option<String>,
    /// Its name.
    pub event: String,
    /// Its data; empty when there is none.
    pub data: String,
    /// How many events of the stream it stands for. More than 1 only with
    /// [`rollup`](crate::Subscribe::rollup).
    pub count: u64,
    /// For an event named `missedevents`: the events that are no longer stored.
    pub missed: Option<Missed>,
}

/// Events that the broker no longer stored when the subscription asked for them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Missed {
    /// The id of the last event before the missing ones. None at the start of the stream.
    pub after: Option<String>,
    /// The id of the event that comes next. None when the stream no longer exists.
    pub first: Option<String>,
    /// How many events are missing. None when the broker can't know.
    pub missed: Option<u64>,
}

impl Event {
    /// Parses the data as JSON.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(&self.data)
    }

    /// An event that the broker sent. Fails when an event other than `missedevents` has no id.
    pub(crate) fn received(
        key: String,
        id: Option<String>,
        event: String,
        data: String,
        count: u64,
    ) -> Result<Self, Error> {
        let missed = match &id {
            Some(_) => None,
            None if event == MISSED_EVENTS => Some(
                serde_json::from_str(&data)
                    .map_err(|error| Error::InvalidAnswer(format!("missedevents: {error}")))?,
            ),
            None => {
                return Err(Error::InvalidAnswer(format!(
                    "an event {event:?} without an id"
                )));
            }
        };
        Ok(Self {
            key,
            id,
            event,
            data,
            count,
            missed,
        })
    }

    /// How the stream was finished, if this is its last event. Only the broker can write events of
    /// these names.
    pub(crate) fn finishes(&self) -> Option<Status> {
        match (&*self.event, &self.missed) {
            ("end", _) => Some(Status::Ended),
            ("cancel", _) => Some(Status::Cancelled),
            (_, Some(Missed { first: None, .. })) => Some(Status::Gone),
            _ => None,
        }
    }
}

/// The number of an event in its stream, which its id ends with.
pub(crate) fn number(id: &str) -> Option<u64> {
    let (_, number) = id.split_once('-')?;
    number.parse().ok()
}

/// Fails for the names that the broker would refuse.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if RESERVED_NAMES.contains(&name) {
        Err(Error::ReservedEvent(name.to_owned()))
    } else if (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.chars().any(char::is_control) {
        Ok(())
    } else {
        Err(Error::InvalidEvent(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_brokers_own_names_are_refused() {
        for name in RESERVED_NAMES {
            assert_eq!(check_name(name).unwrap_err().code(), "reserved-event");
        }
    }

    #[test]
    fn a_name_is_measured_in_bytes() {
        assert!(check_name(&"é".repeat(64)).is_ok());
        assert_eq!(
            check_name(&"é".repeat(65)).unwrap_err().code(),
            "invalid-event"
        );
        assert_eq!(check_name("").unwrap_err().code(), "invalid-event");
    }

    proptest! {
        #[test]
        fn a_name_with_a_control_character_is_refused(
            before in "[a-z]{0,9}",
            control in "\\p{Cc}",
            after in "[a-z]{0,9}",
        ) {
            prop_assert!(check_name(&[before, control, after].concat()).is_err());
        }
    }

    #[test]
    fn missedevents_describes_the_missing_events() {
        let event = Event::received(
            "k".into(),
            None,
            "missedevents".into(),
            r#"{"after":null,"first":"5-2","missed":2}"#.into(),
            1,
        )
        .unwrap();
        assert_eq!(
            event.missed,
            Some(Missed {
                after: None,
                first: Some("5-2".into()),
                missed: Some(2)
            })
        );
    }

    #[test]
    fn only_missedevents_may_have_no_id() {
        assert_eq!(
            Event::received("k".into(), None, "token".into(), String::new(), 1)
                .unwrap_err()
                .code(),
            "invalid-answer"
        );
    }
}
