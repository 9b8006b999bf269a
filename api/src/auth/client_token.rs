//! Client tokens: what a client may follow, and until when, sealed with AES-256-GCM so that it can neither be read nor made
//! by anybody else.
//!
//! A token is the hex form of `version (1 byte) ‖ nonce (12) ‖ ciphertext ‖ tag (16)`; the plain text is
//! `expiry (8 bytes, seconds since the Unix epoch, big-endian) ‖ birth mark (16) ‖ stream key`. Version and purpose are
//! authenticated with it. Random nonces of 96 bits are safe below 2³² tokens per key (NIST SP 800-38D, 8.3): hence rotation.

use aes_gcm::{
    Aes256Gcm, Key, KeyInit,
    aead::{Aead, Generate, Nonce, Payload},
};

use crate::{config::Secret, event::StreamKey, store::Birth};

/// The first byte of every token of this form.
const VERSION: u8 = 1;

/// What a token is for; keeps cipher texts made for anything else from being taken for one.
const PURPOSE: &[u8] = b"\x01tinistreamer client token";

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const HEADER_BYTES: usize = 8 + 16;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The stream that it opens.
    pub key: StreamKey,
    /// Which stream at that key: a token dies with its stream.
    pub birth: Birth,
    /// Seconds since the Unix epoch from which on it is no good.
    pub expires_at: u64,
}

/// Why a token does not open anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a token, or not one of ours. Which of them is nobody's business.
    #[error("the token is not valid")]
    Invalid,
    /// It was good once.
    #[error("the token has expired")]
    Expired,
}

/// The system has no random numbers to give, or the key did not seal.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a token could not be made")]
pub struct SealError;

/// The keys that seal and open tokens: the first seals, all open.
#[derive(Clone)]
pub struct TokenRing {
    ciphers: Vec<Aes256Gcm>,
}

impl TokenRing {
    /// A ring of these keys, the sealing one first.
    #[must_use]
    pub fn new(keys: &[Secret<[u8; 32]>]) -> Self {
        Self { ciphers: keys.iter().map(|key| Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key.reveal()))).collect() }
    }

    /// Makes a token.
    pub fn seal(&self, claims: &Claims) -> Result<String, SealError> {
        let cipher = self.ciphers.first().ok_or(SealError)?;
        let nonce = Nonce::<Aes256Gcm>::try_generate().map_err(|_| SealError)?;
        let mut plain = Vec::with_capacity(HEADER_BYTES + claims.key.as_str().len());
        plain.extend(claims.expires_at.to_be_bytes());
        plain.extend(claims.birth.0);
        plain.extend(claims.key.as_str().as_bytes());
        let sealed = cipher.encrypt(&nonce, Payload { msg: &plain, aad: PURPOSE }).map_err(|_| SealError)?;
        let mut token = Vec::with_capacity(1 + NONCE_BYTES + sealed.len());
        token.push(VERSION);
        token.extend_from_slice(&nonce);
        token.extend_from_slice(&sealed);
        Ok(hex::encode(token))
    }

    /// Reads a token, at a time in seconds since the Unix epoch.
    pub fn open(&self, token: &str, now: u64) -> Result<Claims, TokenError> {
        // Nothing longer is one of ours; decoding it would only be work for whoever sent it.
        const LONGEST: usize = 2 * (1 + NONCE_BYTES + HEADER_BYTES + crate::event::MAX_KEY_BYTES + TAG_BYTES);
        if token.len() > LONGEST {
            return Err(TokenError::Invalid);
        }
        let bytes = hex::decode(token).map_err(|_| TokenError::Invalid)?;
        let (&version, rest) = bytes.split_first().ok_or(TokenError::Invalid)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(TokenError::Invalid)?;
        if version != VERSION {
            return Err(TokenError::Invalid);
        }
        let nonce = Nonce::<Aes256Gcm>::from(*nonce);
        let open = |cipher: &Aes256Gcm| cipher.decrypt(&nonce, Payload { msg: sealed, aad: PURPOSE }).ok();
        let plain = self.ciphers.iter().find_map(open).ok_or(TokenError::Invalid)?;
        let claims = parse(&plain).ok_or(TokenError::Invalid)?;
        if claims.expires_at <= now { Err(TokenError::Expired) } else { Ok(claims) }
    }
}

fn parse(plain: &[u8]) -> Option<Claims> {
    let (expires_at, rest) = plain.split_first_chunk::<8>()?;
    let (birth, key) = rest.split_first_chunk::<16>()?;
    let key = std::str::from_utf8(key).ok()?.parse().ok()?;
    Some(Claims { key, birth: Birth(*birth), expires_at: u64::from_be_bytes(*expires_at) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(keys: &[u8]) -> TokenRing {
        TokenRing::new(&keys.iter().map(|&byte| Secret::new([byte; 32])).collect::<Vec<_>>())
    }

    fn claims(key: &str, expires_at: u64) -> Claims {
        Claims { key: key.parse().unwrap(), birth: Birth([7; 16]), expires_at }
    }

    proptest! {
        #[test]
        fn a_token_gives_back_what_was_sealed(key in "[^\\p{Cc}]{1,64}", birth: [u8; 16], now in 0..u64::MAX - 1) {
            let claims = Claims { key: key.parse().unwrap(), birth: Birth(birth), expires_at: now + 1 };
            let token = ring(&[1]).seal(&claims).unwrap();
            prop_assert!(token.bytes().all(|b| b.is_ascii_hexdigit()));
            prop_assert_eq!(ring(&[1]).open(&token, now), Ok(claims));
            prop_assert_eq!(ring(&[1]).open(&token, now + 1), Err(TokenError::Expired));
        }

        #[test]
        fn no_changed_token_opens_anything(place: prop::sample::Index, bit in 0..8u8) {
            let token = ring(&[1]).seal(&claims("chat", 100)).unwrap();
            let mut bytes = hex::decode(token).unwrap();
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            prop_assert_eq!(ring(&[1]).open(&hex::encode(bytes), 1), Err(TokenError::Invalid));
        }

        #[test]
        fn no_text_makes_opening_panic(text in ".{0,800}") {
            prop_assert_eq!(ring(&[1]).open(&text, 1), Err(TokenError::Invalid));
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let old = ring(&[1]).seal(&claims("chat", 100)).unwrap();
        assert!(ring(&[2, 1]).open(&old, 1).is_ok());
        assert_eq!(ring(&[2]).open(&old, 1), Err(TokenError::Invalid));
        let new = ring(&[2, 1]).seal(&claims("chat", 100)).unwrap();
        assert_eq!(ring(&[1]).open(&new, 1), Err(TokenError::Invalid));
    }

    #[test]
    fn two_tokens_for_the_same_are_not_alike() {
        let seal = || ring(&[1]).seal(&claims("chat", 100)).unwrap();
        assert_ne!(seal(), seal());
    }
}
