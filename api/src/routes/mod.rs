//! The HTTP interface: what each route takes and answers. One file per noun.

use rocket::{Route, routes};

use crate::{
    error::{ApiError, ErrorCode},
    event::{InvalidEvent, StreamKey},
    store::{MAX_PRODUCERS, StoreError},
    wire::json::EventProblem,
};

pub mod answer;
mod body;
mod broker;
mod byte_stream;
pub mod clients;
pub mod health;
pub mod ingest;
pub mod metrics;
mod params;
pub mod streams;
pub mod subscribe;
mod websocket;

/// Routes whose requests are open for as long as their clients and producers like.
pub const LONG_LIVED: [&str; 6] = [
    "/api/client/sse",
    "/api/client/ws",
    "/api/client/ndjson",
    "/api/client/poll",
    "/api/event/add/json-stream",
    "/api/event/add/ws-stream",
];

/// Every route, to be mounted under `/api`.
#[must_use]
pub fn all() -> Vec<Route> {
    routes![
        health::health,
        health::ready,
        health::info,
        streams::list,
        streams::access::create,
        streams::access::issue_token,
        streams::info,
        streams::events::events,
        streams::end,
        streams::cancel,
        ingest::batch::add,
        ingest::ndjson::add,
        ingest::websocket::add,
        subscribe::sse::follow,
        subscribe::sse::head,
        subscribe::ws::follow,
        subscribe::ndjson::follow,
        subscribe::poll::poll,
        clients::list,
        clients::disconnect,
    ]
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists => Self::new(
                ErrorCode::ExistingStream,
                "An active stream exists at this key",
            ),
            StoreError::NotActive => {
                Self::new(ErrorCode::NoActiveStream, "No active stream at this key")
            }
            StoreError::SequenceGap { has } => Self::new(
                ErrorCode::SequenceGap,
                format!(
                    "The stream has {has} events of this producer, so that the next has the sequence {has}"
                ),
            ),
            StoreError::TooManyProducers => Self::new(
                ErrorCode::InvalidProducer,
                format!(
                    "This stream has had {MAX_PRODUCERS} producers; one can send any number of events"
                ),
            ),
            StoreError::NotFound => Self::new(ErrorCode::StreamNotFound, "No stream at this key"),
            StoreError::Unavailable(detail) => {
                tracing::warn!(%detail, "the store is unavailable");
                Self::new(
                    ErrorCode::StoreUnavailable,
                    "The store can't be reached or did not confirm in time; try again",
                )
            }
            StoreError::Refused { fault, detail } => {
                tracing::warn!(%fault, %detail, "the store is unavailable");
                let message = if fault.is_refusal() {
                    "The store refused this, and nothing was written; try again"
                } else {
                    "The store can't be reached or did not confirm in time; try again"
                };
                Self::new(ErrorCode::StoreUnavailable, message)
            }
            StoreError::Unexpected(detail) => {
                tracing::error!(%detail, "the store holds something unexpected");
                Self::internal()
            }
        }
    }
}

/// What a store's error means to a request for the stream at this key.
fn at(key: &StreamKey) -> impl FnOnce(StoreError) -> ApiError {
    move |error| {
        let (code, what) = match error {
            StoreError::Exists => (
                ErrorCode::ExistingStream,
                "An active stream exists at the key",
            ),
            StoreError::NotActive => (ErrorCode::NoActiveStream, "No active stream at the key"),
            StoreError::NotFound => (ErrorCode::StreamNotFound, "No stream at the key"),
            error => return error.into(),
        };
        ApiError::new(code, format!("{what} {:?}", key.as_str()))
    }
}

/// The code for something that is not an event.
fn code_of(problem: &EventProblem) -> ErrorCode {
    match problem {
        EventProblem::Invalid(InvalidEvent::Reserved(_)) => ErrorCode::ReservedEvent,
        EventProblem::TooLarge { .. } => ErrorCode::TooLarge,
        EventProblem::Invalid(InvalidEvent::Name)
        | EventProblem::Shape(_)
        | EventProblem::UnknownMember(_) => ErrorCode::InvalidEvent,
    }
}
