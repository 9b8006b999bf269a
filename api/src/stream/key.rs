//! The key of a stream.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Serialize, Serializer};

/// The longest stream key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 256;

/// A stream key names a stream: 1 to 256 bytes of UTF-8 without control characters. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamKey(Arc<str>);

/// Why a text is not a [`StreamKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("A key is 1 to {MAX_KEY_BYTES} bytes of UTF-8 without control characters")]
pub struct InvalidKey;

impl StreamKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StreamKey {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let fits = (1..=MAX_KEY_BYTES).contains(&text.len());
        if fits && !text.chars().any(char::is_control) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidKey)
        }
    }
}

impl fmt::Display for StreamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for StreamKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_key_has_1_to_256_bytes_without_control_characters(text in any::<String>()) {
            let fits = (1..=256).contains(&text.len());
            let valid = fits && !text.chars().any(char::is_control);
            prop_assert_eq!(text.parse::<StreamKey>().is_ok(), valid);
        }
    }
}
