//! Streamed answers: bytes as they come.

use std::io;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use rocket::{
    Response,
    http::{ContentType, Header},
};
use tokio_util::io::StreamReader;

/// The most that goes to the client at once, for which each client has room set aside. Rocket's own
/// default of 4 KiB would cut every batch into pieces.
const MAX_CHUNK: usize = 16 << 10;

/// An answer whose body comes piece by piece, and that nobody between here and the client may keep
/// or hold back.
///
/// A proxy that compresses holds pieces back until it has enough of them. `no-transform` forbids it
/// to ([RFC 9111, 5.2.2.6](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.6)).
pub(super) fn streamed<'r, S>(content_type: ContentType, body: S) -> Response<'r>
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'r,
{
    Response::build()
        .header(content_type)
        .header(Header::new("Cache-Control", "no-store, no-transform"))
        .header(Header::new("X-Accel-Buffering", "no"))
        .streamed_body(StreamReader::new(Box::pin(body.into_stream())))
        .max_chunk_size(MAX_CHUNK)
        .finalize()
}
