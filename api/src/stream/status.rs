//! The status of a stream, and the ways to finish one.

use std::str::FromStr;

use serde::Serialize;

/// Where a stream is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Events may be written.
    Active,
    /// Complete: `end` was its last event.
    Ended,
    /// Given up: `cancel` was its last event.
    Cancelled,
}

impl Status {
    /// The status as text, as it is stored and shown.
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

/// The two ways in which a stream is finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Nothing more will come, and all is there.
    End,
    /// Nothing more will come.
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

    /// The status of a stream so finished.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::End => Status::Ended,
            Self::Cancel => Status::Cancelled,
        }
    }
}
