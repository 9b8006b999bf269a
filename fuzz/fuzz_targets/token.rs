//! Tokens: opening never panics, a sealed token opens until it expires, and nothing else opens.

#![no_main]

use libfuzzer_sys::{arbitrary, fuzz_target};
use tinistreamer::{
    auth::{
        claims::{Claims, Scope},
        client_token::{SealError, TokenError, TokenRing},
        permissions::Permissions,
    },
    config::Secret,
    stream::{Generation, StreamKey},
};

/// The claims to seal: keys, each with or without a generation, or a prefix.
#[derive(arbitrary::Arbitrary, Debug)]
enum Wanted<'a> {
    Streams(Vec<(&'a str, Option<[u8; 16]>)>),
    Prefix(&'a str),
}

impl Wanted<'_> {
    fn scope(&self) -> Option<Scope> {
        let key = |text: &str| text.parse::<StreamKey>().ok();
        match self {
            Self::Streams(streams) => streams
                .iter()
                .map(|&(text, generation)| Some((key(text)?, generation.map(Generation))))
                .collect::<Option<_>>()
                .map(Scope::Streams),
            Self::Prefix(text) => key(text).map(Scope::Prefix),
        }
    }
}

fuzz_target!(
    |input: (&str, Wanted<'_>, (bool, bool), &str, u64, u64, u16)| {
        let (text, wanted, (read, signal), subject, expires_at, now, bit) = input;
        let ring = TokenRing::new(&[Secret::new([1; 32]), Secret::new([2; 32])]);
        assert_eq!(ring.open(text, now), Err(TokenError::Invalid));

        let Some(scope) = wanted.scope() else { return };
        let claims = Claims {
            scope,
            permissions: Permissions { read, signal },
            subject: subject.parse().ok(),
            expires_at,
        };
        let token = match ring.seal(&claims) {
            Ok(token) => token,
            Err(error) => return assert_eq!(error, SealError::TooLong),
        };
        let mut bytes = hex::decode(&token).expect("hexadecimal");
        assert_eq!(
            ring.open(&token, now),
            if now < expires_at {
                Ok(claims)
            } else {
                Err(TokenError::Expired)
            }
        );

        let bit = usize::from(bit) % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            ring.open(&hex::encode(&bytes), now),
            Err(TokenError::Invalid),
            "bit {bit} of the token is not guarded"
        );
        assert_eq!(
            ring.open(&token[..bit / 8 * 2], now),
            Err(TokenError::Invalid),
            "a part of the token opens"
        );
    }
);
