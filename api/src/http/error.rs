//! Error responses. They all have one shape: `{"code", "message", "stream_status"?}`.

use std::{borrow::Cow, io::Cursor};

use rocket::{
    Request, Response,
    http::{ContentType, Header, Status},
    request,
    response::{self, Responder},
};
use serde::Serialize;

pub use super::error_code::ErrorCode;
use super::error_code::INTERNAL_MESSAGE;
use crate::{bounded::bounded, stream::Status as StreamStatus};

/// The longest message, in bytes. A key fits, even if every character is escaped. What a request
/// holds may have megabytes.
pub const MAX_MESSAGE_BYTES: usize = 2_048;

/// An error response. Its message is one plain sentence about this request, without Redis text and
/// without internals.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct ApiError {
    /// What callers decide by.
    pub code: ErrorCode,
    /// What people read.
    pub message: Cow<'static, str>,
    /// The status of the stream that the request is about, where the stream is finished.
    pub stream_status: Option<StreamStatus>,
}

/// The body of every error response.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(
    as = Error,
    example = json!({
        "code": "no-active-stream",
        "message": "No active stream at the key \"chat-1\""
    })
)]
pub struct ErrorBody<'a> {
    /// A stable kebab-case word; the list is in `docs/reference/errors.md`.
    pub code: &'a str,
    /// One plain sentence that says what was wrong with this request.
    pub message: &'a str,
    /// The status of the stream, if it is finished and the request needs an active one.
    #[schema(value_type = Option<String>, example = "ended", nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_status: Option<StreamStatus>,
}

impl ApiError {
    /// An error with this code and message. The message is cut to [`MAX_MESSAGE_BYTES`]: it may
    /// quote the request.
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            message: bounded(message.into(), MAX_MESSAGE_BYTES),
            stream_status: None,
        }
    }

    /// Adds the status of the stream that the request is about.
    #[must_use]
    pub fn with_stream_status(mut self, status: Option<StreamStatus>) -> Self {
        self.stream_status = status;
        self
    }

    /// An internal error. The caller logs the details.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(ErrorCode::InternalError, INTERNAL_MESSAGE)
    }

    /// The body as JSON text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let body = ErrorBody {
            code: self.code.as_str(),
            message: &self.message,
            stream_status: self.stream_status,
        };
        // Two strings always serialize; the fallback keeps the promise of JSON without a panic.
        serde_json::to_string(&body)
            .unwrap_or_else(|_| r#"{"code":"internal-error","message":""}"#.to_owned())
    }

    /// Keeps this error with the request, because Rocket gives the catcher only the status. Returns
    /// the values for `Outcome::Error`.
    #[must_use]
    pub fn keep_for_catcher(self, request: &Request<'_>) -> (Status, Self) {
        let _ = request.local_cache(|| Refusal(Some(self.clone())));
        (self.code.status(), self)
    }

    /// Ends a request guard with this error.
    pub fn refuse<T>(self, request: &Request<'_>) -> request::Outcome<T, Self> {
        request::Outcome::Error(self.keep_for_catcher(request))
    }
}

/// The error of the guard that refused a request. The request keeps it for the catcher.
pub(super) struct Refusal(pub(super) Option<ApiError>);

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
            // RFC 9110, 15.5.9: the broker does not wait for the rest of the request.
            ErrorCode::RequestTimeout => response.header(Header::new("Connection", "close")),
            ErrorCode::UpgradeRequired => response.header(Header::new("Upgrade", "websocket")),
            _ => &mut response,
        };
        response.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
