//! Tokens: [`Claims`], encrypted with AES-256-GCM. Only owners of a key can read or make them.
//!
//! A token is the hex form of `version (1 byte) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`. The module
//! [`super::claims`] describes the plain text. Version and purpose are the authenticated data.
//! Random nonces of 96 bits are safe below 2³² tokens per key (NIST SP 800-38D, 8.3).
//! Therefore keys have to be rotated.

use aes_gcm::{
    Aes256Gcm, Key, KeyInit,
    aead::{Aead, Generate, Nonce, Payload},
};

use super::claims::Claims;
use crate::config::Secret;

/// The purpose of a token. A ciphertext with another purpose does not open as a token.
const PURPOSE: &[u8] = b"tinistreamer client token";

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// The longest plain text of a token, in bytes. Tokens are part of URLs, and proxies limit the
/// length of URLs.
pub const MAX_PLAIN_BYTES: usize = 3 << 10;

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token, or not sealed with one of the keys. Callers must not learn which.
    #[error("the token is not valid")]
    Invalid,
    /// The token was valid, and has expired.
    #[error("the token has expired")]
    Expired,
}

/// Why the broker could not make a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The claims are longer than [`MAX_PLAIN_BYTES`].
    #[error("a token can't say so much")]
    TooLong,
    /// The system provides no random numbers, or the encryption failed.
    #[error("a token could not be made")]
    Cipher,
}

/// The keys for tokens: the first seals tokens, all open them.
#[derive(Clone)]
pub struct TokenRing {
    ciphers: Vec<Aes256Gcm>,
}

impl TokenRing {
    /// A ring of these keys. The first one seals.
    #[must_use]
    pub fn new(keys: &[Secret<[u8; 32]>]) -> Self {
        Self {
            ciphers: keys
                .iter()
                .map(|key| Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key.reveal())))
                .collect(),
        }
    }

    /// Seals claims into a token.
    pub fn seal(&self, claims: &Claims) -> Result<String, SealError> {
        let cipher = self.ciphers.first().ok_or(SealError::Cipher)?;
        let (version, plain) = claims.encode();
        if plain.len() > MAX_PLAIN_BYTES {
            return Err(SealError::TooLong);
        }
        let nonce = Nonce::<Aes256Gcm>::try_generate().map_err(|_| SealError::Cipher)?;
        let sealed = cipher
            .encrypt(
                &nonce,
                Payload {
                    msg: &plain,
                    aad: &purpose(version),
                },
            )
            .map_err(|_| SealError::Cipher)?;
        Ok(hex::encode([&[version], &nonce[..], &sealed].concat()))
    }

    /// Opens a token. `now` is the time in seconds since the Unix epoch.
    pub fn open(&self, token: &str, now: u64) -> Result<Claims, TokenError> {
        // A longer text is not a token of this broker. Decoding it would waste time on an attacker.
        const LONGEST: usize = 2 * (1 + NONCE_BYTES + MAX_PLAIN_BYTES + TAG_BYTES);
        if token.len() > LONGEST {
            return Err(TokenError::Invalid);
        }
        let bytes = hex::decode(token).map_err(|_| TokenError::Invalid)?;
        let (&version, rest) = bytes.split_first().ok_or(TokenError::Invalid)?;
        let (nonce, sealed) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(TokenError::Invalid)?;
        let (nonce, aad) = (Nonce::<Aes256Gcm>::from(*nonce), purpose(version));
        let open = |cipher: &Aes256Gcm| {
            cipher
                .decrypt(
                    &nonce,
                    Payload {
                        msg: sealed,
                        aad: &aad,
                    },
                )
                .ok()
        };
        let plain = self
            .ciphers
            .iter()
            .find_map(open)
            .ok_or(TokenError::Invalid)?;
        let claims = Claims::decode(version, &plain).ok_or(TokenError::Invalid)?;
        if claims.expires_at <= now {
            Err(TokenError::Expired)
        } else {
            Ok(claims)
        }
    }
}

/// The authenticated data of a token of this version.
fn purpose(version: u8) -> Vec<u8> {
    [&[version], PURPOSE].concat()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::btree_map, prelude::*};

    use super::*;
    use crate::{
        auth::{
            claims::Scope,
            permissions::{Permissions, Subject},
        },
        stream::{Generation, StreamKey},
    };

    fn ring(keys: &[u8]) -> TokenRing {
        TokenRing::new(
            &keys
                .iter()
                .map(|&byte| Secret::new([byte; 32]))
                .collect::<Vec<_>>(),
        )
    }

    fn of_stream(key: &str, generation: Option<Generation>) -> Scope {
        Scope::Streams([(key.parse().unwrap(), generation)].into())
    }

    fn claims(key: &str, expires_at: u64) -> Claims {
        of(of_stream(key, Some(Generation([7; 16]))), expires_at)
    }

    fn of(scope: Scope, expires_at: u64) -> Claims {
        Claims {
            scope,
            permissions: Permissions::READ,
            subject: None,
            expires_at,
        }
    }

    fn permissions() -> impl Strategy<Value = Permissions> {
        any::<(bool, bool)>().prop_map(|(read, signal)| Permissions { read, signal })
    }

    fn subjects() -> impl Strategy<Value = Option<Subject>> {
        prop::option::of("[^\\p{Cc}]{1,32}".prop_map(|subject| subject.parse().unwrap()))
    }

    fn keys() -> impl Strategy<Value = StreamKey> {
        prop_oneof!["[^\\p{Cc}]{1,64}", "[a-z]{1,256}"].prop_map(|key| key.parse().unwrap())
    }

    /// Any scope: of one stream, of several, of a prefix.
    fn scopes() -> impl Strategy<Value = Scope> {
        let generation =
            any::<Option<[u8; 16]>>().prop_map(|generation| generation.map(Generation));
        prop_oneof![
            btree_map(keys(), generation, 1..9).prop_map(Scope::Streams),
            keys().prop_map(Scope::Prefix)
        ]
    }

    proptest! {
        #[test]
        fn an_opened_token_has_the_claims_that_were_sealed(
            scope in scopes(),
            permissions in permissions(),
            subject in subjects(),
            now in 0..u64::MAX - 1,
        ) {
            let claims = Claims { scope, permissions, subject, expires_at: now + 1 };
            let token = ring(&[1]).seal(&claims).unwrap();
            prop_assert!(token.bytes().all(|b| b.is_ascii_hexdigit()));
            prop_assert_eq!(ring(&[1]).open(&token, now), Ok(claims));
            prop_assert_eq!(ring(&[1]).open(&token, now + 1), Err(TokenError::Expired));
        }

        #[test]
        fn a_changed_token_does_not_open(
            scope in scopes(),
            byte: prop::sample::Index,
            bit in 0..8u8,
        ) {
            let token = ring(&[1]).seal(&of(scope, 100)).unwrap();
            let mut bytes = hex::decode(token).unwrap();
            let byte = byte.index(bytes.len());
            bytes[byte] ^= 1 << bit;
            prop_assert_eq!(ring(&[1]).open(&hex::encode(bytes), 1), Err(TokenError::Invalid));
        }

        #[test]
        fn a_token_does_not_open_as_another_version(scope in scopes(), version: u8) {
            let token = ring(&[1]).seal(&of(scope, 100)).unwrap();
            let other = format!("{version:02x}{}", &token[2..]);
            prop_assert_eq!(ring(&[1]).open(&other, 1).is_ok(), other == token);
        }

        #[test]
        fn no_text_makes_opening_panic(text in ".{0,800}") {
            prop_assert_eq!(ring(&[1]).open(&text, 1), Err(TokenError::Invalid));
        }

        #[test]
        fn no_plain_text_makes_reading_panic(version in 0..5u8, plain: Vec<u8>) {
            let read = Claims::decode(version, &[&[0; 8], &plain[..]].concat());
            prop_assert!(read.is_none_or(|claims| claims.expires_at == 0));
        }
    }

    #[test]
    fn tokens_of_version_1_from_older_nodes_open() {
        // Made by the code that knew only version 1.
        let old = "01a8e519e0d30e0e798c6689b2de3b4bfa07ed9e492515bb0b451149e31456d6\
                   30e4fc6b0e3ec2748bb03dc83fadb17de9f120310b04833510001dd08ff2";
        let expires_at = 4_102_444_800;
        assert_eq!(
            ring(&[1]).open(old, expires_at - 1),
            Ok(claims("chat/Ω 1", expires_at))
        );
        assert_eq!(ring(&[1]).open(old, expires_at), Err(TokenError::Expired));
        assert_eq!(ring(&[2]).open(old, 1), Err(TokenError::Invalid));
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let of_prefix = of(Scope::Prefix("chat".parse().unwrap()), 100);
        for claims in [claims("chat", 100), of_prefix] {
            let old = ring(&[1]).seal(&claims).unwrap();
            assert_eq!(ring(&[2, 1]).open(&old, 1), Ok(claims.clone()));
            assert_eq!(ring(&[2]).open(&old, 1), Err(TokenError::Invalid));
            let new = ring(&[2, 1]).seal(&claims).unwrap();
            assert_eq!(ring(&[1]).open(&new, 1), Err(TokenError::Invalid));
        }
    }

    #[test]
    fn the_longest_token_opens_and_a_longer_one_is_not_made() {
        // Expiry and kind take 9 bytes. A stream without a generation takes 2 besides its key.
        let of_length = |last: usize| {
            let keys = (0..11)
                .map(|n| format!("{n:0>256}"))
                .chain(["x".repeat(last)]);
            let streams = keys.map(|key| (key.parse().unwrap(), None)).collect();
            of(Scope::Streams(streams), 100)
        };
        let last = MAX_PLAIN_BYTES - 9 - 11 * 258 - 2;
        let longest = of_length(last);
        let token = ring(&[1]).seal(&longest).unwrap();
        assert_eq!(ring(&[1]).open(&token, 1), Ok(longest));
        assert_eq!(
            ring(&[1]).seal(&of_length(last + 1)),
            Err(SealError::TooLong)
        );
    }

    #[test]
    fn two_tokens_with_the_same_claims_differ() {
        let seal = || ring(&[1]).seal(&claims("chat", 100)).unwrap();
        assert_ne!(seal(), seal());
    }
}
