//! The errors of this crate.

use std::{iter, sync::Arc, time::Duration};

use reqwest::{Response, StatusCode, header::RETRY_AFTER};

use crate::{generated, status::Status};

pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error of this crate. [`code`](Self::code) is a stable word for each kind.
///
/// The text includes the causes, which `source` returns one by one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The broker, or a proxy in front of it, responded with an error.
    #[error("{message} ({code})")]
    Api {
        /// The HTTP status. None when the broker refused a single event or change, over WebSocket
        /// or within an upload.
        status: Option<u16>,
        /// The broker's error code, as listed in [`docs/reference/errors.md`]. `http-error` when
        /// something else than the broker responded.
        ///
        /// [`docs/reference/errors.md`]:
        /// https://github.com/tinistreamer/tinistreamer/blob/main/docs/reference/errors.md
        code: String,
        /// One sentence for people.
        message: String,
        /// The status of the stream, where the request needs an active stream and this one is
        /// finished: `ended`, `cancelled`, `failed` or `abandoned`.
        stream_status: Option<String>,
        /// How long to wait before another attempt, if the response says so.
        retry_after: Option<Duration>,
    },
    /// The broker can't be reached, or the connection broke before the response. The broker may
    /// have executed the request.
    #[error("The broker can't be reached: {}", chain(&**.0))]
    Unreachable(#[source] BoxError),
    /// The response is not one of a broker of this version.
    #[error("The answer is not the broker's: {0}")]
    InvalidAnswer(String),
    /// The client can't be set up: the URL or the API key can't be used, there is no Tokio runtime,
    /// or TLS has no root certificates.
    #[error("The client can't be set up: {}", chain(&**.0))]
    Setup(#[source] BoxError),
    /// An event's name is not 1 to 128 bytes without control characters. The event was not sent.
    #[error("An event's name is 1 to 128 bytes without control characters, not {0:?}")]
    InvalidEvent(String),
    /// An event's name is one that only the broker may write: `start`, `end`, `cancel`, `error`,
    /// `fail`, `abandon`, `missedevents`. The event was not sent.
    #[error("The event name {0:?} is the broker's own")]
    ReservedEvent(String),
    /// An event's data can't be written as JSON. The event was not sent.
    #[error("The data has no form in JSON: {0}")]
    InvalidData(#[source] serde_json::Error),
    /// A writer failed. Events that were written and not confirmed may or may not be stored.
    #[error("The writer failed after {acknowledged} confirmed events: {source}")]
    Publish {
        /// How many of the writer's events the broker has confirmed.
        acknowledged: u64,
        /// Why it failed. All further calls fail with the same cause.
        source: Arc<Error>,
    },
    /// The producer was asked to stop, or its stream was cancelled elsewhere. It should make no
    /// more events.
    #[error(
        "The producer was asked to stop{}",
        by.as_ref().map_or_else(String::new, |by| format!(", by {by}"))
    )]
    Stopped {
        /// How many of the writer's events the broker has confirmed.
        acknowledged: u64,
        /// Who asked: the subject of the token with which the stop was sent, or `api-key`. None
        /// when nobody knows.
        by: Option<String>,
    },
    /// The signals of a writer's stream can't be read. The writer goes on without them.
    #[error("The signals can't be read: {source}")]
    Signals {
        /// Why.
        source: Arc<Error>,
    },
    /// A subscription received nothing from the broker for `give_up_after`.
    #[error("Nothing has come from the broker for {} seconds: {source}", after.as_secs())]
    Disconnected {
        /// For how long it received nothing.
        after: Duration,
        /// How the last attempt failed.
        source: Box<Error>,
    },
    /// An event does not follow the one before. Something between the broker and the client has
    /// lost or repeated events.
    #[error("Event {found} came where {expected} should have")]
    Gap {
        /// The id that should have come, or the number in it.
        expected: String,
        /// The id that came.
        found: String,
    },
    /// Events are no longer stored, and the caller needs all of them.
    #[error(
        "{} events {} are no longer stored. Create the stream with a larger max_events, \
         or call allow_missed to go on without them",
        count.map_or_else(|| "An unknown number of".to_owned(), |count| count.to_string()),
        after.as_ref().map_or_else(
            || "at the beginning of the stream".to_owned(),
            |after| format!("after {after}")
        )
    )]
    Missed {
        /// How many. None when the broker could not count them.
        count: Option<u64>,
        /// The id of the event before them. None at the start of the stream.
        after: Option<String>,
    },
    /// The stream failed or was abandoned, and the caller needs the whole text.
    #[error("The stream is {}, and its text is incomplete: {data}", status.as_str())]
    Incomplete {
        /// How the stream was finished.
        status: Status,
        /// The data of its last event, which is JSON.
        data: String,
    },
    /// The caller's function that gets tokens failed.
    #[error("No token could be made: {}", chain(&**.0))]
    Token(#[source] BoxError),
    /// The subscription of a [`Handle`](crate::Handle) is over, so that no stream can be added or
    /// dropped.
    #[error("The subscription is over")]
    Over,
}

impl Error {
    /// A stable kebab-case word: the broker's error code, or `unreachable`, `invalid-answer`,
    /// `setup`, `invalid-event`, `reserved-event`, `stopped`, `disconnected`,
    /// `disconnected-by-operator`, `gap`, `missed`, `stream-failed`, `stream-abandoned`, `token`,
    /// `over`. An error of a writer or of its signals has the code of its cause.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Api { code, .. } => code,
            Self::Unreachable(_) => "unreachable",
            Self::InvalidAnswer(_) => "invalid-answer",
            Self::Setup(_) => "setup",
            Self::InvalidEvent(_) | Self::InvalidData(_) => "invalid-event",
            Self::ReservedEvent(_) => "reserved-event",
            Self::Publish { source, .. } | Self::Signals { source } => source.code(),
            Self::Stopped { .. } => "stopped",
            Self::Disconnected { .. } => "disconnected",
            Self::Gap { .. } => "gap",
            Self::Missed { .. } => "missed",
            Self::Incomplete {
                status: Status::Abandoned,
                ..
            } => "stream-abandoned",
            Self::Incomplete { .. } => "stream-failed",
            Self::Token(_) => "token",
            Self::Over => "over",
        }
    }

    /// Whether the same request may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Api {
                status: Some(status),
                ..
            } => matches!(status, 408 | 429 | 500..=599),
            Self::Api {
                status: None, code, ..
            } => matches!(
                &**code,
                "internal-error" | "store-unavailable" | "shutting-down"
            ),
            _ => false,
        }
    }

    /// The status of the stream, where the broker refused a request because the stream is finished:
    /// `ended`, `cancelled`, `failed` or `abandoned`.
    #[must_use]
    pub fn stream_status(&self) -> Option<&str> {
        match self {
            Self::Api { stream_status, .. } => stream_status.as_deref(),
            Self::Publish { source, .. } | Self::Signals { source } => source.stream_status(),
            _ => None,
        }
    }

    pub(crate) fn retry_after(&self) -> Option<Duration> {
        if let Self::Api { retry_after, .. } = self {
            *retry_after
        } else {
            None
        }
    }

    /// The broker's error about a single event or change, which has no HTTP status.
    pub(crate) fn refused(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Api {
            status: None,
            code: code.into(),
            message: message.into(),
            stream_status: None,
            retry_after: None,
        }
    }

    /// The same error, about a stream that was finished like this.
    #[cfg(feature = "websocket")]
    pub(crate) fn with_stream_status(mut self, status: Option<String>) -> Self {
        if let Self::Api { stream_status, .. } = &mut self {
            *stream_status = status;
        }
        self
    }

    /// The error of a writer that failed with this cause, after so many confirmed events.
    pub(crate) fn of_writer(cause: Arc<Self>, acknowledged: u64) -> Self {
        match &*cause {
            Self::Stopped { by, .. } => Self::Stopped {
                acknowledged,
                by: by.clone(),
            },
            _ => Self::Publish {
                acknowledged,
                source: cause,
            },
        }
    }

    pub(crate) fn setup(problem: impl Into<BoxError>) -> Self {
        Self::Setup(problem.into())
    }

    pub(crate) fn unreachable(problem: impl Into<BoxError>) -> Self {
        Self::Unreachable(problem.into())
    }

    /// Reads a response that is no success.
    pub(crate) async fn from_response(response: Response) -> Self {
        let status = response.status();
        let seconds = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        // Without a complete body of the broker the error still has the status.
        let body = response.bytes().await.unwrap_or_default();
        let (code, message, stream_status) = match serde_json::from_slice(&body) {
            Ok(generated::types::Error {
                code,
                message,
                stream_status,
            }) => (code, message, stream_status),
            Err(_) => ("http-error".to_owned(), describe(status), None),
        };
        Self::Api {
            status: Some(status.as_u16()),
            code,
            message,
            stream_status,
            retry_after: seconds.map(Duration::from_secs),
        }
    }

    pub(crate) async fn from_generated(error: generated::Error<()>) -> Self {
        match error {
            generated::Error::UnexpectedResponse(response) => Self::from_response(response).await,
            generated::Error::CommunicationError(error)
            | generated::Error::ResponseBodyError(error) => error.into(),
            other => Self::InvalidAnswer(other.to_string()),
        }
    }
}

impl From<reqwest::Error> for Error {
    fn from(error: reqwest::Error) -> Self {
        if error.is_builder() {
            Self::setup(error)
        } else {
            Self::unreachable(error.without_url())
        }
    }
}

/// The text of an error and of its causes, as most errors do not include these.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in iter::successors(error.source(), |error| error.source()) {
        let cause = cause.to_string();
        if !text.ends_with(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn describe(status: StatusCode) -> String {
    format!("The answer was {status}, without the broker's words")
}
