//! The one shape of every error answer: `{"code", "message"}`.

use std::{borrow::Cow, io::Cursor};

use rocket::{
    Request, Response, catch,
    http::{ContentType, Header, Status},
    request,
    response::{self, Responder},
};
use serde::Serialize;

use super::methods::{allowed_methods, has_unknown_method};
use crate::bounded::bounded;

/// The longest message, in bytes. A key with every character escaped fits; what a request holds may
/// be megabytes.
pub const MAX_MESSAGE_BYTES: usize = 2_048;

/// What is told of a fault that is none of the client's.
const INTERNAL: &str = "The broker failed to answer; the fault is on its side";

/// The stable word that says what went wrong. A code owns its HTTP status and when to try again;
/// clients decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each variant is its kebab-case word, listed with its meaning in docs/errors.md"
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
    AlreadySubscribed,
    NotSubscribed,
    Unauthorized,
    TokenExpired,
    Forbidden,
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
    InternalError,
    StoreUnavailable,
    ShuttingDown,
}

impl ErrorCode {
    /// Every code, for the documents.
    pub const ALL: [Self; 36] = [
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
        Self::AlreadySubscribed,
        Self::NotSubscribed,
        Self::Unauthorized,
        Self::TokenExpired,
        Self::Forbidden,
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
        Self::InternalError,
        Self::StoreUnavailable,
        Self::ShuttingDown,
    ];

    /// The word in the answer.
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
            Self::AlreadySubscribed => "already-subscribed",
            Self::NotSubscribed => "not-subscribed",
            Self::Unauthorized => "unauthorized",
            Self::TokenExpired => "token-expired",
            Self::Forbidden => "forbidden",
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
            Self::InternalError => "internal-error",
            Self::StoreUnavailable => "store-unavailable",
            Self::ShuttingDown => "shutting-down",
        }
    }

    /// The HTTP status that goes with it.
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
            Self::Forbidden => Status::Forbidden,
            Self::NotFound | Self::NoActiveStream | Self::StreamNotFound | Self::ClientNotFound => {
                Status::NotFound
            }
            Self::SequenceGap | Self::AlreadySubscribed | Self::NotSubscribed => Status::Conflict,
            Self::MethodNotAllowed => Status::MethodNotAllowed,
            Self::RequestTimeout => Status::RequestTimeout,
            Self::TooLarge | Self::TooManyEvents => Status::PayloadTooLarge,
            Self::UnsupportedMediaType => Status::UnsupportedMediaType,
            Self::UnprocessableContent => Status::UnprocessableEntity,
            Self::UpgradeRequired => Status::UpgradeRequired,
            Self::TooManyClients | Self::TooManyStreams => Status::TooManyRequests,
            Self::InternalError => Status::InternalServerError,
            Self::StoreUnavailable | Self::ShuttingDown => Status::ServiceUnavailable,
        }
    }

    /// Seconds after which trying again makes sense, sent as `Retry-After` (RFC 9110, 10.2.3).
    #[must_use]
    pub fn retry_after(self) -> Option<u32> {
        match self {
            Self::TooManyClients | Self::TooManyStreams => Some(2),
            Self::StoreUnavailable | Self::ShuttingDown => Some(1),
            _ => None,
        }
    }

    /// The code for a status that the framework chose, and a sentence where it has none of its own.
    fn of_status(status: Status) -> (Self, &'static str) {
        match status.code {
            401 => (Self::Unauthorized, "Credentials are missing or wrong"),
            403 => (Self::Forbidden, "These credentials do not open this"),
            404 => (Self::NotFound, "There is nothing at this path"),
            405 => (
                Self::MethodNotAllowed,
                "This path does not take this method",
            ),
            413 => (Self::TooLarge, "The body is too large"),
            415 => (
                Self::UnsupportedMediaType,
                "This content type is not taken here",
            ),
            422 => (
                Self::UnprocessableContent,
                "The request can't be understood",
            ),
            426 => (
                Self::UpgradeRequired,
                "This path speaks WebSocket: send an upgrade request",
            ),
            429 => (Self::TooManyClients, "Too many clients at this time"),
            503 => (
                Self::StoreUnavailable,
                "The broker can't answer at this time",
            ),
            400..500 => (Self::BadRequest, "The request is not well formed"),
            _ => (Self::InternalError, INTERNAL),
        }
    }
}

/// An error answer. The message is one plain sentence for a person about *this* request: no Redis
/// text, no internals.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct ApiError {
    /// What clients decide by.
    pub code: ErrorCode,
    /// What people read.
    pub message: Cow<'static, str>,
}

/// The body of every error answer.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Error, example = json!({"code": "no-active-stream", "message": "No active stream at the key \"chat-1\""}))]
pub struct ErrorBody<'a> {
    /// A stable kebab-case word; the list is in `docs/errors.md`.
    pub code: &'a str,
    /// One plain sentence that says what was wrong with this request.
    pub message: &'a str,
}

impl ApiError {
    /// An error with this code and sentence, which is cut to [`MAX_MESSAGE_BYTES`]: it may repeat
    /// what the request held.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: bounded(message.into(), MAX_MESSAGE_BYTES),
        }
    }

    /// A fault on the broker's side, of which the log knows more.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(ErrorCode::InternalError, INTERNAL)
    }

    /// The answer's body as JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let body = ErrorBody {
            code: self.code.as_str(),
            message: &self.message,
        };
        // Two strings always serialize; the fallback keeps the promise of JSON without a panic.
        serde_json::to_string(&body)
            .unwrap_or_else(|_| r#"{"code":"internal-error","message":""}"#.to_owned())
    }

    /// Keeps this error for the catcher, which is told the status only. What it returns is for
    /// `Outcome::Error`.
    #[must_use]
    pub fn kept_for_catcher(self, request: &Request<'_>) -> (Status, Self) {
        let _ = request.local_cache(|| Refusal(Some(self.clone())));
        (self.code.status(), self)
    }

    /// Ends a request guard with this error.
    pub fn refuse<T>(self, request: &Request<'_>) -> request::Outcome<T, Self> {
        request::Outcome::Error(self.kept_for_catcher(request))
    }
}

/// The error that a guard ended the request with, kept for the catcher.
struct Refusal(Option<ApiError>);

impl<'r> Responder<'r, 'static> for ApiError {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let body = self.to_json();
        let mut response = Response::build();
        response
            .status(self.code.status())
            .header(ContentType::JSON)
            .sized_body(body.len(), Cursor::new(body));
        if let Some(seconds) = self.code.retry_after() {
            response.header(Header::new("Retry-After", seconds.to_string()));
        }
        match self.code {
            // RFC 9110, 15.5.2 asks for a challenge with every 401.
            ErrorCode::Unauthorized | ErrorCode::TokenExpired => {
                response.header(Header::new("WWW-Authenticate", "Bearer"))
            }
            // RFC 9110, 15.5.9: what is left of the request is not waited for.
            ErrorCode::RequestTimeout => response.header(Header::new("Connection", "close")),
            ErrorCode::UpgradeRequired => response.header(Header::new("Upgrade", "websocket")),
            _ => &mut response,
        };
        response.ok()
    }
}

/// Every error that no handler answered: unknown routes, refused guards, panics.
#[catch(default)]
pub fn catcher(status: Status, request: &Request<'_>) -> (Status, CaughtError) {
    if let Refusal(Some(error)) = request.local_cache(|| Refusal(None)) {
        return (
            error.code.status(),
            CaughtError {
                error: error.clone(),
                allow: None,
            },
        );
    }
    let unknown_method = status == Status::BadRequest && has_unknown_method(request);
    let allow = (status == Status::NotFound || unknown_method)
        .then(|| allowed_methods(request))
        .flatten();
    let status = if unknown_method {
        Status::NotFound
    } else {
        status
    };
    let status = if allow.is_some() {
        Status::MethodNotAllowed
    } else {
        status
    };
    let (code, message) = ErrorCode::of_status(status);
    (
        status,
        CaughtError {
            error: ApiError::new(code, message),
            allow,
        },
    )
}

/// An error on its way out of the catcher.
pub struct CaughtError {
    error: ApiError,
    allow: Option<String>,
}

impl<'r> Responder<'r, 'static> for CaughtError {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let mut response = self.error.respond_to(request)?;
        if let Some(allow) = self.allow {
            response.set_raw_header("Allow", allow);
        }
        Ok(response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_word_and_an_error_status_of_its_own() {
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
    fn a_message_is_bounded_and_says_how_long_it_was() {
        assert_eq!(
            ApiError::new(ErrorCode::BadRequest, "short").message,
            "short"
        );
        for text in ["x".repeat(5_000_000), "€".repeat(1_000), "😀".repeat(1_000)] {
            let message = ApiError::new(ErrorCode::BadRequest, text.clone()).message;
            let note = format!("… ({} bytes in all)", text.len());
            assert!(
                (MAX_MESSAGE_BYTES - 4..=MAX_MESSAGE_BYTES).contains(&message.len()),
                "{}",
                message.len()
            );
            assert!(
                message
                    .strip_suffix(&note)
                    .is_some_and(|head| text.starts_with(head)),
                "{message}"
            );
        }
    }

    #[test]
    fn what_says_try_later_says_when() {
        for code in ErrorCode::ALL {
            assert_eq!(
                code.retry_after().is_some(),
                [429, 503].contains(&code.status().code),
                "{code:?}"
            );
        }
    }
}
