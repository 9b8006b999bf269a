//! The answers to the messages of a publisher's WebSocket.

use serde::Serialize;

use crate::{
    codec::json,
    http::error::ApiError,
    store::Appended,
    stream::{EventId, NewEvent, Status},
};

/// The answer to one message.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Answer<'a> {
    Success {
        /// None: the stream already had the event.
        id: Option<EventId>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        duplicate: bool,
        /// Names of members that are neither `event` nor `data`, and were not stored.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        ignored: &'a [String],
    },
    Error {
        code: &'a str,
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        stream_status: Option<Status>,
    },
}

impl<'a> From<&'a ApiError> for Answer<'a> {
    fn from(error: &'a ApiError) -> Self {
        Self::Error {
            code: error.code.as_str(),
            message: &error.message,
            stream_status: error.stream_status,
        }
    }
}

/// The text of an error that answers no message: it says why the connection will be closed.
pub(super) fn refusal(error: &ApiError) -> String {
    json::text(&Answer::from(error))
}

/// A valid event of a message, and the names of its ignored members.
pub(super) struct ParsedEvent {
    pub(super) event: NewEvent,
    pub(super) ignored: Vec<String>,
}

/// Makes one answer for each message. `sent` events of the messages were appended with the result
/// `appended`.
pub(super) fn answers<'a>(
    parsed: &'a [Result<ParsedEvent, ApiError>],
    sent: usize,
    appended: &'a Result<Option<Appended>, ApiError>,
) -> Vec<String> {
    let ids = |appended: Appended| {
        let duplicates = std::iter::repeat_n(None, appended.duplicates.min(sent));
        duplicates.chain(appended.ids(sent).map(Some))
    };
    let appended_ids = appended.as_ref().ok().copied().flatten();
    let mut ids = appended_ids.into_iter().flat_map(ids);
    let answer = |parsed: &'a Result<ParsedEvent, ApiError>| match (parsed, appended) {
        (Err(error), _) | (Ok(_), Err(error)) => Some(Answer::from(error)),
        // There are as many ids as valid events, so that none is missing.
        (Ok(event), Ok(_)) => ids.next().map(|id| Answer::Success {
            id,
            duplicate: id.is_none(),
            ignored: &event.ignored,
        }),
    };
    parsed
        .iter()
        .filter_map(answer)
        .map(|answer| json::text(&answer))
        .collect()
}
