//! Entries, positions and gaps, as JSON objects.

use serde::Serialize;

use super::text::{text, time};
use crate::stream::{Entry, EventId, Missed, Status, StreamKey};

/// The name of the event that reports a gap.
pub(in crate::codec) const MISSED_EVENTS: &str = "missedevents";

/// An entry for a subscriber. A subscriber of several streams receives the `key` too.
#[derive(Serialize)]
struct EntryOut<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a StreamKey>,
    id: EventId,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_status: Option<Status>,
    #[serde(skip_serializing_if = "is_one")]
    count: u32,
}

/// Whether an entry is one event of the stream.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_one(count: &u32) -> bool {
    *count == 1
}

/// An entry with its time, for the list of stored events.
#[derive(Serialize)]
struct StoredEntry<'a> {
    id: EventId,
    time: String,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
}

/// An entry as a JSON object. The last event of a finished stream has the stream's status. An entry
/// that stands for several events says for how many.
#[must_use]
pub fn entry(key: Option<&StreamKey>, entry: &Entry, count: u32, status: Option<Status>) -> String {
    text(&EntryOut {
        key,
        id: entry.id,
        event: &entry.name,
        data: entry.data.as_deref(),
        stream_status: status,
        count,
    })
}

/// A position without an event. A subscriber that resumes there misses no event that passes its
/// filter.
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

/// An entry with its time, as a JSON object.
#[must_use]
pub fn stored_entry(entry: &Entry) -> String {
    text(&StoredEntry {
        id: entry.id,
        time: time(entry.id.ms),
        event: &entry.name,
        data: entry.data.as_deref(),
    })
}

/// A gap, as a JSON object between the entries. It has no id.
#[must_use]
pub fn missed(key: Option<&StreamKey>, missed: &Missed) -> String {
    missed_events(key, missed_data(missed))
}

/// The last gap, as a JSON object: the stream no longer exists.
#[must_use]
pub fn deleted(key: &StreamKey, after: Option<EventId>) -> String {
    missed_events(Some(key), deleted_data(after))
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
        event: MISSED_EVENTS,
        data,
    })
}

/// The data of the event that reports a gap.
#[must_use]
pub fn missed_data(missed: &Missed) -> String {
    text(missed)
}

/// The data of the event that reports the last gap: no event follows, because the stream no longer
/// exists.
#[must_use]
pub fn deleted_data(after: Option<EventId>) -> String {
    #[derive(Serialize)]
    struct DeletedOut {
        after: Option<EventId>,
        first: Option<EventId>,
        missed: Option<u64>,
    }
    text(&DeletedOut {
        after,
        first: None,
        missed: None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn written(name: &str, data: Option<&str>) -> String {
        let id = EventId { ms: 5, n: 7 };
        let (name, data) = (name.into(), data.map(Into::into));
        entry(None, &Entry { id, name, data }, 1, None)
    }

    proptest! {
        #[test]
        fn an_entry_reads_back_as_it_was(name in ".*", text in prop::option::of(".*")) {
            let value: Value = serde_json::from_str(&written(&name, text.as_deref())).unwrap();
            prop_assert_eq!(&value["id"], "5-7");
            prop_assert_eq!(value["event"].as_str(), Some(&*name));
            prop_assert_eq!(value.get("data").and_then(Value::as_str), text.as_deref());
        }

        #[test]
        fn an_entry_is_one_line_by_the_rules_of_unicode(
            text in "[a\u{2028}\u{2029}\u{85}\u{c2}\u{2026}é\n\r\u{b}\u{c}]{0,30}"
        ) {
            let written = written("x", Some(&text));
            let line_ends = ['\n', '\r', '\u{b}', '\u{c}', '\u{85}', '\u{2028}', '\u{2029}'];
            prop_assert!(!written.contains(line_ends), "{}", written);
            let value: Value = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(value["data"].as_str(), Some(&*text));
        }
    }
}
