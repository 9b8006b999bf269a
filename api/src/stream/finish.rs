//! The ways to finish a stream.

use super::status::Status;

/// How a stream is finished: what it is called, and what its last event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// The way.
    pub kind: FinishKind,
    /// The data of the last event.
    pub data: Option<Box<str>>,
}

/// The ways to finish a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishKind {
    /// The stream is complete.
    End,
    /// The stream is given up.
    Cancel,
    /// The producer reports an error.
    Fail,
}

impl FinishKind {
    /// The name of the stream's last event.
    #[must_use]
    pub fn event_name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Cancel => "cancel",
            Self::Fail => "fail",
        }
    }

    /// The status of a stream that was finished this way.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::End => Status::Ended,
            Self::Cancel => Status::Cancelled,
            Self::Fail => Status::Failed,
        }
    }
}
