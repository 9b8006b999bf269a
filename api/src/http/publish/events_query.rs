//! The query of the NDJSON upload and of the WebSocket.

use rocket::{
    Request, async_trait,
    outcome::try_outcome,
    request::{FromRequest, Outcome},
};

use super::{producer::QueryProducer, unknown_members::Strict};
use crate::{
    http::{error::ApiError, query::QueryStream},
    stream::ProducerSequence,
};

/// The parameters `key`, `generation`, `producer`, `sequence` and `strict`. `documented.rs`
/// describes them.
pub struct EventsQuery {
    pub(super) stream: QueryStream,
    /// None if the query names no producer.
    pub(super) producer: Option<ProducerSequence>,
    pub(super) strict: Strict,
}

#[async_trait]
impl<'r> FromRequest<'r> for EventsQuery {
    type Error = ApiError;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ApiError> {
        Outcome::Success(Self {
            stream: try_outcome!(QueryStream::from_request(request).await),
            producer: try_outcome!(QueryProducer::from_request(request).await).0,
            strict: try_outcome!(Strict::from_request(request).await),
        })
    }
}
