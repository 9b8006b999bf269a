//! API keys of backends.

use subtle::{Choice, ConstantTimeEq};

use crate::config::Secret;

/// The good keys.
#[derive(Clone, Debug)]
pub struct ApiKeys(Vec<Secret<String>>);

impl ApiKeys {
    /// Any of these keys is good.
    #[must_use]
    pub fn new(keys: Vec<Secret<String>>) -> Self {
        Self(keys)
    }

    /// Whether the key is one of the good ones. Takes as long for every key of a length: all are compared, each to its end.
    #[must_use]
    pub fn accept(&self, key: &str) -> bool {
        let matches = |good: &Secret<String>| good.reveal().as_bytes().ct_eq(key.as_bytes());
        self.0.iter().map(matches).fold(Choice::from(0), |any, this| any | this).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_key_of_the_ring_is_good_and_no_other() {
        let keys = ApiKeys::new(vec![Secret::new("first-key".into()), Secret::new("second-key".into())]);
        assert!(keys.accept("first-key") && keys.accept("second-key"));
        for wrong in ["", "first-ke", "first-key ", "FIRST-KEY", "first-keysecond-key"] {
            assert!(!keys.accept(wrong), "{wrong:?}");
        }
    }
}
