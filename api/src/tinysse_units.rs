//! Durations and sizes as tinysse's options have them: `60s`, `1m30s`, `64KB`.

use std::time::Duration;

use rocket::data::ByteUnit;

/// Why a text is not a duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a duration is whole numbers with units (ms, s, m, h, d), such as 500ms, 60s or 1m30s")]
pub(crate) struct InvalidDuration;

/// Why a text is not a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a size is 1 byte to 1 GiB, such as 512, 64KB (64,000 bytes), 64KiB or 1MB")]
pub(crate) struct InvalidSize;

/// The largest body that an option may allow.
const MAX_SIZE: u64 = 1 << 30;

/// Parses a sum of numbers with units. A bare 0 is no time.
pub(crate) fn duration(text: &str) -> Result<Duration, InvalidDuration> {
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    let mut sum = Duration::ZERO;
    let mut is_empty = true;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.len()
            - after
                .trim_start_matches(|c: char| c.is_ascii_lowercase())
                .len();
        let (unit, after) = after.split_at(letters);
        let milliseconds: u64 = match unit {
            "ms" => 1,
            "s" | "sec" | "secs" => 1_000,
            "m" | "min" | "mins" => 60_000,
            "h" | "hr" | "hrs" => 3_600_000,
            "d" | "day" | "days" => 86_400_000,
            _ => return Err(InvalidDuration),
        };
        let part = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(milliseconds))
            .ok_or(InvalidDuration)?;
        sum = sum
            .checked_add(Duration::from_millis(part))
            .ok_or(InvalidDuration)?;
        (rest, is_empty) = (after.trim_start(), false);
    }
    if is_empty {
        Err(InvalidDuration)
    } else {
        Ok(sum)
    }
}

/// Parses a size.
pub(crate) fn size(text: &str) -> Result<usize, InvalidSize> {
    let size: ByteUnit = text.trim().parse().map_err(|_| InvalidSize)?;
    let is_fit = (1..=MAX_SIZE).contains(&size.as_u64());
    let size = usize::try_from(size.as_u64()).ok();
    size.filter(|_| is_fit).ok_or(InvalidSize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, ms) in [
            ("500ms", 500),
            ("60s", 60_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1d", 86_400_000),
            ("1m30s", 90_000),
            ("1m 30s", 90_000),
            ("2 s", 2_000),
            ("0s", 0),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            " ",
            "60",
            "s",
            "-1s",
            "1.5s",
            "1x",
            "1S",
            "1s,",
            "99999999999999999999s",
        ] {
            assert_eq!(duration(text), Err(InvalidDuration), "{text:?}");
        }
    }

    #[test]
    fn sizes_have_units_of_a_thousand_or_of_1024() {
        for (text, bytes) in [
            ("512", 512),
            ("64KB", 64_000),
            ("64KiB", 65_536),
            ("1MB", 1_000_000),
            ("1 MiB", 1 << 20),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "0", "-1", "x", "2GiB", "KB"] {
            assert_eq!(size(text), Err(InvalidSize), "{text:?}");
        }
    }
}
