//! Events as clients receive them, cut out of a body of server-sent events or a WebSocket message.

use std::borrow::Cow;

use memchr::{memchr, memmem};
use serde::Deserialize;

/// The name of every event that is written here.
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

/// An event, as far as a measurement wants to know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// None: the notice of a gap.
    pub(crate) id: Option<Id>,
    /// The stream that it is from, where the connection says so: as it stands there, as keys of
    /// streams made here need no encoding.
    pub(crate) key: &'a [u8],
    pub(crate) name: &'a [u8],
    /// The first line of it.
    pub(crate) data: &'a [u8],
}

/// Hands every whole block of server-sent events in `body`, without the empty line that ends it, to
/// `each` and removes it.
pub(crate) fn drain_blocks(body: &mut Vec<u8>, mut each: impl FnMut(&[u8])) {
    let mut start = 0;
    while let Some(length) = memmem::find(&body[start..], b"\n\n") {
        each(&body[start..start + length]);
        start += length + 2;
    }
    body.drain(..start);
}

/// The parts of an id, which with several streams over one connection is a cursor that begins with
/// the event's own: `KEY:ID,…`.
fn key_and_id(text: &[u8]) -> (&[u8], Option<Id>) {
    let Some(colon) = memchr(b':', text) else {
        return (b"", Id::parse(text));
    };
    let own = memchr(b',', text).map_or(text, |comma| &text[..comma]);
    let id = own.get(colon + 1..).unwrap_or_default();
    // A stream's last is marked.
    (
        &text[..colon],
        Id::parse(id.strip_suffix(b"!").unwrap_or(id)),
    )
}

/// The event in a block, where ids are as the broker's. Heartbeats and the reconnection time alone
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
        // With a key it has the position from before the gap, which is no event's.
        frame.id = None;
    }
    Some(frame)
}

/// An event as WebSocket clients get it.
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

/// Hands the events of a WebSocket message, an array or one object, to `each`.
pub(crate) fn message_frames(
    text: &str,
    mut each: impl FnMut(Frame<'_>),
) -> Result<(), serde_json::Error> {
    let mut hand = |message: &Message<'_>| {
        each(Frame {
            id: Id::parse(message.id.as_bytes()),
            key: message.key.as_bytes(),
            name: message.event.as_bytes(),
            data: message.data.as_deref().unwrap_or_default().as_bytes(),
        });
    };
    // Looked at first, as trying both is what costs.
    if text.starts_with('{') {
        hand(&serde_json::from_str(text)?);
    } else {
        match serde_json::from_str(text)? {
            Text::Many(messages) => messages.iter().for_each(hand),
            Text::One(message) => hand(&message),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_frames_are_taken_and_the_rest_stays() {
        let mut body = b"retry: 1000\nid: 17-0\nevent: start\ndata: \n\n:\n\nevent: missedevents\ndata: {}\n\nid: 18-1\nevent: n\ndata: 5xx\ndata: y\n\nid: 18-2\n".to_vec();
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
    fn a_cursor_tells_the_stream_and_its_own_id() {
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
        // A position alone is no event.
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
