//! JSON: events as backends send them, entries as clients get them.

use std::{borrow::Cow, fmt, io, marker::PhantomData};

use chrono::{DateTime, SecondsFormat};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IgnoredAny, MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;

use crate::stream::{Entry, EventId, InvalidEvent, Missed, NewEvent, StreamKey};

/// A struct that is read from a JSON object only. What serde derives would take an array of the
/// fields' values, too.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Fields<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(fields))
            }
        }

        deserializer.deserialize_map(Fields(PhantomData)).map(Self)
    }
}

/// The most names of unknown members that are kept of an event.
pub const MAX_UNKNOWN: usize = 16;

/// `{"event", "data"?}` as it comes. The data is looked at later, as it may be any JSON value.
#[derive(Debug)]
pub struct EventIn<'a> {
    event: Cow<'a, str>,
    /// Absent and `null` both mean none.
    data: Option<&'a RawValue>,
    /// The names of other members, each once.
    unknown: Vec<Cow<'a, str>>,
}

/// A string that is borrowed where it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for EventIn<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;

        impl<'de> Visitor<'de> for Members {
            type Value = EventIn<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut members: A,
            ) -> Result<EventIn<'de>, A::Error> {
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
                                // Few events have any, and most of those have one: a batch holds
                                // many events.
                                unknown.reserve_exact(1);
                                unknown.push(name);
                            }
                        }
                    }
                }
                let event = event.ok_or_else(|| de::Error::missing_field("event"))?;
                Ok(EventIn {
                    event,
                    data: data.flatten(),
                    unknown,
                })
            }
        }

        deserializer.deserialize_struct("EventIn", &["event", "data"], Members)
    }
}

/// Why something is not an event. The text is one clause for the sender.
#[derive(Debug, thiserror::Error)]
pub enum EventProblem {
    /// Not JSON, or not of this shape.
    #[error("not a JSON object with a string \"event\" and an optional \"data\": {0}")]
    Shape(#[from] serde_json::Error),
    /// It has a member of this name, which is neither `event` nor `data`.
    #[error("an event has no member {0:?}, only \"event\" and \"data\"")]
    UnknownMember(Box<str>),
    /// The name is not a good one.
    #[error(transparent)]
    Invalid(#[from] InvalidEvent),
    /// Name and data together are more than the limit.
    #[error("an event is at most {limit} bytes of name and data, not {bytes}")]
    TooLarge {
        /// The most bytes.
        limit: usize,
        /// The bytes of this event.
        bytes: usize,
    },
}

impl<'a> EventIn<'a> {
    /// Reads one event.
    pub fn read(bytes: &'a [u8]) -> Result<Self, EventProblem> {
        let Object(event) = serde_json::from_slice::<Object<Self>>(without_bom(bytes))?;
        Ok(event)
    }

    /// Takes the names of members that an event does not have: each once, the first
    /// [`MAX_UNKNOWN`].
    pub fn take_unknown(&mut self) -> Vec<Cow<'a, str>> {
        std::mem::take(&mut self.unknown)
    }

    /// Checks the event, whose name and data are together at most `limit` bytes. A string is taken
    /// for what it says, any other value as its compact JSON text.
    pub fn check(self, limit: usize) -> Result<NewEvent, EventProblem> {
        let data = match self.data.map(RawValue::get) {
            None | Some("null") => None,
            Some(text) if text.starts_with('"') => Some(serde_json::from_str::<Box<str>>(text)?),
            Some(text) => Some(compact(text).into()),
        };
        let event = NewEvent::new(self.event, data)?;
        let bytes = event.weight();
        if bytes > limit {
            Err(EventProblem::TooLarge { limit, bytes })
        } else {
            Ok(event)
        }
    }
}

/// Reads one event, whose name and data are together at most `limit` bytes.
pub fn event(bytes: &[u8], limit: usize) -> Result<NewEvent, EventProblem> {
    EventIn::read(bytes)?.check(limit)
}

/// The text without the byte order mark that some programs write before UTF-8. JSON does not allow
/// one, but a reader may skip it ([RFC 8259,
/// 8.1](https://www.rfc-editor.org/rfc/rfc8259#section-8.1)).
#[must_use]
pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Well-formed JSON without the white space between its tokens. Numbers and escapes stay as they
/// were sent: reading and writing the value anew would round large numbers.
pub(crate) fn compact(json: &str) -> String {
    let mut in_string = false;
    let mut escaped = false;
    let keep = |c: &char| {
        if in_string {
            in_string = escaped || *c != '"';
            escaped = !escaped && *c == '\\';
            return true;
        }
        in_string = *c == '"';
        !matches!(c, ' ' | '\t' | '\n' | '\r')
    };
    json.chars().filter(keep).collect()
}

/// An entry as clients get it. `key` says which stream it is from, where that is told.
#[derive(Serialize)]
struct EntryOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a StreamKey>,
    id: EventId,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
}

/// An entry with its time, as it is listed for backends.
#[derive(Serialize)]
struct StoredEntry<'a> {
    id: EventId,
    time: String,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
}

/// The entry as a JSON object.
#[must_use]
pub fn entry(key: Option<&StreamKey>, entry: &Entry) -> String {
    text(&EntryOut {
        key,
        id: entry.id,
        event: &entry.name,
        data: entry.data.as_deref(),
    })
}

/// A position without an event: a client that goes on from there misses nothing that it wants.
#[must_use]
pub fn position(key: Option<&StreamKey>, id: EventId) -> String {
    #[derive(Serialize)]
    struct PositionOut<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<&'a StreamKey>,
        id: EventId,
    }
    text(&PositionOut { key, id })
}

/// The entry with its time as a JSON object.
#[must_use]
pub fn stored_entry(entry: &Entry) -> String {
    text(&StoredEntry {
        id: entry.id,
        time: time(entry.id.ms),
        event: &entry.name,
        data: entry.data.as_deref(),
    })
}

/// A gap, as an object among the entries: without an id.
#[must_use]
pub fn missed(key: Option<&StreamKey>, missed: &Missed) -> String {
    missed_events(key, missed_data(missed))
}

/// The last gap: the stream is no more.
#[must_use]
pub fn gone(key: &StreamKey, after: Option<EventId>) -> String {
    missed_events(Some(key), gone_data(after))
}

fn missed_events(key: Option<&StreamKey>, data: String) -> String {
    #[derive(Serialize)]
    struct MissedOut<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        key: Option<&'a StreamKey>,
        event: &'static str,
        data: String,
    }
    text(&MissedOut {
        key,
        event: super::MISSED_EVENTS,
        data,
    })
}

/// The data of the event that tells a gap.
#[must_use]
pub fn missed_data(missed: &Missed) -> String {
    text(missed)
}

/// The same where nothing follows, as the stream is no more.
#[must_use]
pub fn gone_data(after: Option<EventId>) -> String {
    #[derive(Serialize)]
    struct GoneOut {
        after: Option<EventId>,
        first: Option<EventId>,
        missed: Option<u64>,
    }
    text(&GoneOut {
        after,
        first: None,
        missed: None,
    })
}

/// A time in RFC 3339 with milliseconds.
#[must_use]
pub fn time(ms: u64) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(DateTime::from_timestamp_millis)
        .unwrap_or(DateTime::UNIX_EPOCH);
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// JSON text of one of our own types: strings and numbers under fixed names, which always
/// serialize. Safe in a line: see [`InLine`].
#[must_use]
pub fn text(value: &impl Serialize) -> String {
    let mut out = Vec::with_capacity(128);
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(
        &mut out, InLine,
    ));
    // Writing to memory does not fail, and JSON is UTF-8.
    written
        .ok()
        .and_then(|()| String::from_utf8(out).ok())
        .unwrap_or_default()
}

/// Compact JSON without what some readers take for the end of a line. U+2028, U+2029 and U+0085 may
/// stand in JSON strings as they are, but clients that split text by Unicode's rules (Python's
/// `splitlines`, Java's `lines`, old JavaScript) cut there. Escaped they mean the same.
struct InLine;

impl serde_json::ser::Formatter for InLine {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let bytes = fragment.as_bytes();
        let mut written = 0;
        for at in memchr::memchr2_iter(0xC2, 0xE2, bytes) {
            let (length, escape) = match bytes[at..] {
                [0xC2, 0x85, ..] => (2, b"\\u0085"),
                [0xE2, 0x80, 0xA8, ..] => (3, b"\\u2028"),
                [0xE2, 0x80, 0xA9, ..] => (3, b"\\u2029"),
                _ => continue,
            };
            out.write_all(&bytes[written..at])?;
            out.write_all(escape)?;
            written = at + length;
        }
        out.write_all(&bytes[written..])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Reads one event of any size.
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

        #[test]
        fn an_entry_reads_back_as_it_was(name in ".*", text in prop::option::of(".*")) {
            let written = entry(None, &Entry { id: EventId { ms: 5, n: 7 }, name: name.clone().into(), data: text.clone().map(Into::into) });
            let value: Value = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(&value["id"], "5-7");
            prop_assert_eq!(value["event"].as_str(), Some(&*name));
            prop_assert_eq!(value.get("data").and_then(Value::as_str), text.as_deref());
        }

        #[test]
        fn an_entry_is_one_line_by_unicode_s_rules(text in "[a\u{2028}\u{2029}\u{85}\u{c2}\u{2026}é\n\r\u{b}\u{c}]{0,30}") {
            let written = entry(None, &Entry { id: EventId { ms: 5, n: 7 }, name: "x".into(), data: Some(text.as_str().into()) });
            prop_assert!(!written.contains(['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}']), "{}", written);
            let value: Value = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(value["data"].as_str(), Some(&*text));
        }

        #[test]
        fn compact_json_means_the_same(text in ".*", number: i64) {
            let value = serde_json::json!({"a b": [text, number, {"c": "\\\" \\"}], " ": null});
            let compacted = compact(&serde_json::to_string_pretty(&value).unwrap());
            prop_assert_eq!(compacted, serde_json::to_string(&value).unwrap());
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
    fn an_event_is_weighed_as_it_is_stored() {
        // In the stream these are 5 bytes, however they were spelled.
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
    fn what_is_no_event_is_refused_with_a_reason() {
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
