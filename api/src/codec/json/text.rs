//! JSON text, and times in it.

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

/// Removes the byte order mark that some programs write before UTF-8. JSON does not allow one, but
/// a parser may skip it ([RFC 8259, 8.1](https://www.rfc-editor.org/rfc/rfc8259#section-8.1)).
#[must_use]
pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// Removes the white space between the tokens of well-formed JSON. Numbers and escapes stay as they
/// are: parsing and writing the value again would round large numbers.
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

/// A time in milliseconds since the Unix epoch, in RFC 3339 with milliseconds.
#[must_use]
pub fn time(ms: u64) -> String {
    let time = i64::try_from(ms)
        .ok()
        .and_then(DateTime::from_timestamp_millis)
        .unwrap_or(DateTime::UNIX_EPOCH);
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The JSON text of one of the broker's own types. They have strings and numbers under fixed names,
/// and always serialize. The text is one line: see `one_line`.
#[must_use]
pub fn text(value: &impl Serialize) -> String {
    one_line(serde_json::to_string(value).unwrap_or_default())
}

/// Escapes the characters of compact JSON that some readers take for a line end. JSON strings may
/// contain U+2028, U+2029 and U+0085. Readers that split text by the rules of Unicode cut there:
/// `splitlines` in Python, `lines` in Java, old JavaScript. Escaped characters mean the same.
fn one_line(json: String) -> String {
    let bytes = json.as_bytes();
    let mut escaped = String::new();
    let mut written = 0;
    for at in memchr::memchr2_iter(0xC2, 0xE2, bytes) {
        let (length, escape) = match bytes[at..] {
            [0xC2, 0x85, ..] => (2, "\\u0085"),
            [0xE2, 0x80, 0xA8, ..] => (3, "\\u2028"),
            [0xE2, 0x80, 0xA9, ..] => (3, "\\u2029"),
            _ => continue,
        };
        escaped.push_str(&json[written..at]);
        escaped.push_str(escape);
        written = at + length;
    }
    if written == 0 {
        return json;
    }
    escaped.push_str(&json[written..]);
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn compact_json_means_the_same(text in ".*", number: i64) {
            let value = serde_json::json!({"a b": [text, number, {"c": "\\\" \\"}], " ": null});
            let compacted = compact(&serde_json::to_string_pretty(&value).unwrap());
            prop_assert_eq!(compacted, serde_json::to_string(&value).unwrap());
        }
    }
}
