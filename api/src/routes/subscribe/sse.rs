//! Following a stream over server-sent events.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use rocket::{
    Request, State, get, head,
    http::{ContentType, Status},
    response::{self, Responder},
};
use tokio::{sync::mpsc, time::timeout};

use super::{Broker, is_complete};
use crate::{
    auth::guard::Client,
    config::Settings,
    error::{ApiError, ErrorBody},
    feed::{Feed, Reason, Slots, Step},
    lifecycle::Lifecycle,
    routes::{
        byte_stream::streamed,
        params::{Cursor, QueryKey},
    },
    store::{Batch, SharedStore},
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
    Frames(mpsc::Receiver<Bytes>),
    /// The headers alone, for `HEAD`.
    Headers,
    /// The client has it all: 204, on which `EventSource` stops.
    Complete,
}

/// Follows a stream over server-sent events, from its first event kept or from where the client was cut off.
#[utoipa::path(context_path = "/api", tag = "clients", security(("client_token" = []), ("client_token_query" = [])), params(
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
    (status = 429, description = "`too-many-clients`", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`, `shutting-down`", body = ErrorBody<'static>)))]
#[get("/client/sse")]
pub async fn follow(
    client: Client,
    key: QueryKey,
    cursor: Cursor,
    settings: &State<Settings>,
    store: &State<SharedStore>,
    slots: &State<Slots>,
    lifecycle: &State<Lifecycle>,
) -> Result<EventStream, ApiError> {
    let broker = Broker { settings, store, slots, lifecycle };
    let page = broker.look(&client, &key.0, cursor.0).await?;
    if is_complete(&page, cursor.0) {
        return Ok(EventStream::Complete);
    }
    let holds_connection = store.connections().fixed > 0 && store.delivery() == crate::config::Delivery::Exclusive.as_str();
    let heartbeat = if holds_connection { settings.heartbeat.min(EXCLUSIVE_PROBE) } else { settings.heartbeat };
    let feed = broker.follow(page, heartbeat).await?;
    // One batch in the channel: what a slow client does not take stays in the store.
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(pump(feed, sender, settings.client_timeout));
    Ok(EventStream::Frames(receiver))
}

/// What [`follow`] would answer, without following: takes no slot.
#[head("/client/sse")]
pub async fn head(
    client: Client,
    key: QueryKey,
    cursor: Cursor,
    settings: &State<Settings>,
    store: &State<SharedStore>,
    slots: &State<Slots>,
    lifecycle: &State<Lifecycle>,
) -> Result<EventStream, ApiError> {
    let page = Broker { settings, store, slots, lifecycle }.look(&client, &key.0, cursor.0).await?;
    Ok(if is_complete(&page, cursor.0) { EventStream::Complete } else { EventStream::Headers })
}

/// Moves a feed's steps into the body, in a task of its own: while a client does not read, the body is not asked, but
/// deadlines, the shutdown and the store's connection go on.
async fn pump(mut feed: Feed, body: mpsc::Sender<Bytes>, stall: Duration) {
    let mut first = true;
    loop {
        let step = tokio::select! {
            step = feed.next() => step,
            // The client's leaving shows in the body's being dropped.
            () = body.closed() => return,
        };
        let bytes = match step {
            Step::Batch(batch) => match frames(&batch, std::mem::take(&mut first)) {
                bytes if bytes.is_empty() => continue,
                bytes => bytes,
            },
            Step::Heartbeat => Bytes::from_static(sse::HEARTBEAT),
            Step::Close(Reason::Shutdown) => {
                // Clients of a node that stops come back at different times.
                let retry = format!("{}\n", sse::retry(fastrand::u64(RETRY_MS / 2..RETRY_MS * 3)));
                let _ = timeout(stall, body.send(retry.into())).await;
                return;
            }
            Step::Close(_) => return,
        };
        // A client that takes nothing for so long is as good as gone; it may resume.
        if !matches!(timeout(stall, body.send(bytes)).await, Ok(Ok(()))) {
            return;
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
            Self::Frames(receiver) => {
                let items =
                    futures::stream::unfold(receiver, |mut receiver| async move { receiver.recv().await.map(|bytes| (bytes, receiver)) });
                streamed(ContentType::EventStream, items.map(Ok::<_, io::Error>))
            }
            Self::Headers => streamed(ContentType::EventStream, futures::stream::empty()),
            Self::Complete => rocket::Response::build().status(Status::NoContent).raw_header("Cache-Control", "no-store").finalize(),
        })
    }
}
