//! The error responses for errors of the store.

use super::error::{ApiError, ErrorCode};
use crate::{
    store::{StoreError, quota::QuotaError},
    stream::{MAX_PRODUCERS, StreamKey},
};

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
                    "The stream has {has} events of this producer, \
                     so that the next has the sequence {has}"
                ),
            ),
            StoreError::TooManyProducers => Self::new(
                ErrorCode::InvalidProducer,
                format!(
                    "This stream has had {MAX_PRODUCERS} producers; \
                     one can send any number of events"
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

/// Makes the error response for an error about the stream at this key. Its message names the key.
pub(super) fn at(key: &StreamKey) -> impl FnOnce(StoreError) -> ApiError {
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

impl From<QuotaError> for ApiError {
    fn from(error: QuotaError) -> Self {
        match error {
            QuotaError::TooMany { max } => Self::new(
                ErrorCode::TooManyStreams,
                format!(
                    "{max} streams that were started with this API key are active, \
                     and there may be no more"
                ),
            ),
            QuotaError::Store(error) => error.into(),
        }
    }
}
