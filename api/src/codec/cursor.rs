//! Cursors: the positions of a subscriber in its streams, as text. `docs/reference/cursors.md` has
//! the grammar.

use std::{collections::HashMap, fmt::Write};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use integer_encoding::{VarInt, VarIntWriter};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use sha2::{Digest, Sha256};

use crate::stream::{EventId, Position, StreamKey};

/// The version of the compact form, which is its first byte.
const VERSION: u8 = 1;

/// About how many bytes the head of the compact form has.
const COMPACT_HEAD: usize = 8;

/// About how many bytes one position has in the compact form.
const COMPACT_POSITION: usize = Tag::BYTES + 6;

/// The characters that `encodeURIComponent` does not encode, except `!` and `~`, which have a
/// meaning in cursors.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// A tag identifies a stream in the compact form: it is the first bytes of a hash of its key. Among
/// a few hundred streams, two have the same tag in one of about ten million cases. The id of a
/// position then shows that it belongs to the other stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag([u8; Self::BYTES]);

impl Tag {
    const BYTES: usize = 5;

    /// The tag of a key.
    #[must_use]
    pub fn of(key: &StreamKey) -> Self {
        let mut tag = [0; Self::BYTES];
        for (byte, hashed) in tag.iter_mut().zip(Sha256::digest(key.as_str().as_bytes())) {
            *byte = hashed;
        }
        Self(tag)
    }
}

/// The text is not a cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "A cursor is an event id, <milliseconds>-<number>, or KEY:ID of several streams, separated by \
     commas, or what the broker sent as one"
)]
pub struct InvalidCursor;

/// A cursor holds positions in streams, as a subscriber sent them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    bare: Option<EventId>,
    named: HashMap<Box<str>, Position>,
    tagged: HashMap<Tag, Position>,
}

impl Cursor {
    /// Parses a cursor.
    pub fn read(text: &str) -> Result<Self, InvalidCursor> {
        let mut cursor = Self::default();
        if let Ok(id) = text.parse() {
            cursor.bare = Some(id);
            return Ok(cursor);
        }
        for item in text.split(',') {
            if let Some(compact) = item.strip_prefix('~').filter(|_| !item.contains(':')) {
                read_compact(compact, &mut cursor.tagged).ok_or(InvalidCursor)?;
                continue;
            }
            let (key, position) = item.rsplit_once(':').ok_or(InvalidCursor)?;
            let key = percent_decode_str(key)
                .decode_utf8()
                .map_err(|_| InvalidCursor)?;
            cursor.named.insert(key.into(), read_position(position)?);
        }
        Ok(cursor)
    }

    /// The event id, if the cursor is only an id. It does not name a stream.
    #[must_use]
    pub fn bare(&self) -> Option<EventId> {
        self.bare
    }

    /// The position in a stream, if the cursor names it.
    #[must_use]
    pub fn position(&self, key: &StreamKey) -> Option<Position> {
        self.named
            .get(key.as_str())
            .or_else(|| self.tagged.get(&Tag::of(key)))
            .copied()
    }
}

fn read_position(text: &str) -> Result<Position, InvalidCursor> {
    if text.is_empty() {
        return Ok(Position::Start);
    }
    match text.strip_suffix('!') {
        Some(id) => id.parse().map(Position::Complete),
        None => text.parse().map(Position::At),
    }
    .map_err(|_| InvalidCursor)
}

fn read_compact(text: &str, positions: &mut HashMap<Tag, Position>) -> Option<()> {
    let bytes = BASE64.decode(text).ok()?;
    let (&version, rest) = bytes.split_first()?;
    if version != VERSION {
        return None;
    }
    let mut rest = rest;
    let number = |rest: &mut &[u8]| {
        let (number, length) = u64::decode_var(rest)?;
        *rest = rest.get(length..)?;
        Some(number)
    };
    let base = number(&mut rest)?;
    while let Some((tag, after)) = rest.split_first_chunk::<{ Tag::BYTES }>() {
        rest = after;
        let position = match number(&mut rest)?.checked_sub(1) {
            None => Position::Start,
            Some(packed) => {
                let id = EventId {
                    ms: base.checked_add(number(&mut rest)?)?,
                    n: packed / 2,
                };
                if packed % 2 == 1 {
                    Position::Complete(id)
                } else {
                    Position::At(id)
                }
            }
        };
        positions.insert(Tag(*tag), position);
    }
    rest.is_empty().then_some(())
}

/// Writes positions in the compact form, `~…`. Without positions the text is empty.
#[must_use]
pub fn compact(positions: impl Iterator<Item = (Tag, Position)> + Clone) -> String {
    let base = positions
        .clone()
        .filter_map(|(_, position)| position.id())
        .map(|id| id.ms)
        .min()
        .unwrap_or(0);
    // Nearly every frame of a subscriber of several streams needs a cursor. So the buffer is
    // allocated once, and no number allocates.
    let mut bytes = Vec::with_capacity(
        COMPACT_HEAD + COMPACT_POSITION * positions.size_hint().1.unwrap_or_default(),
    );
    bytes.push(VERSION);
    // A write to memory does not fail.
    let put = |bytes: &mut Vec<u8>, number: u64| _ = bytes.write_varint(number);
    put(&mut bytes, base);
    let mut any = false;
    for (tag, position) in positions {
        any = true;
        bytes.extend_from_slice(&tag.0);
        // A stream can't have 2⁶² events. A larger number was not made by the broker, so that
        // another wrong number is as good.
        let packed = |id: EventId, complete: u64| 2 * id.n.min(u64::MAX / 4) + complete + 1;
        match position {
            Position::Start => put(&mut bytes, 0),
            Position::At(id) | Position::Complete(id) => {
                put(
                    &mut bytes,
                    packed(id, u64::from(matches!(position, Position::Complete(_)))),
                );
                put(&mut bytes, id.ms - base);
            }
        }
    }
    if !any {
        return String::new();
    }
    let mut text = String::with_capacity(1 + bytes.len().div_ceil(3) * 4);
    text.push('~');
    BASE64.encode_string(&bytes, &mut text);
    text
}

/// A key in the encoding of cursors.
#[must_use]
pub fn encoded(key: &StreamKey) -> String {
    utf8_percent_encode(key.as_str(), PLAIN).to_string()
}

/// Adds a cursor: the position in the stream with this encoded key, and the positions in all other
/// streams in the compact form.
pub fn put(out: &mut impl Write, key: &str, position: Position, others: &str) {
    let comma = if others.is_empty() { "" } else { "," };
    // Callers write to growing buffers, so that the write does not fail.
    let _ = match position {
        Position::Start => write!(out, "{key}:{comma}{others}"),
        Position::At(id) => write!(out, "{key}:{id}{comma}{others}"),
        Position::Complete(id) => write!(out, "{key}:{id}!{comma}{others}"),
    };
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn position() -> impl Strategy<Value = Position> {
        let id = (0..u64::MAX, 0..u64::MAX / 4).prop_map(|(ms, n)| EventId { ms, n });
        prop_oneof![
            Just(Position::Start),
            id.clone().prop_map(Position::At),
            id.prop_map(Position::Complete)
        ]
    }

    fn key() -> impl Strategy<Value = StreamKey> {
        "[^\\p{Cc}]{1,20}|[a-z0-9:,~!%-]{1,20}".prop_map(|text| text.parse().unwrap())
    }

    proptest! {
        #[test]
        fn a_cursor_gives_back_every_position(
            positions in prop::collection::hash_map(key(), position(), 1..40),
            named in 0..40usize,
        ) {
            let positions: Vec<_> = positions.into_iter().collect();
            let (own, others) = positions.split_at(named.min(positions.len()));
            let mut text = String::new();
            for (key, position) in own {
                put(&mut text, &encoded(key), *position, "");
                text.push(',');
            }
            text += &compact(others.iter().map(|(key, position)| (Tag::of(key), *position)));
            let read = Cursor::read(text.trim_end_matches(',')).unwrap();
            for (key, position) in &positions {
                prop_assert_eq!(read.position(key), Some(*position));
            }
            prop_assert_eq!(read.position(&"some other".parse().unwrap()), None);
        }

        #[test]
        fn no_text_makes_reading_panic(text in ".{0,80}|~[A-Za-z0-9_-]{0,80}|[a-c:,~!0-9-]{0,40}") {
            let _ = Cursor::read(&text);
        }

        #[test]
        fn an_id_is_a_cursor_of_one_stream(ms: u64, n: u64) {
            let id = EventId { ms, n };
            let read = Cursor::read(&id.to_string()).unwrap();
            prop_assert_eq!(read.bare(), Some(id));
            prop_assert_eq!(read.position(&"a".parse().unwrap()), None);
        }
    }

    #[test]
    fn the_form_is_that_of_the_documentation() {
        let (id, later) = (
            EventId {
                ms: 1_700_000_000_000,
                n: 4,
            },
            EventId {
                ms: 1_700_000_000_300,
                n: 1,
            },
        );
        let [a, b] = ["chat 42:1", "b"].map(|key| key.parse::<StreamKey>().unwrap());
        let mut text = String::new();
        put(
            &mut text,
            &encoded(&a),
            Position::At(id),
            &compact([(Tag::of(&b), Position::Complete(later))].into_iter()),
        );
        // 1; the time as LEB128; the first 5 bytes of SHA-256("b"); 2 × 1 + 1 + 1; 0.
        let bytes = [
            1, 0xac, 0xd2, 0x95, 0xff, 0xbc, 0x31, 0x3e, 0x23, 0xe8, 0x16, 0x00, 4, 0,
        ];
        let expected = format!("chat%2042%3A1:1700000000000-4,~{}", BASE64.encode(bytes));
        let (head, _) = text.split_once(",~").unwrap();
        assert_eq!(head, "chat%2042%3A1:1700000000000-4");
        assert_eq!(text, expected);
    }

    #[test]
    fn an_invalid_cursor_is_refused() {
        for bad in [
            "", "1", "a", "a:1", "a:1-2!!", "~", "~AA", "~AQ", "~AQBz", "a:1-2,", ",a:1-2",
            "a:1-2,~!", "%ff:1-2", "-1-2",
        ] {
            assert_eq!(Cursor::read(bad), Err(InvalidCursor), "{bad:?}");
        }
    }
}
