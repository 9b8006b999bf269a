//! Start positions.

use std::str::FromStr;

use chrono::DateTime;

/// A start position says where a subscriber without a position in a stream begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartPosition {
    /// With the oldest stored event. Trimmed events before it are a gap.
    #[default]
    Start,
    /// After the newest event.
    Now,
    /// With the last so many stored events, or with the oldest one if fewer are stored.
    Last(u64),
    /// With the oldest stored event that was written at this time or later. Milliseconds since the
    /// Unix epoch.
    Since(u64),
}

/// The text is not a [`StartPosition`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "A start position is start, now, -N for the last N events, or an RFC 3339 time such as \
     2026-01-01T00:00:00Z"
)]
pub struct InvalidStartPosition;

impl FromStr for StartPosition {
    type Err = InvalidStartPosition;

    /// `start`, `now`, `-N`, or an [RFC 3339](https://www.rfc-editor.org/rfc/rfc3339#section-5.6)
    /// time.
    fn from_str(text: &str) -> Result<Self, InvalidStartPosition> {
        match text {
            "start" => return Ok(Self::Start),
            "now" => return Ok(Self::Now),
            _ => {}
        }
        if let Some(digits) = text.strip_prefix('-') {
            // `u64::from_str` alone would also accept a leading plus sign.
            let is_number = digits.bytes().all(|b| b.is_ascii_digit());
            return digits
                .parse()
                .ok()
                .filter(|_| is_number)
                .map(Self::Last)
                .ok_or(InvalidStartPosition);
        }
        // In a query a plus sign means a space. A plus sign before the offset may therefore have
        // arrived as a space.
        let offset = text
            .len()
            .checked_sub("+00:00".len())
            .filter(|&at| text.as_bytes()[at] == b' ');
        let with_plus = offset.map(|at| format!("{}+{}", &text[..at], &text[at + 1..]));
        let time = DateTime::parse_from_rfc3339(with_plus.as_deref().unwrap_or(text))
            .map_err(|_| InvalidStartPosition)?;
        // Rounded down, like the times in ids: an event of the same millisecond may be later. No
        // event is older than 1970.
        Ok(u64::try_from(time.timestamp_millis()).map_or(Self::Start, Self::Since))
    }
}

#[cfg(test)]
mod tests {
    use chrono::{FixedOffset, SecondsFormat, TimeZone};
    use proptest::prelude::*;

    use super::*;

    /// The first millisecond of a year that RFC 3339 can't write.
    const YEAR_10000: i64 = 253_402_300_800_000;

    proptest! {
        #[test]
        fn a_time_may_have_any_offset_and_a_plus_sign_that_became_a_space(
            ms in 0..YEAR_10000 - 86_400_000,
            minutes in -1439..1440,
        ) {
            let offset = FixedOffset::east_opt(minutes * 60).unwrap();
            let time = offset.timestamp_millis_opt(ms).unwrap();
            let text = time.to_rfc3339_opts(SecondsFormat::Millis, true);
            let expected = Ok(StartPosition::Since(ms.unsigned_abs()));
            prop_assert_eq!(text.parse(), expected);
            prop_assert_eq!(text.replace('+', " ").parse(), expected);
        }

        #[test]
        fn a_time_within_a_millisecond_includes_all_events_of_that_millisecond(
            ms in 0..YEAR_10000,
            nanos in 0..1_000_000_u32,
        ) {
            let millisecond = chrono::Utc.timestamp_millis_opt(ms).unwrap();
            let time = millisecond + chrono::Duration::nanoseconds(nanos.into());
            let text = time.to_rfc3339_opts(SecondsFormat::Nanos, true);
            prop_assert_eq!(text.parse(), Ok(StartPosition::Since(ms.unsigned_abs())));
        }

        #[test]
        fn parsing_a_start_position_never_panics(
            text in prop_oneof![".{0,40}", "[-0-9T:Z+. é]{0,30}"]
        ) {
            let _ = text.parse::<StartPosition>();
        }

        #[test]
        fn a_number_of_events_reads_back_as_it_was(count: u64) {
            prop_assert_eq!(format!("-{count}").parse(), Ok(StartPosition::Last(count)));
        }
    }

    #[test]
    fn start_positions_have_the_documented_forms() {
        for (text, start) in [
            ("start", StartPosition::Start),
            ("now", StartPosition::Now),
            ("-0", StartPosition::Last(0)),
            ("-20", StartPosition::Last(20)),
            ("1970-01-01T00:00:00Z", StartPosition::Since(0)),
            ("1970-01-01T01:00:00.0019 01:00", StartPosition::Since(1)),
            (
                "2026-01-01T00:00:00+01:00",
                StartPosition::Since(1_767_222_000_000),
            ),
            ("1969-12-31T23:59:59.9999Z", StartPosition::Start),
            ("0001-01-01T00:00:00Z", StartPosition::Start),
        ] {
            assert_eq!(text.parse(), Ok(start), "{text:?}");
        }
    }

    #[test]
    fn an_invalid_start_position_is_refused() {
        for text in [
            "",
            "-",
            "--1",
            "-+1",
            "- 1",
            "-1.5",
            "-18446744073709551616",
            "1",
            "Start",
            "now ",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-13-01T00:00:00Z",
            "1700000000000",
            "1700000000000-1",
        ] {
            assert_eq!(
                text.parse::<StartPosition>(),
                Err(InvalidStartPosition),
                "{text:?}"
            );
        }
    }
}
