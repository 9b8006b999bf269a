//! The id of an event in its stream.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// The id of an entry, `<ms>-<n>`: a [Redis stream
/// id](https://redis.io/docs/latest/develop/data-types/streams/#entry-ids) whose second half counts
/// the events of the stream from 0. The difference of two ids is the number of events between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId {
    /// Milliseconds since the Unix epoch, by the clock of the store. Never smaller than in the
    /// previous entry.
    pub ms: u64,
    /// The number of the event in its stream, from 0, without holes.
    pub n: u64,
}

/// The text is not `<digits>-<digits>` with both in 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("An event id is <milliseconds>-<number>, such as 1700000000000-42")]
pub struct InvalidEventId;

impl FromStr for EventId {
    type Err = InvalidEventId;

    fn from_str(text: &str) -> Result<Self, InvalidEventId> {
        // `u64::from_str` alone would also accept a leading plus sign.
        let number = |digits: &str| {
            if digits.bytes().all(|b| b.is_ascii_digit()) {
                digits.parse().map_err(|_| InvalidEventId)
            } else {
                Err(InvalidEventId)
            }
        };
        let (ms, n) = text.split_once('-').ok_or(InvalidEventId)?;
        Ok(Self {
            ms: number(ms)?,
            n: number(n)?,
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.n)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_id_reads_back_as_it_was(ms: u64, n: u64) {
            let id = EventId { ms, n };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn ids_sort_by_time_and_then_by_number(a: (u64, u64), b: (u64, u64)) {
            let id = |(ms, n)| EventId { ms, n };
            prop_assert_eq!(id(a).cmp(&id(b)), a.cmp(&b));
        }

        #[test]
        fn parsing_an_id_never_panics_and_accepts_only_digits(text in ".{0,24}") {
            if let Ok(id) = text.parse::<EventId>() {
                prop_assert!(text.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
                prop_assert_eq!(id.to_string().len() <= text.len(), true);
            }
        }
    }

    #[test]
    fn an_invalid_id_is_refused() {
        for text in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "+1-1",
            "1-+1",
            "1-1-1",
            " 1-1",
            "1-1 ",
            "a-1",
            "1-18446744073709551616",
        ] {
            assert_eq!(text.parse::<EventId>(), Err(InvalidEventId), "{text:?}");
        }
    }
}
