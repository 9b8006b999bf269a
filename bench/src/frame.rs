//! Events as subscribers receive them, parsed from server-sent events or WebSocket messages.

use std::borrow::Cow;

use memchr::{memchr, memmem};
use serde::Deserialize;

/// The name of every event that the load generator writes.
pub(crate) const EVENT: &[u8] = b"n";

/// The name of the broker's notice of a gap.
const MISSED: &[u8] = b"missedevents";

/// `<milliseconds>-<number>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id {
    pub(crate) milliseconds: u64,
    pub(crate) number: u64,
}

impl Id {
    fn parse(text: &[u8]) -> Option<Self> {
        let dash = memchr(b'-', text)?;
        Some(Self {
            milliseconds: decimal(&text[..dash])?,
            number: decimal(&text[dash + 1..])?,
        })
    }
}

pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The parts of an event that a measurement uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// None for the notice of a gap.
    pub(crate) id: Option<Id>,
    /// The key of its stream, if the frame has one. It needs no decoding, as the keys of these
    /// streams need no encoding.
    pub(crate) key: &'a [u8],
    pub(crate) name: &'a [u8],
    /// The first line of the data.
    pub(crate) data: &'a [u8],
}

/// Removes all complete blocks of server-sent events from `body`, and calls `each` with every
/// block, without the empty line that ends it.
pub(crate) fn drain_blocks(body: &mut Vec<u8>, mut each: impl FnMut(&[u8])) {
    let mut start = 0;
    while let Some(length) = memmem::find(&body[start..], b"\n\n") {
        each(&body[start..start + length]);
        start += length + 2;
    }
    body.drain(..start);
}

/// Splits an id into key and id. With several streams over one connection an id is a cursor, which
/// begins with the event's own position: `KEY:ID,…`.
fn key_and_id(text: &[u8]) -> (&[u8], Option<Id>) {
    let Some(colon) = memchr(b':', text) else {
        return (b"", Id::parse(text));
    };
    let own = memchr(b',', text).map_or(text, |comma| &text[..comma]);
    let id = own.get(colon + 1..).unwrap_or_default();
    // A `!` marks the last event of a stream.
    (
        &text[..colon],
        Id::parse(id.strip_suffix(b"!").unwrap_or(id)),
    )
}

/// Parses an event in a block that has an id of the broker. Heartbeats and a lone reconnection time
/// are not events.
pub(crate) fn with_id(block: &[u8]) -> Option<Frame<'_>> {
    let mut frame = Frame::default();
    let mut data = None;
    for line in block.split(|byte| *byte == b'\n') {
        if let Some(id) = line.strip_prefix(b"id: ") {
            (frame.key, frame.id) = key_and_id(id);
        } else if let Some(name) = line.strip_prefix(b"event: ") {
            frame.name = name;
        } else if let Some(line) = line.strip_prefix(b"data: ") {
            data.get_or_insert(line);
        }
    }
    frame.data = data?;
    if frame.name == MISSED {
        // With a key it has the position before the gap, which is not the id of an event.
        frame.id = None;
    }
    Some(frame)
}

/// An event as WebSocket subscribers receive it.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow, default)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(default)]
    data: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Text<'a> {
    #[serde(borrow)]
    Many(Vec<Message<'a>>),
    #[serde(borrow)]
    One(Message<'a>),
}

/// Calls `each` with the events of a WebSocket message, which is an array or an object.
pub(crate) fn message_frames(
    text: &str,
    mut each: impl FnMut(Frame<'_>),
) -> Result<(), serde_json::Error> {
    let mut emit = |message: &Message<'_>| {
        each(Frame {
            id: Id::parse(message.id.as_bytes()),
            key: message.key.as_bytes(),
            name: message.event.as_bytes(),
            data: message.data.as_deref().unwrap_or_default().as_bytes(),
        });
    };
    // The first character decides, as trying both forms is slow.
    if text.starts_with('{') {
        emit(&serde_json::from_str(text)?);
    } else {
        match serde_json::from_str(text)? {
            Text::Many(messages) => messages.iter().for_each(emit),
            Text::One(message) => emit(&message),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_are_taken_and_the_rest_stays() {
        let mut body = b"retry: 1000\nid: 17-0\nevent: start\ndata: \n\n:\n\n\
            event: missedevents\ndata: {}\n\n\
            id: 18-1\nevent: n\ndata: 5xx\ndata: y\n\nid: 18-2\n"
            .to_vec();
        let mut seen = Vec::new();
        drain_blocks(&mut body, |block| {
            seen.extend(with_id(block).map(|frame| {
                (
                    frame.id.map(|id| id.number),
                    frame.name.to_vec(),
                    frame.data.to_vec(),
                )
            }));
        });
        let expected = [
            (Some(0), "start", ""),
            (None, "missedevents", "{}"),
            (Some(1), "n", "5xx"),
        ];
        assert_eq!(
            seen,
            expected.map(|(id, name, data)| (
                id,
                name.as_bytes().to_vec(),
                data.as_bytes().to_vec()
            ))
        );
        assert_eq!(body, b"id: 18-2\n");
    }

    #[test]
    fn a_cursor_starts_with_the_stream_and_its_own_id() {
        let block = |id: &str, name: &str| format!("id: {id}\nevent: {name}\ndata: 5");
        for (id, name, expected) in [
            ("b-1:17-3,~AQBz:,c:9-9", "n", ("b-1", Some(3))),
            ("b-1:17-3", "n", ("b-1", Some(3))),
            ("b-1:17-3!,c:9-9", "end", ("b-1", Some(3))),
            ("b-1:17-3,c:9-9", "missedevents", ("b-1", None)),
            ("b-1:", "missedevents", ("b-1", None)),
            ("17-3", "n", ("", Some(3))),
        ] {
            let block = block(id, name);
            let frame = with_id(block.as_bytes()).unwrap();
            assert_eq!(
                (frame.key, frame.id.map(|id| id.number)),
                (expected.0.as_bytes(), expected.1),
                "{id}"
            );
        }
        // A position without an event is no event.
        assert_eq!(with_id(b"id: b-1:17-3"), None);
    }

    #[test]
    fn messages_are_arrays_and_objects() {
        let mut seen = Vec::new();
        for text in [
            r#"[{"id":"1-0","event":"start"},{"event":"missedevents","data":"{\"missed\":1}"}]"#,
            r#"{"id":"1-1","event":"n","data":"7"}"#,
            r#"{"key":"b-1","id":"1-2","event":"n","data":"7"}"#,
        ] {
            message_frames(text, |frame| {
                seen.push((frame.key.to_vec(), frame.id.map(|id| id.number)));
            })
            .unwrap();
        }
        let expected = [("", Some(0)), ("", None), ("", Some(1)), ("b-1", Some(2))];
        assert_eq!(
            seen,
            expected.map(|(key, number)| (key.as_bytes().to_vec(), number))
        );
    }
}
