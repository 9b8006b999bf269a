//! Server-sent events, as the [HTML
//! standard](https://html.spec.whatwg.org/multipage/server-sent-events.html) has them.
//!
//! A frame's `id` is its last line. By the standard the order of the fields means nothing, but some
//! readers take an id as soon as its line is there, not with the empty line that ends the frame.
//! Where a connection breaks within a frame, such a reader would skip the event whose id came
//! before its data.

use bytes::{BufMut, Bytes, BytesMut};

use super::segment::Part;
use crate::stream::{Entry, EventFilter, Missed};

/// A comment: keeps the connection and all between it alive, and tells a server whose client has
/// left. Followed by an empty line, so that a reader that acts on blocks does not keep it in its
/// buffer.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// About how many bytes a frame has besides its entry's weight.
pub const FRAME_SIZE: usize = "event: \ndata: \nid: 1700000000000-1000000\n\n".len();

/// The entries as frames. A whole segment is encoded once, however many clients it goes to.
#[must_use]
pub fn frames(part: &Part) -> Bytes {
    match part.whole() {
        Some(segment) => segment
            .sse
            .get_or_init(|| encode(segment.entries().iter()))
            .clone(),
        None => encode(part.entries().iter()),
    }
}

/// Those of the entries that the filter passes. Where it passes all or none of a segment nothing is
/// encoded that others do not share; of the few filters under which a segment falls apart, each
/// encodes what it passes once.
#[must_use]
pub fn selected_frames(part: &Part, filter: &EventFilter) -> Bytes {
    let wanted = part
        .entries()
        .iter()
        .filter(|entry| filter.passes(&entry.name))
        .count();
    if wanted == part.entries().len() {
        return frames(part);
    }
    let encode_selected = || {
        encode(
            part.entries()
                .iter()
                .filter(|entry| filter.passes(&entry.name)),
        )
    };
    match part.whole() {
        _ if wanted == 0 => Bytes::new(),
        Some(segment) => segment.selected_sse(filter, encode_selected),
        None => encode_selected(),
    }
}

/// A frame of one of many streams: its id is a cursor, which says which stream it is from.
pub fn put_keyed_frame(out: &mut BytesMut, cursor: &str, entry: &Entry) {
    put_event(out, entry);
    put_field(out, b"id", cursor);
    out.put_u8(b'\n');
}

/// A block that sets where to go on and dispatches no event.
#[must_use]
pub fn position(cursor: &str) -> String {
    format!("id: {cursor}\n\n")
}

/// The frame that tells of a gap in one of many streams. Its id says which stream, and where the
/// client was in it.
pub fn put_keyed_missed(out: &mut BytesMut, cursor: &str, data: &str) {
    put_field(out, b"event", super::MISSED_EVENTS);
    put_data(out, data);
    put_field(out, b"id", cursor);
    out.put_u8(b'\n');
}

/// The frame that tells of a gap. Without an id, so that a client that is cut off after it resumes
/// where it was.
#[must_use]
pub fn missed(missed: &Missed) -> Bytes {
    let data = super::json::missed_data(missed);
    let mut out = BytesMut::with_capacity(data.len() + 32);
    put_field(&mut out, b"event", super::MISSED_EVENTS);
    put_data(&mut out, &data);
    out.put_u8(b'\n');
    out.freeze()
}

/// The field that sets a client's reconnection time, as the first line of a frame.
#[must_use]
pub fn retry(milliseconds: u64) -> String {
    format!("retry: {milliseconds}\n")
}

fn encode<'a>(entries: impl Iterator<Item = &'a Entry> + Clone) -> Bytes {
    let size = entries
        .clone()
        .map(|entry| FRAME_SIZE + entry.weight())
        .sum();
    let mut out = BytesMut::with_capacity(size);
    for entry in entries {
        put_frame(&mut out, entry);
    }
    out.freeze()
}

fn put_frame(out: &mut BytesMut, entry: &Entry) {
    use std::fmt::Write;
    put_event(out, entry);
    // Writing to memory does not fail: BytesMut grows.
    let _ = write!(out, "id: {}\n\n", entry.id);
}

fn put_event(out: &mut BytesMut, entry: &Entry) {
    put_field(out, b"event", &entry.name);
    put_data(out, entry.data.as_deref().unwrap_or_default());
}

fn put_field(out: &mut BytesMut, name: &[u8], value: &str) {
    out.put_slice(name);
    // Readers remove one space after the colon: with it there, a value may begin with one.
    out.put_slice(b": ");
    out.put_slice(value.as_bytes());
    out.put_u8(b'\n');
}

/// One `data` line per line: LF, CR and CRLF all end one for the reader, so that none may stay
/// inside. Without data there is still a line, as browsers dispatch no event without it.
fn put_data(out: &mut BytesMut, data: &str) {
    let mut rest = data;
    while let Some(end) = memchr::memchr2(b'\n', b'\r', rest.as_bytes()) {
        put_field(out, b"data", &rest[..end]);
        let newline = if rest[end..].starts_with("\r\n") {
            2
        } else {
            1
        };
        rest = &rest[end + newline..];
    }
    put_field(out, b"data", rest);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use eventsource_stream::{Event, Eventsource};
    use futures::{StreamExt, executor::block_on, stream};
    use proptest::prelude::*;

    use super::*;
    use crate::{codec::segment::Segment, stream::EventId};

    fn entry(n: u64, name: &str, data: Option<&str>) -> Entry {
        Entry {
            id: EventId {
                ms: 1_700_000_000_000,
                n,
            },
            name: name.into(),
            data: data.map(Into::into),
        }
    }

    /// What a reader that is none of ours makes of the bytes, cut into pieces of this size.
    fn read(bytes: &Bytes, piece: usize) -> Vec<Event> {
        let pieces: Vec<_> = bytes
            .chunks(piece)
            .map(|piece| Ok::<_, std::io::Error>(piece.to_vec()))
            .collect();
        block_on(
            stream::iter(pieces)
                .eventsource()
                .map(|event| event.expect("well-formed events"))
                .collect(),
        )
    }

    /// What is left of a text's line ends on the way through the format.
    fn line_ends_as_lf(text: &str) -> String {
        text.replace("\r\n", "\n").replace('\r', "\n")
    }

    proptest! {
        #[test]
        fn an_independent_reader_gets_every_entry_with_its_name_and_data(
            events in prop::collection::vec(("[^\\p{Cc}]{1,20}", prop::option::of("[ \r\na:é😀\0]{0,40}|.*")), 1..8),
            piece in 1..200usize,
        ) {
            let entries: Vec<_> = (0..).zip(&events).map(|(n, (name, data))| entry(n, name, data.as_deref())).collect();
            let bytes = frames(&Part::new(Arc::new(Segment::new(entries.clone())), 0));
            let read = read(&bytes, piece);
            prop_assert_eq!(read.len(), entries.len());
            for (event, entry) in read.iter().zip(&entries) {
                prop_assert_eq!(&event.id, &entry.id.to_string());
                prop_assert_eq!(&*event.event, &*entry.name);
                prop_assert_eq!(&event.data, &line_ends_as_lf(entry.data.as_deref().unwrap_or_default()));
            }
        }
    }

    #[test]
    fn a_frame_is_as_the_standard_has_it() {
        let bytes = encode(
            [
                entry(1, "token", Some(" a\nb\r\nc\rd\n")),
                entry(2, "x", None),
            ]
            .iter(),
        );
        let expected = "event: token\ndata:  a\ndata: b\ndata: c\ndata: d\ndata: \nid: 1700000000000-1\n\nevent: x\ndata: \nid: 1700000000000-2\n\n";
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), expected);
    }

    /// Reads as some libraries do, which take an id with its line and an event with the empty line
    /// after it. What it has of events, and the last id.
    fn read_eagerly(bytes: &[u8]) -> (usize, Option<String>) {
        let whole_lines = &bytes[..memchr::memrchr(b'\n', bytes).map_or(0, |end| end + 1)];
        let (mut events, mut id, mut has_data) = (0, None, false);
        for line in std::str::from_utf8(whole_lines)
            .expect("UTF-8")
            .split_terminator('\n')
        {
            if let Some(value) = line.strip_prefix("id: ") {
                id = Some(value.to_owned());
            } else if line.is_empty() && std::mem::take(&mut has_data) {
                events += 1;
            }
            has_data |= line.starts_with("data: ");
        }
        (events, id)
    }

    #[test]
    fn a_reader_that_takes_ids_early_loses_an_event_at_one_place_of_a_frame_alone() {
        let entries = [
            entry(0, "start", None),
            entry(1, "token", Some("two\nlines")),
            entry(2, "é", Some("é")),
            entry(3, "end", None),
        ];
        let plain = encode(entries.iter());
        let mut keyed = BytesMut::new();
        for entry in &entries {
            put_keyed_frame(&mut keyed, &format!("key:{}", entry.id), entry);
        }
        for bytes in [plain, keyed.freeze()] {
            let skips = |cut: &usize| {
                let (events, id) = read_eagerly(&bytes[..*cut]);
                let number = |id: String| {
                    id.rsplit_once('-')
                        .and_then(|(_, n)| n.parse::<usize>().ok())
                        .expect("a number")
                };
                // Resuming after this id, it never gets what lies between.
                id.map_or(0, |id| number(id) + 1) > events
            };
            // Between the line of the id and the empty line after it: nothing can stand after the
            // last field but the end.
            let wanted: Vec<usize> = memchr::memmem::find_iter(&bytes, b"\n\n")
                .map(|end| end + 1)
                .collect();
            assert_eq!((0..=bytes.len()).filter(skips).collect::<Vec<_>>(), wanted);
        }
    }

    #[test]
    fn a_part_of_a_segment_holds_only_its_entries() {
        let segment = Arc::new(Segment::new(vec![entry(1, "a", None), entry(2, "b", None)]));
        assert_eq!(
            read(&frames(&Part::new(Arc::clone(&segment), 1)), 9).len(),
            1
        );
        assert_eq!(read(&frames(&Part::new(segment, 0)), 9).len(), 2);
    }
}
