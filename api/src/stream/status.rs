//! The status of a stream.

use std::str::FromStr;

use serde::Serialize;

/// The status of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The stream takes events.
    Active,
    /// Complete: `end` was its last event.
    Ended,
    /// Given up: `cancel` was its last event.
    Cancelled,
    /// The producer reported an error: `fail` was its last event.
    Failed,
    /// The producer went silent: `abandon` was its last event.
    Abandoned,
}

/// What the store has in place of `active` for a stream whose producer must show that it lives. A
/// node that does not renew deadlines takes the stream for finished when it writes.
const LEASED: &str = "leased";

impl Status {
    /// Whether nothing can follow the stream's events.
    #[must_use]
    pub fn is_finished(self) -> bool {
        self != Self::Active
    }

    /// The status as text, in the store and in responses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// Parses what the store has.
impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Ok(match text {
            "active" | LEASED => Self::Active,
            "ended" => Self::Ended,
            "cancelled" => Self::Cancelled,
            "failed" => Self::Failed,
            "abandoned" => Self::Abandoned,
            _ => return Err(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_store_has_each_status_as_its_text_and_an_active_stream_may_be_leased() {
        use Status::{Abandoned, Active, Cancelled, Ended, Failed};
        for status in [Active, Ended, Cancelled, Failed, Abandoned] {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert_eq!(status.is_finished(), status != Active);
        }
        assert_eq!("leased".parse(), Ok(Active));
        assert_eq!(Status::from_str("other"), Err(()));
    }
}
