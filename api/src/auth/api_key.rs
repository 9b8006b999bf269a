//! API keys.

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::config::Secret;

/// Identifies one of the configured API keys, without containing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyIndex(u32);

/// The configured API keys.
#[derive(Clone, Debug)]
pub struct ApiKeys(Vec<Secret<String>>);

impl ApiKeys {
    /// Accepts any of these keys.
    #[must_use]
    pub fn new(keys: Vec<Secret<String>>) -> Self {
        Self(keys)
    }

    /// Returns which of the configured keys this is, if any. The time depends only on the length of
    /// the key: it is compared with all keys, and each comparison runs to the end.
    #[must_use]
    pub fn accept(&self, key: &str) -> Option<KeyIndex> {
        let matches = |known: &Secret<String>| known.reveal().as_bytes().ct_eq(key.as_bytes());
        let matches = self
            .0
            .iter()
            .zip(0..)
            .map(|(known, index)| (matches(known), index));
        let (any, index) = matches.fold((Choice::from(0), 0_u32), |(any, found), (this, index)| {
            (any | this, u32::conditional_select(&found, &index, this))
        });
        bool::from(any).then_some(KeyIndex(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_configured_key_is_accepted_and_no_other() {
        let keys = ApiKeys::new(vec![
            Secret::new("first-key".into()),
            Secret::new("second-key".into()),
        ]);
        assert_eq!(
            (keys.accept("first-key"), keys.accept("second-key")),
            (Some(KeyIndex(0)), Some(KeyIndex(1)))
        );
        for wrong in [
            "",
            "first-ke",
            "first-key ",
            "FIRST-KEY",
            "first-keysecond-key",
        ] {
            assert_eq!(keys.accept(wrong), None, "{wrong:?}");
        }
    }
}
