//! Server-sent events, as the [HTML standard](https://html.spec.whatwg.org/multipage/server-sent-events.html) has them.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    event::{Entry, Part},
    store::Missed,
};

/// A comment: keeps the connection and all between it alive, and tells a server whose client has left. Followed by an empty
/// line, so that a reader that acts on blocks does not keep it in its buffer.
pub const HEARTBEAT: &[u8] = b":\n\n";

/// The entries as frames. A whole segment is encoded once, however many clients it goes to.
#[must_use]
pub fn frames(part: &Part) -> Bytes {
    match part.whole() {
        Some(segment) => segment.sse.get_or_init(|| encode(segment.entries())).clone(),
        None => encode(part.entries()),
    }
}

/// The frame that tells of a gap. Without an id, so that a client that is cut off after it resumes where it was.
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

fn encode(entries: &[Entry]) -> Bytes {
    const FIELDS: usize = "id: 1700000000000-1000000\nevent: \ndata: \n\n".len();
    let size = entries.iter().map(|entry| FIELDS + entry.weight()).sum();
    let mut out = BytesMut::with_capacity(size);
    for entry in entries {
        put_frame(&mut out, entry);
    }
    out.freeze()
}

fn put_frame(out: &mut BytesMut, entry: &Entry) {
    use std::fmt::Write;
    // Writing to memory does not fail: BytesMut grows.
    let _ = writeln!(out, "id: {}", entry.id);
    put_field(out, b"event", &entry.name);
    put_data(out, entry.data.as_deref().unwrap_or_default());
    out.put_u8(b'\n');
}

fn put_field(out: &mut BytesMut, name: &[u8], value: &str) {
    out.put_slice(name);
    // Readers remove one space after the colon: with it there, a value may begin with one.
    out.put_slice(b": ");
    out.put_slice(value.as_bytes());
    out.put_u8(b'\n');
}

/// One `data` line per line: LF, CR and CRLF all end one for the reader, so that none may stay inside. Without data there is
/// still a line, as browsers dispatch no event without it.
fn put_data(out: &mut BytesMut, data: &str) {
    let mut rest = data;
    while let Some(end) = memchr::memchr2(b'\n', b'\r', rest.as_bytes()) {
        put_field(out, b"data", &rest[..end]);
        let newline = if rest[end..].starts_with("\r\n") { 2 } else { 1 };
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
    use crate::event::{EventId, Segment};

    fn entry(n: u64, name: &str, data: Option<&str>) -> Entry {
        Entry { id: EventId { ms: 1_700_000_000_000, n }, name: name.into(), data: data.map(Into::into) }
    }

    /// What a reader that is none of ours makes of the bytes, cut into pieces of this size.
    fn read(bytes: &Bytes, piece: usize) -> Vec<Event> {
        let pieces: Vec<_> = bytes.chunks(piece).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
        block_on(stream::iter(pieces).eventsource().map(|event| event.expect("well-formed events")).collect())
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
        let bytes = encode(&[entry(1, "token", Some(" a\nb\r\nc\rd\n")), entry(2, "x", None)]);
        let expected =
            "id: 1700000000000-1\nevent: token\ndata:  a\ndata: b\ndata: c\ndata: d\ndata: \n\nid: 1700000000000-2\nevent: x\ndata: \n\n";
        assert_eq!(std::str::from_utf8(&bytes).unwrap(), expected);
    }

    #[test]
    fn a_part_of_a_segment_holds_only_its_entries() {
        let segment = Arc::new(Segment::new(vec![entry(1, "a", None), entry(2, "b", None)]));
        assert_eq!(read(&frames(&Part::new(Arc::clone(&segment), 1)), 9).len(), 1);
        assert_eq!(read(&frames(&Part::new(segment, 0)), 9).len(), 2);
    }
}
