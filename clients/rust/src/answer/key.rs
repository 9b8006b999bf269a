//! Keys of answers.

use std::fmt::Write;

use crate::Error;

/// A key with this prefix that nobody can guess: 128 random bits.
pub(super) fn random_key(prefix: &str) -> Result<String, Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(Error::setup)?;
    let mut key = prefix.to_owned();
    for byte in bytes {
        // Writing to a string can't fail.
        let _ = write!(key, "{byte:02x}");
    }
    Ok(key)
}

/// Whether a key is one that [`random_key`] may have returned.
pub(super) fn is_random_key(key: &str, prefix: &str) -> bool {
    key.strip_prefix(prefix).is_some_and(|random| {
        random.len() == 32 && random.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_keys_that_were_made_here_are_taken() {
        let key = random_key("chat-").unwrap();
        assert_ne!(key, random_key("chat-").unwrap());
        assert!(is_random_key(&key, "chat-"));
        for other in [&key[..36], &key.replace("chat-", "cat-"), "chat-1", ""] {
            assert!(!is_random_key(other, "chat-"), "{other}");
        }
    }
}
