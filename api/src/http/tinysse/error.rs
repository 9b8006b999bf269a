//! Error responses, in tinysse's form: `{"error": "…"}`.

use std::io::Cursor;

use rocket::{
    Request, Response, catch,
    http::{ContentType, Status},
    response::{self, Responder},
};
use serde_json::json;

use super::message::InvalidMessage;
use crate::{
    bounded::bounded,
    hooks::HookError,
    http::{
        error::MAX_MESSAGE_BYTES,
        methods::{allowed_methods, has_unknown_method},
    },
    session::LimitReached,
    store::StoreError,
};

/// When a publisher or a subscriber may try again, in seconds.
const RETRY_AFTER: &str = "1";

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum TinysseError {
    /// The body, or what the script made of it, is not a message.
    #[error("{0}")]
    Invalid(#[from] InvalidMessage),
    #[error("The header Content-Type is missing")]
    NoContentType,
    #[error("unsupported media type {0:?}")]
    MediaType(String),
    #[error("The body is larger than {0} bytes")]
    BodyTooLarge(usize),
    #[error("The message has more than {0} bytes as it would be stored")]
    MessageTooLarge(usize),
    #[error("The connection broke before the body was complete")]
    Incomplete,
    #[error("The body did not arrive in time")]
    TooSlow,
    #[error("message rejected by script")]
    PublishRejected,
    #[error("subscribe rejected by script")]
    SubscribeRejected,
    /// The details are in the log: they may quote data.
    #[error("The script failed; the log of the server has the reason")]
    Script,
    #[error("{0}")]
    Limit(#[from] LimitReached),
    /// The details are in the log.
    #[error("The server can't reach its store, or the store did not confirm in time; try again")]
    Store,
}

impl TinysseError {
    fn status(&self) -> Status {
        match self {
            Self::Invalid(_) | Self::NoContentType | Self::Incomplete => Status::BadRequest,
            Self::MediaType(_) => Status::UnsupportedMediaType,
            Self::BodyTooLarge(_) | Self::MessageTooLarge(_) => Status::PayloadTooLarge,
            Self::TooSlow => Status::RequestTimeout,
            Self::PublishRejected | Self::SubscribeRejected => Status::Forbidden,
            Self::Script => Status::InternalServerError,
            Self::Limit(_) => Status::TooManyRequests,
            Self::Store => Status::ServiceUnavailable,
        }
    }
}

impl From<StoreError> for TinysseError {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "the store failed a request");
        Self::Store
    }
}

impl From<HookError> for TinysseError {
    fn from(error: HookError) -> Self {
        // The engine has logged it.
        tracing::debug!(%error, "the script failed a request");
        Self::Script
    }
}

impl<'r> Responder<'r, 'static> for TinysseError {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let status = self.status();
        let mut response = body(status, self.to_string());
        if [Status::TooManyRequests, Status::ServiceUnavailable].contains(&status) {
            response.set_raw_header("Retry-After", RETRY_AFTER);
        }
        if status == Status::RequestTimeout {
            response.set_raw_header("Connection", "close");
        }
        Ok(response)
    }
}

fn body(status: Status, message: String) -> Response<'static> {
    // The message may quote the request.
    let message = bounded(message.into(), MAX_MESSAGE_BYTES);
    let body = json!({ "error": message }).to_string();
    Response::build()
        .status(status)
        .header(ContentType::JSON)
        .sized_body(body.len(), Cursor::new(body))
        .finalize()
}

/// Responds to every request that no handler answered.
#[catch(default)]
pub(super) fn catcher(status: Status, request: &Request<'_>) -> Caught {
    let unknown_method = status == Status::BadRequest && has_unknown_method(request);
    let allow = (status == Status::NotFound || unknown_method)
        .then(|| allowed_methods(request))
        .flatten();
    let status = match &allow {
        Some(_) => Status::MethodNotAllowed,
        None if unknown_method => Status::NotFound,
        None => status,
    };
    Caught { status, allow }
}

/// The response of the catcher.
pub(super) struct Caught {
    status: Status,
    allow: Option<String>,
}

impl<'r> Responder<'r, 'static> for Caught {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        let mut response = body(self.status, self.status.reason_lossy().to_owned());
        if let Some(allow) = self.allow {
            response.set_raw_header("Allow", allow);
        }
        Ok(response)
    }
}
