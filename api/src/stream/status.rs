//! The status of a stream, and the two ways to finish a stream.

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
}

impl Status {
    /// The status as text, in the store and in responses.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
        }
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Active, Self::Ended, Self::Cancelled]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(())
    }
}

/// The two ways to finish a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The stream is complete.
    End,
    /// The stream is given up.
    Cancel,
}

impl Finish {
    /// The name of the stream's last event.
    #[must_use]
    pub fn event_name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Cancel => "cancel",
        }
    }

    /// The status of a stream that was finished this way.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::End => Status::Ended,
            Self::Cancel => Status::Cancelled,
        }
    }
}
