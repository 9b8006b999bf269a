//! Responses that the broker builds as a whole before it sends them.

use std::{future::pending, io};

use bytes::Bytes;
use rocket::{
    Request, Response,
    http::ContentType,
    response::{self, Responder},
};
use serde::Serialize;

use super::{
    error::ApiError,
    large_response::LargeResponsePermit,
    streaming::{
        CHUNK_BYTES, chunks, streaming_response, with_content_length, with_write_timeout,
        write_timeout,
    },
};

/// A response that is complete in memory. If it is longer than [`CHUNK_BYTES`], the peer has
/// `STREAMER_CLIENT_TIMEOUT` to take each chunk.
pub struct BufferedResponse {
    content_type: ContentType,
    body: Bytes,
    permit: Option<LargeResponsePermit>,
}

impl BufferedResponse {
    /// A text of this content type.
    pub(super) fn text(content_type: ContentType, text: String) -> Self {
        Self {
            content_type,
            body: text.into(),
            permit: None,
        }
    }

    /// A value as JSON. The response holds the permit until it is sent.
    pub(super) fn json(
        value: &impl Serialize,
        permit: Option<LargeResponsePermit>,
    ) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(value).map_err(|error| {
            tracing::error!(%error, "the broker could not write a response as JSON");
            ApiError::internal()
        })?;
        Ok(Self {
            content_type: ContentType::JSON,
            body: body.into(),
            permit,
        })
    }
}

impl<'r> Responder<'r, 'static> for BufferedResponse {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let Self {
            content_type,
            body,
            permit,
        } = self;
        let length = body.len();
        if length <= CHUNK_BYTES {
            return Response::build()
                .header(content_type)
                .sized_body(length, io::Cursor::new(body))
                .ok();
        }
        let body = with_write_timeout(chunks(body), write_timeout(request), pending(), permit);
        Ok(with_content_length(
            streaming_response(content_type, body),
            length,
        ))
    }
}
