//! Responses whose body the broker sends in chunks, and the timeout for a peer that does not read.
//!
//! Rocket polls a body only after the peer has taken the previous chunk. A deadline inside of a
//! body would therefore never pass. So a task holds the rest of the body, and has the deadline.

use std::{io, pin::pin, time::Duration};

use bytes::Bytes;
use futures::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream, unfold},
};
use rocket::{
    Request, Response,
    http::{ContentType, Header},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_util::io::StreamReader;

use crate::config::Settings;

/// The most bytes that Rocket writes to a peer at once. Rocket allocates as many for each response.
/// Its default of 4 KiB would cut every batch into chunks.
pub(super) const CHUNK_BYTES: usize = 16 << 10;

/// The write timeout without settings.
const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// A response whose body arrives in chunks, and that no proxy may cache or delay.
///
/// A proxy that compresses delays chunks until it has enough of them. `no-transform` forbids that
/// ([RFC 9111, 5.2.2.6](https://www.rfc-editor.org/rfc/rfc9111#section-5.2.2.6)).
pub(super) fn streaming_response<'r, S>(content_type: ContentType, body: S) -> Response<'r>
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'r,
{
    Response::build()
        .header(content_type)
        .header(Header::new("Cache-Control", "no-store, no-transform"))
        .header(Header::new("X-Accel-Buffering", "no"))
        .streamed_body(StreamReader::new(Box::pin(body.into_stream())))
        .max_chunk_size(CHUNK_BYTES)
        .finalize()
}

/// Declares the length of a streamed body. The peer then detects a body that breaks off, and the
/// connection is closed.
pub(super) fn with_content_length(mut response: Response<'_>, length: usize) -> Response<'_> {
    response.set_raw_header("Content-Length", length.to_string());
    response
}

/// How long a peer may take to read a chunk: `STREAMER_CLIENT_TIMEOUT`.
pub(super) fn write_timeout(request: &Request<'_>) -> Duration {
    request
        .rocket()
        .state::<Settings>()
        .map_or(DEFAULT_WRITE_TIMEOUT, |settings| settings.client_timeout)
}

/// Cuts bytes into chunks. Each chunk is a copy: a chunk that Rocket still holds after the timeout
/// must not keep the other chunks in memory.
pub(super) fn chunks(body: Bytes) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::iter((0..body.len()).step_by(CHUNK_BYTES)).map(move |begin| {
        let end = body.len().min(begin + CHUNK_BYTES);
        Ok(Bytes::copy_from_slice(
            body.get(begin..end).unwrap_or_default(),
        ))
    })
}

/// Sends the chunks of a body as the peer takes them. A task holds the body and `permit` until the
/// peer has the whole body. The task drops both when the peer left, when the peer did not take a
/// chunk within `timeout`, or when `dismissed` resolves. The response then breaks off.
pub(super) fn with_write_timeout(
    body: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    timeout: Duration,
    dismissed: impl Future<Output = ()> + Send + 'static,
    permit: impl Send + 'static,
) -> BoxStream<'static, io::Result<Bytes>> {
    // The channel has room for one chunk. None marks the end of a complete body.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::select! {
            biased;
            () = dismissed => {}
            () = send_all(body, &sender, timeout) => {}
        }
        drop(permit);
    });
    Box::pin(unfold(Some(receiver), |receiver| async move {
        let mut receiver: mpsc::Receiver<Option<io::Result<Bytes>>> = receiver?;
        match receiver.recv().await {
            Some(Some(Ok(chunk))) => Some((Ok(chunk), Some(receiver))),
            Some(Some(Err(error))) => Some((Err(error), None)),
            Some(None) => None,
            None => Some((
                Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the peer took nothing for too long",
                )),
                None,
            )),
        }
    }))
}

async fn send_all(
    body: impl Stream<Item = io::Result<Bytes>>,
    sender: &mpsc::Sender<Option<io::Result<Bytes>>>,
    write_timeout: Duration,
) {
    let mut body = pin!(body);
    loop {
        let chunk = tokio::select! {
            biased;
            () = sender.closed() => return,
            chunk = body.next() => chunk,
        };
        let is_last = chunk.is_none();
        let sent = timeout(write_timeout, sender.send(chunk)).await;
        if is_last || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}
