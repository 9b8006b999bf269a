//! Client tokens: nothing makes opening panic, what was sealed opens until it expires, and nothing else opens.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tinistreamer::{
    auth::client_token::{Claims, TokenError, TokenRing},
    config::Secret,
    event::StreamKey,
    store::Birth,
};

fuzz_target!(|input: (&str, [u8; 16], u64, u64, u16)| {
    let (text, birth, expires_at, now, bit) = input;
    let ring = TokenRing::new(&[Secret::new([1; 32]), Secret::new([2; 32])]);
    assert_eq!(ring.open(text, now), Err(TokenError::Invalid));

    let Ok(key) = text.parse::<StreamKey>() else { return };
    let claims = Claims { key, birth: Birth(birth), expires_at };
    let token = ring.seal(&claims).expect("a key to seal with");
    let mut bytes = hex::decode(&token).expect("hexadecimal");
    assert_eq!(ring.open(&token, now), if now < expires_at { Ok(claims) } else { Err(TokenError::Expired) });

    let bit = usize::from(bit) % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
    assert_eq!(ring.open(&hex::encode(&bytes), now), Err(TokenError::Invalid), "bit {bit} of the token is not guarded");
    assert_eq!(ring.open(&token[..bit / 8 * 2], now), Err(TokenError::Invalid), "a part of the token opens");
});
