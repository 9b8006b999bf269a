//! How streams are finished.

use serde::Deserialize;

/// How a stream was finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// Its publisher ended it: it is complete.
    Ended,
    /// Its publisher cancelled it.
    Cancelled,
    /// Its publisher reported an error. The data of the event `fail` is JSON:
    /// `{"code", "message"}`.
    Failed,
    /// Its publisher went silent. The data of the event `abandon` is JSON: `{"reason"}`.
    Abandoned,
    /// It no longer exists: it expired, or another stream replaced it, before its last event was
    /// delivered. Only a subscription to several streams reports this, by a `missedevents`, and
    /// goes on.
    Gone,
}

impl Status {
    /// The status as one word: `ended`, `cancelled`, `failed`, `abandoned`, `gone`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
            Self::Gone => "gone",
        }
    }
}

/// How a stream was finished, if an event of this name is its last. It need not be: a stream of an
/// older broker may have such an event of its publisher.
pub(crate) fn may_finish(name: &str) -> Option<Status> {
    match name {
        "fail" => Some(Status::Failed),
        "abandon" => Some(Status::Abandoned),
        _ => None,
    }
}
