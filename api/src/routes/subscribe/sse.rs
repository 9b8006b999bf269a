//! Following a stream over server-sent events.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{StreamExt, stream::BoxStream};
use rocket::{
    Request, get, head,
    http::{ContentType, Status},
    response::{self, Responder},
};
use tokio::{sync::mpsc, time::timeout};

use super::is_complete;
use crate::{
    auth::guard::Client,
    error::{ApiError, ErrorBody},
    feed::{Feed, Reason, Step},
    metrics::{Refusal, Transport},
    routes::{
        broker::Broker,
        byte_stream::streamed,
        params::{Cursor, QueryKey},
    },
    store::Batch,
    wire::sse,
};

/// What clients are told to wait before they reconnect, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// The longest silence where each client holds a Redis connection. Only a write shows that a client has left, and until
/// then its connection is not free.
const EXCLUSIVE_PROBE: Duration = Duration::from_secs(2);

/// An event stream, or the word that there will be none.
pub enum EventStream {
    /// Frames as they come.
    Frames(BoxStream<'static, Bytes>),
    /// The headers alone, for `HEAD`.
    Headers,
    /// The client has it all: 204, on which `EventSource` stops.
    Complete,
}

/// Follows a stream over server-sent events, from its first event kept or from where the client was cut off.
#[utoipa::path(operation_id = "follow_sse", context_path = "/api", tag = "clients", security(("client_token" = []), ("client_token_query" = [])), params(
    ("key" = String, Query, description = "The stream's key"),
    ("Last-Event-ID" = Option<String>, Header, description = "The id after which to go on; browsers send it by themselves"),
    ("last_event_id" = Option<String>, Query, description = "The same, where no header can be set"),
    ("lastEventId" = Option<String>, Query, description = "The same")), responses(
    (status = 200, description = "The stream: everything stored after the id, then everything live, until it ends", body = String, content_type = "text/event-stream"),
    (status = 204, description = "The stream has ended and the client has all of it"),
    (status = 400, description = "`missing-parameter`, `invalid-key`, `invalid-event-id`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`, `token-expired`", body = ErrorBody<'static>),
    (status = 403, description = "`forbidden`: the token is for another stream, or an earlier one at this key", body = ErrorBody<'static>),
    (status = 404, description = "`stream-not-found`", body = ErrorBody<'static>),
    (status = 429, description = "`too-many-clients`: of the node, the stream, or the client's address", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`, `shutting-down`", body = ErrorBody<'static>)))]
#[get("/client/sse")]
pub async fn follow(client: Client, key: QueryKey, cursor: Cursor, broker: Broker<'_>) -> Result<EventStream, ApiError> {
    let page = broker.look(&client, &key.0, cursor.0).await?;
    if is_complete(&page, cursor.0) {
        return Ok(EventStream::Complete);
    }
    if broker.lifecycle.is_closing() {
        // To `EventSource` any other status than 200 is final: a client that comes a moment too late would never go on elsewhere.
        broker.metrics.clients(Transport::Sse).refuse(Refusal::Shutdown);
        return Ok(EventStream::Frames(Box::pin(futures::stream::iter([come_back()]))));
    }
    let feed = broker.follow(page, cursor.0.is_some(), Transport::Sse, Some(EXCLUSIVE_PROBE)).await?;
    Ok(EventStream::Frames(frames_of(feed, broker.settings.client_timeout)))
}

/// What [`follow`] would answer, without following: takes no slot.
#[head("/client/sse")]
pub async fn head(client: Client, key: QueryKey, cursor: Cursor, broker: Broker<'_>) -> Result<EventStream, ApiError> {
    let page = broker.look(&client, &key.0, cursor.0).await?;
    Ok(if is_complete(&page, cursor.0) { EventStream::Complete } else { EventStream::Headers })
}

/// The feed as frames. Rocket asks for the next one when the client has taken the last: that alone is enough for a feed that
/// holds nothing scarce, and a task with a channel less to go through. One that does hold something gets a task of its own,
/// in which deadlines and the shutdown go on while the client does not read.
fn frames_of(feed: Feed, stall: Duration) -> BoxStream<'static, Bytes> {
    if feed.is_scarce() {
        // One batch in the channel: what a slow client does not take stays in the store.
        let (sender, receiver) = mpsc::channel(1);
        tokio::spawn(pump(Frames { feed, first: true, told: false }, sender, stall));
        return Box::pin(futures::stream::unfold(
            receiver,
            |mut receiver| async move { receiver.recv().await.map(|bytes| (bytes, receiver)) },
        ));
    }
    let frames = Frames { feed, first: true, told: false };
    Box::pin(futures::stream::unfold(frames, |mut frames| async move {
        frames.feed.taken();
        let bytes = frames.next().await?;
        frames.feed.given();
        Some((bytes, frames))
    }))
}

/// What a client of a node that stops is told: to come back, each after a time of its own.
fn come_back() -> Bytes {
    format!("{}\n", sse::retry(fastrand::u64(RETRY_MS / 2..RETRY_MS * 3))).into()
}

/// A feed's steps as bytes.
struct Frames {
    feed: Feed,
    /// Nothing was sent yet.
    first: bool,
    /// The client was told that the node stops.
    told: bool,
}

impl Frames {
    /// The next bytes; none when the connection is to be closed. Cancel safe.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.feed.next().await {
                Step::Batch(batch) => {
                    let bytes = frames(&batch, std::mem::take(&mut self.first));
                    self.feed.delivered(&batch, bytes.len());
                    if !bytes.is_empty() {
                        return Some(bytes);
                    }
                }
                Step::Heartbeat => return Some(Bytes::from_static(sse::HEARTBEAT)),
                Step::Close(Reason::Shutdown) if !std::mem::replace(&mut self.told, true) => {
                    return Some(come_back());
                }
                Step::Close(_) => return None,
            }
        }
    }
}

async fn pump(mut frames: Frames, body: mpsc::Sender<Bytes>, stall: Duration) {
    loop {
        let bytes = tokio::select! {
            bytes = frames.next() => bytes,
            // The client's leaving shows in the body's being dropped.
            () = body.closed() => return,
        };
        let Some(bytes) = bytes else { return };
        // A client that takes nothing for so long is as good as gone; it may resume.
        match timeout(stall, body.send(bytes)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return,
            Err(_) => return frames.feed.stalled(),
        }
    }
}

/// A batch as bytes: those of its only part, shared with other clients, wherever nothing goes before them.
fn frames(batch: &Batch, first: bool) -> Bytes {
    let retry = first.then(|| sse::retry(RETRY_MS).into());
    let missed = batch.missed.as_ref().map(sse::missed);
    let parts = batch.parts.iter().map(sse::frames);
    let mut pieces: Vec<Bytes> = retry.into_iter().chain(missed).chain(parts).collect();
    if pieces.len() > 1 || first {
        let mut joined = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
        pieces.drain(..).for_each(|piece| joined.extend_from_slice(&piece));
        return joined.freeze();
    }
    pieces.pop().unwrap_or_default()
}

impl<'r> Responder<'r, 'static> for EventStream {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Ok(match self {
            Self::Frames(frames) => streamed(ContentType::EventStream, frames.map(Ok::<_, io::Error>)),
            Self::Headers => streamed(ContentType::EventStream, futures::stream::empty()),
            Self::Complete => rocket::Response::build().status(Status::NoContent).raw_header("Cache-Control", "no-store").finalize(),
        })
    }
}
