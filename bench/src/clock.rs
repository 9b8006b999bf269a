//! The time that events carry. Publishers and subscribers run in one process, so that a latency is
//! the difference between two readings of one clock.

use std::{
    io::Write,
    sync::LazyLock,
    time::{Duration, Instant},
};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the first reading.
pub(crate) fn now() -> u64 {
    u64::try_from(START.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Appends an event's data: the current time, filled up with `x`.
pub(crate) fn put_stamp(out: &mut Vec<u8>, size: usize) {
    let start = out.len();
    // Writing to memory does not fail.
    let _ = write!(out, "{}", now());
    let end = out.len().max(start + size);
    out.resize(end, b'x');
}

/// The time in an event's data.
pub(crate) fn stamp(data: &[u8]) -> Option<u64> {
    let digits = data.iter().take_while(|byte| byte.is_ascii_digit());
    let mut any = false;
    let time = digits.fold(0_u64, |time, digit| {
        any = true;
        time.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'))
    });
    any.then_some(time)
}

/// Parses seconds, with or without a fraction, for the command line.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text
        .parse()
        .map_err(|_| "a number of seconds is wanted".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_and_fills_the_payload() {
        let before = now();
        let mut data = Vec::new();
        put_stamp(&mut data, 100);
        assert_eq!(data.len(), 100);
        let read = stamp(&data).unwrap();
        assert!((before..=now()).contains(&read));
        assert_eq!(stamp(b"xyz"), None);
    }
}
