//! Events as lines of JSON.

use bytes::Bytes;
use serde::Serialize;
use serde_json::json;

use crate::Error;

/// An event as one line of JSON.
pub(super) fn encode(event: &str, data: &impl Serialize) -> Result<Bytes, Error> {
    #[derive(Serialize)]
    struct Line<'a, T> {
        event: &'a str,
        data: &'a T,
    }
    let mut line = serde_json::to_vec(&Line { event, data }).map_err(Error::InvalidData)?;
    // A `RawValue` may hold line ends, but only between its tokens.
    line.iter_mut()
        .filter(|byte| matches!(**byte, b'\n' | b'\r'))
        .for_each(|byte| *byte = b' ');
    Ok(line.into())
}

/// An event whose data are a string, as one line of JSON.
pub(super) fn encode_text(event: &str, text: &str) -> Bytes {
    json!({"event": event, "data": text}).to_string().into()
}

/// The data of an event, if it is a string.
pub(super) fn as_text(data: &impl Serialize) -> Result<Option<String>, Error> {
    let json = serde_json::to_vec(data).map_err(Error::InvalidData)?;
    // A string of JSON with half a character is no string of Rust, and stays as it is.
    Ok(serde_json::from_slice(&json).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    proptest! {
        #[test]
        fn an_event_is_one_line_with_any_data(name: String, data: String) {
            let line = encode(&name, &data).unwrap();
            prop_assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
            prop_assert_eq!(
                serde_json::from_slice::<Value>(&line).unwrap(),
                json!({"event": name, "data": data})
            );
            let line = encode_text(&name, &data);
            prop_assert!(!line.contains(&b'\n') && !line.contains(&b'\r'));
            prop_assert_eq!(
                serde_json::from_slice::<Value>(&line).unwrap(),
                json!({"event": name, "data": data})
            );
            prop_assert_eq!(as_text(&data).unwrap(), Some(data));
        }
    }

    #[test]
    fn data_that_json_can_not_express_is_refused() {
        let tuples_as_keys = std::collections::BTreeMap::from([((1, 2), 3)]);
        assert!(matches!(
            encode("token", &tuples_as_keys),
            Err(Error::InvalidData(_))
        ));
    }

    #[test]
    fn only_a_string_is_text() {
        for (data, text) in [
            (json!("a\n\"é"), Some("a\n\"é")),
            (json!(""), Some("")),
            (json!(7), None),
            (json!(null), None),
            (json!(["a"]), None),
        ] {
            assert_eq!(as_text(&data).unwrap().as_deref(), text);
        }
    }
}
