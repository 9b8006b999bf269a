//! JSON pointers to strings, by [RFC 6901](https://www.rfc-editor.org/rfc/rfc6901).

use std::{borrow::Cow, fmt, ops::Range, str::FromStr};

use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// The longest pointer, in bytes.
const MAX_BYTES: usize = 256;

/// The most reference tokens of a pointer.
const MAX_TOKENS: usize = 16;

/// A pointer to a value inside of a JSON text. It has at least one token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPointer(Box<[Box<str>]>);

/// The text is not a pointer that the broker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a JSON pointer is 1 to {MAX_TOKENS} names, each after a slash, with ~0 for ~ and ~1 for /, \
     in at most {MAX_BYTES} bytes"
)]
pub struct InvalidPointer;

impl FromStr for JsonPointer {
    type Err = InvalidPointer;

    fn from_str(text: &str) -> Result<Self, InvalidPointer> {
        let tokens = text.strip_prefix('/').ok_or(InvalidPointer)?;
        let has_bad_escape = text
            .split('~')
            .skip(1)
            .any(|rest| !rest.starts_with(['0', '1']));
        if text.len() > MAX_BYTES || has_bad_escape {
            return Err(InvalidPointer);
        }
        let tokens: Box<[Box<str>]> = tokens
            .split('/')
            .map(|token| token.replace("~1", "/").replace("~0", "~").into())
            .collect();
        if tokens.len() > MAX_TOKENS {
            return Err(InvalidPointer);
        }
        Ok(Self(tokens))
    }
}

impl JsonPointer {
    /// Where the content of the string lies to which this points, without its quotes. None if the
    /// text is not JSON, or has no string there, or has two members of a name on the way.
    #[must_use]
    pub fn find_string(&self, json: &str) -> Option<Range<usize>> {
        let mut value: &str = serde_json::from_str::<&RawValue>(json).ok()?.get();
        for token in &self.0 {
            value = child(value, token)?;
        }
        value.strip_prefix('"')?.strip_suffix('"')?;
        // The value is a part of the text.
        let begin = value.as_ptr().addr() - json.as_ptr().addr();
        Some(begin + 1..begin + value.len() - 1)
    }
}

/// The value of this member of an object, or at this index of an array.
fn child<'a>(json: &'a str, token: &str) -> Option<&'a str> {
    let mut reader = serde_json::Deserializer::from_str(json);
    let found = match json.as_bytes().first()? {
        b'{' => reader.deserialize_map(Child(token)),
        b'[' => reader.deserialize_seq(Child(token)),
        _ => return None,
    };
    Some(found.ok()??.get())
}

/// Finds a child.
struct Child<'t>(&'t str);

/// A name that borrows from the input if it has no escapes.
#[derive(Deserialize)]
#[serde(transparent)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Visitor<'de> for Child<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object or an array")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut found, mut count) = (None, 0);
        while let Some(Name(name)) = members.next_key()? {
            if name == self.0 {
                (found, count) = (Some(members.next_value()?), count + 1);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found.filter(|_| count == 1))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let is_index = self.0 == "0" || !self.0.starts_with(['0', '+']);
        let index = self.0.parse::<usize>().ok().filter(|_| is_index);
        let (mut found, mut at) = (None, 0);
        while let Some(item) = items.next_element::<&RawValue>()? {
            if Some(at) == index {
                found = Some(item);
            }
            at += 1;
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn found<'a>(pointer: &str, json: &'a str) -> Option<&'a str> {
        let pointer: JsonPointer = pointer.parse().unwrap();
        pointer.find_string(json).map(|range| &json[range])
    }

    #[test]
    fn a_pointer_finds_the_content_of_a_string() {
        let json =
            r#"{"a/b":{"m~n":["x","y\n\u0041"]},"":"empty","n":12345678901234567890,"t":""}"#;
        for (pointer, content) in [
            ("/a~1b/m~0n/1", Some(r"y\n\u0041")),
            ("/a~1b/m~0n/0", Some("x")),
            ("/", Some("empty")),
            ("/t", Some("")),
            ("/n", None),
            ("/a~1b", None),
            ("/a~1b/m~0n/2", None),
            ("/a~1b/m~0n/01", None),
            ("/a~1b/m~0n/-", None),
            ("/t/0", None),
            ("/missing", None),
        ] {
            assert_eq!(found(pointer, json), content, "{pointer}");
        }
        assert_eq!(found("/a", r#"{"a":"1","a":"2"}"#), None, "two of a name");
        assert_eq!(found("/a", r#"{"a":"1"} x"#), None);
        assert_eq!(found("/a", "not JSON"), None);
        assert_eq!(found("/a", r#"{"\u0061" : "1"}"#), Some("1"));
    }

    #[test]
    fn an_invalid_pointer_is_refused() {
        let long = format!("/{}", "x".repeat(MAX_BYTES));
        for text in ["", "a", "/a~", "/a~2", &"/a".repeat(MAX_TOKENS + 1), &long] {
            assert_eq!(text.parse::<JsonPointer>(), Err(InvalidPointer), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_pointer_finds_what_an_independent_reader_finds(
            text in ".*",
            other in ".*",
            depth in 0..4_usize,
        ) {
            let mut value = serde_json::json!(text);
            for _ in 0..depth {
                value = serde_json::json!([other, { "k": value }]);
            }
            let json = serde_json::json!({"v": value, "other": other}).to_string();
            let pointer = format!("/v{}", "/1/k".repeat(depth));
            let content = found(&pointer, &json).unwrap();
            let read: Value = serde_json::from_str(&format!("\"{content}\"")).unwrap();
            prop_assert_eq!(read.as_str(), Some(&*text));
        }

        #[test]
        fn finding_never_panics(json in ".*", pointer in "(/[a-z0-9~]{0,3}){1,3}") {
            if let Ok(pointer) = pointer.parse::<JsonPointer>() {
                let _ = pointer.find_string(&json);
            }
        }
    }
}
