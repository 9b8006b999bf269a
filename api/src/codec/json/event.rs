//! Events of publishers, as JSON.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use super::{
    object::Object,
    text::{compact, without_bom},
};
use crate::stream::{InvalidEvent, NewEvent};

/// The most names of unknown members that an event keeps.
pub const MAX_UNKNOWN: usize = 16;

/// An event of a publisher, `{"event", "data"?}`, before its check. The check reads the data, which
/// may be any JSON value.
#[derive(Debug)]
pub struct UncheckedEvent<'a> {
    event: Cow<'a, str>,
    /// Absent and `null` both mean none.
    data: Option<&'a RawValue>,
    /// The names of other members, each once.
    unknown: Vec<Cow<'a, str>>,
}

/// A string that borrows from the input if it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for UncheckedEvent<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = UncheckedEvent<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut members: A,
            ) -> Result<UncheckedEvent<'de>, A::Error> {
                let (mut event, mut data, mut unknown) = (None, None, Vec::new());
                while let Some(Text(name)) = members.next_key()? {
                    match &*name {
                        "event" if event.is_some() => {
                            return Err(de::Error::duplicate_field("event"));
                        }
                        "event" => event = Some(members.next_value::<Text<'_>>()?.0),
                        "data" if data.is_some() => return Err(de::Error::duplicate_field("data")),
                        "data" => data = Some(members.next_value::<Option<&RawValue>>()?),
                        _ => {
                            members.next_value::<IgnoredAny>()?;
                            if unknown.len() < MAX_UNKNOWN && !unknown.contains(&name) {
                                // Few events have unknown members, and most of those have one. A
                                // batch holds many events, so that spare capacity would add up.
                                unknown.reserve_exact(1);
                                unknown.push(name);
                            }
                        }
                    }
                }
                let event = event.ok_or_else(|| de::Error::missing_field("event"))?;
                Ok(UncheckedEvent {
                    event,
                    data: data.flatten(),
                    unknown,
                })
            }
        }

        deserializer.deserialize_struct("UncheckedEvent", &["event", "data"], Members)
    }
}

/// Why an input is not an event. The text is one clause for the publisher.
#[derive(Debug, thiserror::Error)]
pub enum EventProblem {
    /// Not JSON, or not of this shape.
    #[error("not a JSON object with a string \"event\" and an optional \"data\": {0}")]
    Shape(#[from] serde_json::Error),
    /// It has a member of this name, which is neither `event` nor `data`.
    #[error("an event has no member {0:?}, only \"event\" and \"data\"")]
    UnknownMember(Box<str>),
    /// The event name is not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidEvent),
    /// Name and data together are longer than the limit.
    #[error("an event is at most {limit} bytes of name and data, not {bytes}")]
    TooLarge {
        /// The most bytes.
        limit: usize,
        /// The bytes of this event.
        bytes: usize,
    },
}

impl<'a> UncheckedEvent<'a> {
    /// Parses one event.
    pub fn read(bytes: &'a [u8]) -> Result<Self, EventProblem> {
        let Object(event) = serde_json::from_slice::<Object<Self>>(without_bom(bytes))?;
        Ok(event)
    }

    /// Takes the names of unknown members: each once, the first [`MAX_UNKNOWN`].
    pub fn take_unknown(&mut self) -> Vec<Cow<'a, str>> {
        std::mem::take(&mut self.unknown)
    }

    /// Checks the event. Its name and data may have at most `limit` bytes together. The data of the
    /// result is the content of a string, or the compact JSON text of any other value.
    pub fn check(self, limit: usize) -> Result<NewEvent, EventProblem> {
        let data = stored_data(self.data)?;
        let event = NewEvent::new(self.event, data)?;
        let bytes = event.weight();
        if bytes > limit {
            Err(EventProblem::TooLarge { limit, bytes })
        } else {
            Ok(event)
        }
    }
}

/// The data of an event as it is stored: the content of a string, or the compact JSON text of any
/// other value. `null` is the same as none.
///
/// Errors: a string with half a surrogate pair.
pub fn stored_data(data: Option<&RawValue>) -> Result<Option<Box<str>>, serde_json::Error> {
    Ok(match data.map(RawValue::get) {
        None | Some("null") => None,
        Some(text) if text.starts_with('"') => Some(serde_json::from_str::<Box<str>>(text)?),
        Some(text) => Some(compact(text).into()),
    })
}

/// Parses and checks one event. Its name and data may have at most `limit` bytes together.
pub fn event(bytes: &[u8], limit: usize) -> Result<NewEvent, EventProblem> {
    UncheckedEvent::read(bytes)?.check(limit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Parses one event of any size.
    fn event(bytes: &[u8]) -> Result<NewEvent, EventProblem> {
        super::event(bytes, usize::MAX)
    }

    fn data(json: &str) -> Option<String> {
        event(format!(r#"{{"event":"x","data":{json}}}"#).as_bytes())
            .unwrap()
            .data()
            .map(ToOwned::to_owned)
    }

    proptest! {
        #[test]
        fn any_text_survives_as_data(text: String) {
            let line = serde_json::json!({"event": "x", "data": text}).to_string();
            let event = event(line.as_bytes()).unwrap();
            prop_assert_eq!(event.data(), Some(&*text));
        }
    }

    #[test]
    fn data_that_is_no_string_becomes_its_compact_text() {
        assert_eq!(
            data(r#"{ "a" : [1, 2.50, " b "] }"#).as_deref(),
            Some(r#"{"a":[1,2.50," b "]}"#)
        );
        assert_eq!(
            data("12345678901234567890123").as_deref(),
            Some("12345678901234567890123")
        );
        assert_eq!(data("true").as_deref(), Some("true"));
        assert_eq!(data("null"), None);
        assert_eq!(data(r#""""#).as_deref(), Some(""));
        assert_eq!(event(br#"{"event":"x"}"#).unwrap().data(), None);
    }

    #[test]
    fn the_size_of_an_event_is_that_of_its_stored_form() {
        // Each of these takes 5 bytes in the stream.
        for spelling in [
            r#"{"event":"abc","data":"de"}"#,
            r#"{"event":"\u0061bc","data":"d\u0065"}"#,
            r#"{"event":"abc","data":[ ]}"#,
        ] {
            assert!(super::event(spelling.as_bytes(), 5).is_ok(), "{spelling}");
            let refused = super::event(spelling.as_bytes(), 4);
            assert!(
                matches!(refused, Err(EventProblem::TooLarge { limit: 4, bytes: 5 })),
                "{spelling}"
            );
        }
    }

    #[test]
    fn an_invalid_event_is_refused_with_a_reason() {
        for bad in [
            &b"null"[..],
            b"[]",
            b"[\"x\",\"data\"]",
            b"{}",
            b"{\"event\":1}",
            b"{\"event\":\"x\"",
            b"{\"event\":\"x\"} {}",
            b"\xff",
            br#"{"event":"x","data":"\ud800"}"#,
        ] {
            assert!(matches!(event(bad), Err(EventProblem::Shape(_))), "{bad:?}");
        }
        assert!(matches!(
            event(br#"{"event":"end"}"#),
            Err(EventProblem::Invalid(InvalidEvent::Reserved(_)))
        ));
    }
}
