//! The error codes of the HTTP interface. `docs/reference/errors.md` lists them.

use rocket::http::Status;

/// The message of an internal error.
pub(super) const INTERNAL_MESSAGE: &str = "The broker failed; the fault is not in the request";

/// An error code: a stable word for what went wrong. It determines the HTTP status and the retry
/// delay. Callers decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each variant is its kebab-case word; docs/reference/errors.md has the meanings"
)]
pub enum ErrorCode {
    BadRequest,
    MalformedJson,
    InvalidRequest,
    MissingParameter,
    InvalidKey,
    InvalidPattern,
    InvalidEvent,
    ReservedEvent,
    InvalidEventId,
    InvalidParameter,
    InvalidProducer,
    TooManyKeys,
    CrossSlot,
    ExistingStream,
    SequenceGap,
    StaleGeneration,
    AlreadySubscribed,
    NotSubscribed,
    Unauthorized,
    TokenExpired,
    Forbidden,
    RefusedByScript,
    NotFound,
    NoActiveStream,
    StreamNotFound,
    ClientNotFound,
    MethodNotAllowed,
    RequestTimeout,
    TooLarge,
    TooManyEvents,
    UnsupportedMediaType,
    UnprocessableContent,
    UpgradeRequired,
    TooManyClients,
    TooManyStreams,
    TooManySignals,
    TooManyProducers,
    StopRequested,
    InternalError,
    StoreUnavailable,
    ScriptFailed,
    ShuttingDown,
}

impl ErrorCode {
    /// Every code, for the documentation.
    pub const ALL: [Self; 42] = [
        Self::BadRequest,
        Self::MalformedJson,
        Self::InvalidRequest,
        Self::MissingParameter,
        Self::InvalidKey,
        Self::InvalidPattern,
        Self::InvalidEvent,
        Self::ReservedEvent,
        Self::InvalidEventId,
        Self::InvalidParameter,
        Self::InvalidProducer,
        Self::TooManyKeys,
        Self::CrossSlot,
        Self::ExistingStream,
        Self::SequenceGap,
        Self::StaleGeneration,
        Self::AlreadySubscribed,
        Self::NotSubscribed,
        Self::Unauthorized,
        Self::TokenExpired,
        Self::Forbidden,
        Self::RefusedByScript,
        Self::NotFound,
        Self::NoActiveStream,
        Self::StreamNotFound,
        Self::ClientNotFound,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::TooLarge,
        Self::TooManyEvents,
        Self::UnsupportedMediaType,
        Self::UnprocessableContent,
        Self::UpgradeRequired,
        Self::TooManyClients,
        Self::TooManyStreams,
        Self::TooManySignals,
        Self::TooManyProducers,
        Self::StopRequested,
        Self::InternalError,
        Self::StoreUnavailable,
        Self::ScriptFailed,
        Self::ShuttingDown,
    ];

    /// The word in the response.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad-request",
            Self::MalformedJson => "malformed-json",
            Self::InvalidRequest => "invalid-request",
            Self::MissingParameter => "missing-parameter",
            Self::InvalidKey => "invalid-key",
            Self::InvalidPattern => "invalid-pattern",
            Self::InvalidEvent => "invalid-event",
            Self::ReservedEvent => "reserved-event",
            Self::InvalidEventId => "invalid-event-id",
            Self::InvalidParameter => "invalid-parameter",
            Self::InvalidProducer => "invalid-producer",
            Self::TooManyKeys => "too-many-keys",
            Self::CrossSlot => "cross-slot",
            Self::ExistingStream => "existing-stream",
            Self::SequenceGap => "sequence-gap",
            Self::StaleGeneration => "stale-generation",
            Self::AlreadySubscribed => "already-subscribed",
            Self::NotSubscribed => "not-subscribed",
            Self::Unauthorized => "unauthorized",
            Self::TokenExpired => "token-expired",
            Self::Forbidden => "forbidden",
            Self::RefusedByScript => "refused-by-script",
            Self::NotFound => "not-found",
            Self::NoActiveStream => "no-active-stream",
            Self::StreamNotFound => "stream-not-found",
            Self::ClientNotFound => "client-not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::RequestTimeout => "request-timeout",
            Self::TooLarge => "too-large",
            Self::TooManyEvents => "too-many-events",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::UnprocessableContent => "unprocessable-content",
            Self::UpgradeRequired => "upgrade-required",
            Self::TooManyClients => "too-many-clients",
            Self::TooManyStreams => "too-many-streams",
            Self::TooManySignals => "too-many-signals",
            Self::TooManyProducers => "too-many-producers",
            Self::StopRequested => "stop-requested",
            Self::InternalError => "internal-error",
            Self::StoreUnavailable => "store-unavailable",
            Self::ScriptFailed => "script-failed",
            Self::ShuttingDown => "shutting-down",
        }
    }

    /// Its HTTP status.
    #[must_use]
    pub fn status(self) -> Status {
        match self {
            Self::BadRequest
            | Self::MalformedJson
            | Self::InvalidRequest
            | Self::MissingParameter
            | Self::InvalidKey
            | Self::InvalidPattern
            | Self::InvalidEvent
            | Self::ReservedEvent
            | Self::InvalidEventId
            | Self::InvalidParameter
            | Self::InvalidProducer
            | Self::TooManyKeys
            | Self::CrossSlot
            | Self::ExistingStream => Status::BadRequest,
            Self::Unauthorized | Self::TokenExpired => Status::Unauthorized,
            Self::Forbidden | Self::RefusedByScript => Status::Forbidden,
            Self::NotFound | Self::NoActiveStream | Self::StreamNotFound | Self::ClientNotFound => {
                Status::NotFound
            }
            Self::SequenceGap
            | Self::StaleGeneration
            | Self::StopRequested
            | Self::AlreadySubscribed
            | Self::NotSubscribed => Status::Conflict,
            Self::MethodNotAllowed => Status::MethodNotAllowed,
            Self::RequestTimeout => Status::RequestTimeout,
            Self::TooLarge | Self::TooManyEvents => Status::PayloadTooLarge,
            Self::UnsupportedMediaType => Status::UnsupportedMediaType,
            Self::UnprocessableContent => Status::UnprocessableEntity,
            Self::UpgradeRequired => Status::UpgradeRequired,
            Self::TooManyClients
            | Self::TooManyStreams
            | Self::TooManySignals
            | Self::TooManyProducers => Status::TooManyRequests,
            Self::InternalError => Status::InternalServerError,
            Self::StoreUnavailable | Self::ScriptFailed | Self::ShuttingDown => {
                Status::ServiceUnavailable
            }
        }
    }

    /// Seconds after which a retry makes sense. The broker sends them as `Retry-After` (RFC 9110,
    /// 10.2.3).
    #[must_use]
    pub fn retry_after(self) -> Option<u32> {
        match self {
            Self::TooManyClients | Self::TooManyStreams | Self::TooManyProducers => Some(2),
            Self::StoreUnavailable | Self::ScriptFailed | Self::ShuttingDown => Some(1),
            _ => None,
        }
    }

    /// The code and message for a status that Rocket chose.
    pub(super) fn of_status(status: Status) -> (Self, &'static str) {
        match status.code {
            401 => (Self::Unauthorized, "Credentials are missing or wrong"),
            403 => (
                Self::Forbidden,
                "These credentials do not permit this request",
            ),
            404 => (Self::NotFound, "Nothing is at this path"),
            405 => (
                Self::MethodNotAllowed,
                "This path does not accept this method; see Allow",
            ),
            413 => (Self::TooLarge, "The body is too large"),
            415 => (
                Self::UnsupportedMediaType,
                "The broker does not accept this content type",
            ),
            422 => (
                Self::UnprocessableContent,
                "The broker can't understand the request",
            ),
            426 => (
                Self::UpgradeRequired,
                "This path needs a WebSocket handshake",
            ),
            429 => (
                Self::TooManyClients,
                "The broker has too many clients; try again later",
            ),
            503 => (
                Self::StoreUnavailable,
                "The broker can't answer now; try again later",
            ),
            400..500 => (Self::BadRequest, "The request is not well formed"),
            _ => (Self::InternalError, INTERNAL_MESSAGE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_unique_word_and_an_error_status() {
        let mut words: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), ErrorCode::ALL.len());
        assert!(ErrorCode::ALL.iter().all(|code| code.status().code >= 400));
        assert!(
            words
                .iter()
                .all(|word| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
        );
    }

    #[test]
    fn every_code_of_429_and_503_has_a_retry_delay() {
        for code in ErrorCode::ALL {
            // A stream that has too many signals keeps them.
            let has_delay =
                [429, 503].contains(&code.status().code) && code != ErrorCode::TooManySignals;
            assert_eq!(code.retry_after().is_some(), has_delay, "{code:?}");
        }
    }
}
