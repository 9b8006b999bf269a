//! Why streams were finished.

use serde::Deserialize;

use crate::Status;

/// What the last event of a stream says of why it was finished.
///
/// A `cancelled` stream has `reason` and `by`, a `failed` one `code` and `message`, an `abandoned`
/// one `reason`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Reason {
    /// A word for programs.
    pub code: Option<String>,
    /// A text for people.
    pub message: Option<String>,
    /// Why: for people when a stream was cancelled, `lease` or `stall` when it was abandoned.
    pub reason: Option<String>,
    /// Who cancelled the stream.
    pub by: Option<String>,
}

impl Reason {
    /// Reads the data of a last event. None if it says nothing, or something unknown.
    pub(super) fn of(status: Status, data: &str) -> Option<Self> {
        match status {
            Status::Ended | Status::Gone => None,
            _ => serde_json::from_str(data)
                .ok()
                .filter(|reason| *reason != Self::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_read_is_a_reason() {
        let stopped = Reason {
            reason: Some("stop".to_owned()),
            by: Some("user-7".to_owned()),
            ..Reason::default()
        };
        let data = r#"{"reason":"stop","by":"user-7","else":[]}"#;
        assert_eq!(Reason::of(Status::Cancelled, data), Some(stopped));
        assert_eq!(Reason::of(Status::Ended, data), None);
        for data in ["", "{}", "nonsense", "null", "[]", r#"{"reason":7}"#] {
            assert_eq!(Reason::of(Status::Cancelled, data), None, "{data}");
        }
    }
}
