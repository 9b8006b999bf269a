//! API keys of backends.

use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

use crate::config::Secret;

/// Tells one API key from another, without being it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyIndex(u32);

/// The good keys.
#[derive(Clone, Debug)]
pub struct ApiKeys(Vec<Secret<String>>);

impl ApiKeys {
    /// Any of these keys is good.
    #[must_use]
    pub fn new(keys: Vec<Secret<String>>) -> Self {
        Self(keys)
    }

    /// Which of the good keys this is, if it is one. Takes as long for every key of a length: all
    /// are compared, each to its end.
    #[must_use]
    pub fn accept(&self, key: &str) -> Option<KeyIndex> {
        let matches = |good: &Secret<String>| good.reveal().as_bytes().ct_eq(key.as_bytes());
        let matches = self
            .0
            .iter()
            .zip(0..)
            .map(|(good, index)| (matches(good), index));
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
    fn any_key_of_the_ring_is_good_and_no_other() {
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
