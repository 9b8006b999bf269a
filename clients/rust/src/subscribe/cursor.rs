//! Cursors: positions in streams, as text.

use std::{collections::BTreeMap, fmt};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::Error;

/// The characters that `encodeURIComponent` encodes, and `~`, which the broker's compact form
/// starts with.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

/// A cursor holds the positions in several streams, as [`docs/reference/cursors.md`] describes.
///
/// It is made from the text of a subscription's or the broker's cursor, or from pairs of a stream's
/// key and an event's id.
///
/// [`docs/reference/cursors.md`]:
/// https://github.com/tinistreamer/tinistreamer/blob/main/docs/reference/cursors.md
#[derive(Clone, Debug, Default)]
pub struct Cursor(Source);

#[derive(Clone, Debug)]
enum Source {
    Text(String),
    Pairs(Vec<(String, String)>),
}

impl Default for Source {
    fn default() -> Self {
        Self::Pairs(Vec::new())
    }
}

impl From<String> for Cursor {
    fn from(text: String) -> Self {
        Self(Source::Text(text))
    }
}

impl From<&str> for Cursor {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl<K: Into<String>, I: Into<String>> FromIterator<(K, I)> for Cursor {
    fn from_iter<T: IntoIterator<Item = (K, I)>>(pairs: T) -> Self {
        Self(Source::Pairs(
            pairs
                .into_iter()
                .map(|(key, id)| (key.into(), id.into()))
                .collect(),
        ))
    }
}

impl<K: Into<String>, I: Into<String>> From<Vec<(K, I)>> for Cursor {
    fn from(pairs: Vec<(K, I)>) -> Self {
        pairs.into_iter().collect()
    }
}

impl<K: Into<String>, I: Into<String>, const N: usize> From<[(K, I); N]> for Cursor {
    fn from(pairs: [(K, I); N]) -> Self {
        pairs.into_iter().collect()
    }
}

/// The position of a subscription in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The id of the last event. None before the first event.
    pub(super) id: Option<String>,
    /// Whether it is the last event of the stream.
    pub(super) is_last: bool,
}

/// The positions of a parsed cursor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Positions {
    pub(super) known: BTreeMap<String, Position>,
    /// Parts in the compact form, which only the broker can read. They hold the positions of
    /// streams that are not in `known`.
    pub(super) compact: Vec<String>,
}

impl Positions {
    /// Parses a caller's cursor. An id without a key is a position in the only stream.
    pub(super) fn from_caller(cursor: Cursor, keys: &[String]) -> Result<Self, Error> {
        let text = match cursor.0 {
            Source::Text(text) => text,
            Source::Pairs(pairs) => {
                let known = pairs.into_iter().map(|(key, id)| {
                    (
                        key,
                        Position {
                            id: Some(id),
                            is_last: false,
                        },
                    )
                });
                return Ok(Self {
                    known: known.collect(),
                    compact: Vec::new(),
                });
            }
        };
        if let [key] = keys
            && !text.contains([':', '~'])
        {
            return Ok(Self {
                known: [(
                    key.clone(),
                    Position {
                        id: Some(text),
                        is_last: false,
                    },
                )]
                .into(),
                compact: Vec::new(),
            });
        }
        Self::parse(&text).ok_or_else(|| {
            Error::refused(
                "invalid-event-id",
                format!("{text:?} is no cursor of several streams"),
            )
        })
    }

    /// Parses a list of positions. None when the text is no such list.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut positions = Self::default();
        for item in text.split(',') {
            if let Some((key, position)) = parse_item(item) {
                positions.known.insert(key, position);
            } else if item.starts_with('~') {
                positions.compact.push(item.to_owned());
            } else {
                return None;
            }
        }
        Some(positions)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.compact.is_empty()
    }
}

/// Parses `KEY:ID`, `KEY:` or `KEY:ID!`. The `!` marks the last event of the stream.
pub(super) fn parse_item(item: &str) -> Option<(String, Position)> {
    let (key, id) = item.split_once(':')?;
    let key = percent_decode_str(key).decode_utf8().ok()?.into_owned();
    let (id, is_last) = id.strip_suffix('!').map_or((id, false), |id| (id, true));
    Some((
        key,
        Position {
            id: (!id.is_empty()).then(|| id.to_owned()),
            is_last,
        },
    ))
}

impl fmt::Display for Positions {
    /// Writes known positions first: they are newer than those in the compact form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (key, Position { id, is_last }) in &self.known {
            let last = if *is_last { "!" } else { "" };
            write!(
                f,
                "{separator}{}:{}{last}",
                utf8_percent_encode(key, COMPONENT),
                id.as_deref().unwrap_or_default()
            )?;
            separator = ",";
        }
        for compact in &self.compact {
            write!(f, "{separator}{compact}")?;
            separator = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_written_cursor_parses_to_the_same_positions(
            known in prop::collection::btree_map(
                "\\PC{1,9}",
                (prop::option::of("[0-9]{1,9}-[0-9]{1,3}"), any::<bool>()),
                1..5,
            ),
            compact in prop::collection::vec("~[A-Za-z0-9_-]{1,9}", 0..2),
        ) {
            let known = known
                .into_iter()
                .map(|(key, (id, is_last))| {
                    (key, Position { is_last: is_last && id.is_some(), id })
                })
                .collect();
            let positions = Positions { known, compact };
            prop_assert_eq!(Positions::parse(&positions.to_string()), Some(positions));
        }
    }

    #[test]
    fn a_key_is_encoded_as_in_a_url() {
        let cursor = Cursor::from([("a,b:c d/é~", "5-1")]);
        assert_eq!(
            Positions::from_caller(cursor, &[]).unwrap().to_string(),
            "a%2Cb%3Ac%20d%2F%C3%A9%7E:5-1"
        );
    }

    #[test]
    fn an_id_without_a_key_is_a_cursor_of_one_stream_only() {
        let parse = |keys: &[&str]| {
            Positions::from_caller(
                "5-1".into(),
                &keys.iter().map(|&key| key.to_owned()).collect::<Vec<_>>(),
            )
        };
        assert_eq!(parse(&["a"]).unwrap().to_string(), "a:5-1");
        assert_eq!(parse(&["a", "b"]).unwrap_err().code(), "invalid-event-id");
    }
}
