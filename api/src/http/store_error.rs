//! The error responses for errors of the store.

use super::error::{ApiError, ErrorCode};
use crate::{
    store::{StoreError, quota::QuotaError},
    stream::{
        MAX_PRODUCERS, MAX_SIGNALS, MAX_SIGNALS_BYTES, MAX_SIGNALS_PER_SUBJECT, Status, StreamKey,
    },
};

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Exists { status } => exists("this key", status),
            StoreError::NotActive { status } => not_active("this key", status),
            StoreError::StaleGeneration => stale_generation("this key"),
            StoreError::SequenceGap { has } => Self::new(
                ErrorCode::SequenceGap,
                format!(
                    "The stream has {has} events of this producer, \
                     so the next event has the sequence {has}"
                ),
            ),
            StoreError::TooManyProducers => Self::new(
                ErrorCode::InvalidProducer,
                format!(
                    "This stream has had {MAX_PRODUCERS} producers already; \
                     use one producer for many events"
                ),
            ),
            StoreError::TooManySignals => Self::new(
                ErrorCode::TooManySignals,
                format!(
                    "A stream takes at most {MAX_SIGNALS} signals, {MAX_SIGNALS_BYTES} bytes of \
                     signals, and {MAX_SIGNALS_PER_SUBJECT} signals of one subject"
                ),
            ),
            StoreError::NotFound => Self::new(ErrorCode::StreamNotFound, "No stream at this key"),
            StoreError::Unavailable(detail) => {
                tracing::warn!(%detail, "the store is unavailable");
                Self::new(
                    ErrorCode::StoreUnavailable,
                    "The broker can't reach the store, or it did not confirm in time; try again",
                )
            }
            StoreError::Refused { fault, detail } => {
                tracing::warn!(%fault, %detail, "the store is unavailable");
                let message = if fault.is_refusal() {
                    "The store refused the request, and nothing was written; try again"
                } else {
                    "The broker can't reach the store, or it did not confirm in time; try again"
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

/// Makes the error response for an error about the stream at this key. Its message names the key.
pub(super) fn at(key: &StreamKey) -> impl FnOnce(StoreError) -> ApiError {
    move |error| {
        let place = format!("the key {:?}", key.as_str());
        match error {
            StoreError::Exists { status } => exists(&place, status),
            StoreError::NotActive { status } => not_active(&place, status),
            StoreError::StaleGeneration => stale_generation(&place),
            StoreError::NotFound => {
                ApiError::new(ErrorCode::StreamNotFound, format!("No stream at {place}"))
            }
            error => error.into(),
        }
    }
}

fn exists(place: &str, status: Status) -> ApiError {
    let what = if status.is_finished() {
        "A finished"
    } else {
        "An active"
    };
    let message = format!("{what} stream exists at {place}");
    let finished = Some(status).filter(|status| status.is_finished());
    ApiError::new(ErrorCode::ExistingStream, message).with_stream_status(finished)
}

fn not_active(place: &str, status: Option<Status>) -> ApiError {
    let why = match status {
        Some(status) => format!("the stream there is {}", status.as_str()),
        None => "there is no stream".to_owned(),
    };
    let message = format!("No active stream at {place}: {why}");
    ApiError::new(ErrorCode::NoActiveStream, message).with_stream_status(status)
}

fn stale_generation(place: &str) -> ApiError {
    let message =
        format!("The stream at {place} does not have the generation that the request names");
    ApiError::new(ErrorCode::StaleGeneration, message)
}

impl From<QuotaError> for ApiError {
    fn from(error: QuotaError) -> Self {
        match error {
            QuotaError::TooMany { max } => Self::new(
                ErrorCode::TooManyStreams,
                format!(
                    "This API key has created {max} streams that are active, which is its limit; \
                     finish a stream first"
                ),
            ),
            QuotaError::Store(error) => error.into(),
        }
    }
}
