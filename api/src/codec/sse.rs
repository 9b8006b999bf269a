//! Server-sent events, by the [HTML
//! standard](https://html.spec.whatwg.org/multipage/server-sent-events.html).
//!
//! The `id` is the last line of a frame. In the standard the order of the fields has no meaning.
//! But some readers store an id as soon as they have its line, before the empty line that ends the
//! frame. If a connection breaks within a frame, such a reader would skip an event whose id stands
//! before its data.

use bytes::{BufMut, Bytes, BytesMut};

use super::{json::MISSED_EVENTS, segment::Part};
use crate::stream::{Entry, EventFilter, Missed};

/// A heartbeat: a comment. It keeps the connection and the proxies on its way alive, and its write
/// fails if the subscriber left. The empty line after it lets readers of whole blocks drop it from
/// their buffers.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// About how many bytes a frame has besides the name and data of its entry.
pub const FRAME_SIZE: usize = "event: \ndata: \nid: 1700000000000-1000000\n\n".len();

/// The entries as frames. A whole segment is encoded once for all sessions.
#[must_use]
pub fn frames(part: &Part) -> Bytes {
    match part.whole_segment() {
        Some(segment) => segment.sse(|| encode(part.counted())),
        None => encode(part.counted()),
    }
}

/// The entries as frames of another form, one after another. A whole segment is encoded once for
/// all sessions. A process uses one form only: the cache is that of [`frames`].
#[must_use]
pub(crate) fn frames_by(part: &Part, put: impl Fn(&mut BytesMut, &Entry)) -> Bytes {
    let encode = || {
        let mut out = BytesMut::new();
        part.entries().iter().for_each(|entry| put(&mut out, entry));
        out.freeze()
    };
    match part.whole_segment() {
        Some(segment) => segment.sse(encode),
        None => encode(),
    }
}

/// The entries that pass the filter, as frames. If all entries of a segment pass, the sessions with
/// and without this filter share the encoding. Otherwise the sessions with this filter share one.
#[must_use]
pub fn filtered_frames(part: &Part, filter: &EventFilter) -> Bytes {
    let passing = part
        .entries()
        .iter()
        .filter(|entry| filter.passes(&entry.name))
        .count();
    if passing == part.entries().len() {
        return frames(part);
    }
    let encode_passing = || {
        let passing = part.counted();
        encode(passing.filter(|(entry, _)| filter.passes(&entry.name)))
    };
    match part.whole_segment() {
        _ if passing == 0 => Bytes::new(),
        Some(segment) => segment.filtered_sse(filter, encode_passing),
        None => encode_passing(),
    }
}

/// Adds a frame for a subscriber of several streams. Its id is a cursor, which names the stream.
pub fn put_keyed_frame(out: &mut BytesMut, cursor: &str, entry: &Entry, count: u32) {
    put_event(out, entry, count);
    put_field(out, b"id", cursor);
    out.put_u8(b'\n');
}

/// A block that sets the position of the reader and dispatches no event.
#[must_use]
pub fn position(cursor: &str) -> String {
    format!("id: {cursor}\n\n")
}

/// Adds a frame that reports a gap, for a subscriber of several streams. Its id names the stream,
/// and the position before the gap.
pub fn put_keyed_missed(out: &mut BytesMut, cursor: &str, data: &str) {
    put_field(out, b"event", MISSED_EVENTS);
    put_data(out, data);
    put_field(out, b"id", cursor);
    out.put_u8(b'\n');
}

/// A frame that reports a gap. It has no id, so that a subscriber whose connection breaks after it
/// resumes before the gap.
#[must_use]
pub fn missed(missed: &Missed) -> Bytes {
    let data = super::json::missed_data(missed);
    let mut out = BytesMut::with_capacity(data.len() + 32);
    put_field(&mut out, b"event", MISSED_EVENTS);
    put_data(&mut out, &data);
    out.put_u8(b'\n');
    out.freeze()
}

/// The field that sets the retry delay of a reader. It is the first line of a frame.
#[must_use]
pub fn retry(milliseconds: u64) -> String {
    format!("retry: {milliseconds}\n")
}

fn encode<'a>(entries: impl Iterator<Item = (&'a Entry, u32)> + Clone) -> Bytes {
    let size = entries
        .clone()
        .map(|(entry, _)| FRAME_SIZE + entry.weight())
        .sum();
    let mut out = BytesMut::with_capacity(size);
    for (entry, count) in entries {
        put_frame(&mut out, entry, count);
    }
    out.freeze()
}

fn put_frame(out: &mut BytesMut, entry: &Entry, count: u32) {
    use std::fmt::Write;
    put_event(out, entry, count);
    // A write to memory does not fail: BytesMut grows.
    let _ = write!(out, "id: {}\n\n", entry.id);
}

/// A comment before the frame says how many events it stands for, if they are several.
fn put_event(out: &mut BytesMut, entry: &Entry, count: u32) {
    use std::fmt::Write;
    if count > 1 {
        let _ = writeln!(out, ":rollup {count}");
    }
    put_field(out, b"event", &entry.name);
    put_data(out, entry.data.as_deref().unwrap_or_default());
}

/// Adds a field, which is a comment where the name is empty. The value has no line ends.
pub(crate) fn put_field(out: &mut BytesMut, name: &[u8], value: &str) {
    out.put_slice(name);
    // Readers remove one space after the colon. With it, a value may begin with a space.
    out.put_slice(b": ");
    out.put_slice(value.as_bytes());
    out.put_u8(b'\n');
}

/// Adds one `data` field for each line of the data. Without data there is one empty field, because
/// browsers dispatch no event without it.
fn put_data(out: &mut BytesMut, data: &str) {
    put_lines(out, b"data", data);
}

/// Adds one field of this name for each line of the text. Readers take LF, CR and CRLF for line
/// ends, so none of them may stay in a field.
pub(crate) fn put_lines(out: &mut BytesMut, name: &[u8], text: &str) {
    let mut rest = text;
    while let Some(end) = memchr::memchr2(b'\n', b'\r', rest.as_bytes()) {
        put_field(out, name, &rest[..end]);
        let newline = if rest[end..].starts_with("\r\n") {
            2
        } else {
            1
        };
        rest = &rest[end + newline..];
    }
    put_field(out, name, rest);
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

    /// The events that an independent reader finds in the bytes, cut into pieces of this size.
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

    /// The text with the line ends that the format preserves.
    fn line_ends_as_lf(text: &str) -> String {
        text.replace("\r\n", "\n").replace('\r', "\n")
    }

    proptest! {
        #[test]
        fn an_independent_reader_gets_every_entry_with_its_name_and_data(
            events in prop::collection::vec(
                ("[^\\p{Cc}]{1,20}", prop::option::of("[ \r\na:é😀\0]{0,40}|.*")),
                1..8,
            ),
            piece in 1..200usize,
        ) {
            let entries: Vec<_> = (0..)
                .zip(&events)
                .map(|(n, (name, data))| entry(n, name, data.as_deref()))
                .collect();
            let bytes = frames(&Part::new(Arc::new(Segment::new(entries.clone())), 0));
            let read = read(&bytes, piece);
            prop_assert_eq!(read.len(), entries.len());
            for (event, entry) in read.iter().zip(&entries) {
                prop_assert_eq!(&event.id, &entry.id.to_string());
                prop_assert_eq!(&*event.event, &*entry.name);
                let data = entry.data.as_deref().unwrap_or_default();
                prop_assert_eq!(&event.data, &line_ends_as_lf(data));
            }
        }
    }

    #[test]
    fn a_frame_has_the_form_of_the_standard() {
        let entries = [
            entry(1, "token", Some(" a\nb\r\nc\rd\n")),
            entry(2, "x", None),
            entry(5, "y", None),
        ];
        let bytes = encode(entries.iter().zip([1, 1, 3]));
        let expected = "event: token\ndata:  a\ndata: b\ndata: c\ndata: d\ndata: \n\
                        id: 1700000000000-1\n\nevent: x\ndata: \nid: 1700000000000-2\n\n\
                        :rollup 3\nevent: y\ndata: \nid: 1700000000000-5\n\n";
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), expected);
    }

    /// Reads as some libraries do: they store an id with its line, and an event with the empty line
    /// after it. Returns the number of events, and the last id.
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
    fn a_reader_that_stores_ids_early_loses_an_event_at_only_one_place_of_a_frame() {
        let entries = [
            entry(0, "start", None),
            entry(1, "token", Some("two\nlines")),
            entry(2, "é", Some("é")),
            entry(3, "end", None),
        ];
        let plain = encode(entries.iter().map(|entry| (entry, 1)));
        let mut keyed = BytesMut::new();
        for entry in &entries {
            put_keyed_frame(&mut keyed, &format!("key:{}", entry.id), entry, 1);
        }
        for bytes in [plain, keyed.freeze()] {
            let skips = |cut: &usize| {
                let (events, id) = read_eagerly(&bytes[..*cut]);
                let number = |id: String| {
                    id.rsplit_once('-')
                        .and_then(|(_, n)| n.parse::<usize>().ok())
                        .expect("a number")
                };
                // If it resumes after this id, it skips events.
                id.map_or(0, |id| number(id) + 1) > events
            };
            // The place is between the line of the id and the empty line after it. It can't be
            // avoided: the id is already the last field.
            let expected: Vec<usize> = memchr::memmem::find_iter(&bytes, b"\n\n")
                .map(|end| end + 1)
                .collect();
            assert_eq!(
                (0..=bytes.len()).filter(skips).collect::<Vec<_>>(),
                expected
            );
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
