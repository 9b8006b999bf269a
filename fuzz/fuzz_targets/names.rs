//! Keys, ids and names: the broker accepts what the contract allows, and writes it as it was read.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tinistreamer::stream::{EventId, NewEvent, Producer, RESERVED_NAMES, StreamKey};

fuzz_target!(|text: &str| {
    let fits =
        |most: usize| (1..=most).contains(&text.len()) && !text.chars().any(char::is_control);

    assert_eq!(
        text.parse::<StreamKey>().ok().map(|key| key.to_string()),
        fits(256).then(|| text.to_owned())
    );

    let is_name = fits(128) && !RESERVED_NAMES.contains(&text);
    assert_eq!(
        NewEvent::new(text, None)
            .ok()
            .map(|event| event.name().to_owned()),
        is_name.then(|| text.to_owned())
    );

    let is_producer = fits(64)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    assert_eq!(
        text.parse::<Producer>()
            .ok()
            .map(|producer| producer.as_str().to_owned()),
        is_producer.then(|| text.to_owned())
    );

    if let Ok(id) = text.parse::<EventId>() {
        let written = id.to_string();
        assert_eq!(written.parse(), Ok(id));
        // Leading zeros are lost.
        let halves = |text: &str| {
            text.split('-')
                .map(|digits| digits.trim_start_matches('0').to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(halves(&written), halves(text));
    }
});
