//! Following streams over server-sent events.

use std::io;

use bytes::{Bytes, BytesMut};
use futures::stream::BoxStream;
use rocket::{
    Request, get, head,
    http::{ContentType, Status},
    response::{self, Responder},
};

use super::{
    body::{self, EXCLUSIVE_PROBE, Format},
    documented::{
        Forbidden, LimitReached, ResumeHeader, ResumeParams, SubscribeErrors, SubscribeParams,
        WaitParams,
    },
    request::SubscribeRequest,
    resolve::is_complete,
};
use crate::{
    codec::{cursor, json, sse},
    http::{error::ApiError, guards::TokenGrant, state::AppState, streaming::streaming_response},
    session::{CloseReason, Step, Subscription},
    store::Batch,
    stream::{Position, StartPosition},
    telemetry::metrics::{Refusal, Transport},
};

/// What clients are told to wait before they reconnect, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// An event stream, or the word that there will be none.
pub enum EventStream {
    /// Frames as they come.
    Frames(BoxStream<'static, io::Result<Bytes>>),
    /// The headers alone, for `HEAD`.
    Headers,
    /// The client has it all: 204, on which `EventSource` stops.
    Complete,
}

/// Follows streams over server-sent events, each from its first event kept or from where the client
/// was cut off. With several, the `id:` of a frame says which stream it is from.
#[utoipa::path(
    operation_id = "follow_sse",
    context_path = "/api",
    tag = "clients",
    security(("client_token" = []), ("client_token_query" = [])),
    params(SubscribeParams, WaitParams, ResumeHeader, ResumeParams),
    responses(
        (
            status = 200,
            description = "The stream: everything stored after the position, then everything \
                live, until it ends",
            body = String,
            content_type = "text/event-stream"
        ),
        (status = 204, description = "The stream has ended and the subscriber has all of it"),
        SubscribeErrors,
        Forbidden,
        LimitReached,
    )
)]
#[get("/client/sse")]
pub async fn follow(
    token: TokenGrant,
    request: SubscribeRequest,
    state: AppState<'_>,
) -> Result<EventStream, ApiError> {
    let request = request.streaming()?;
    let resolver = state.resolver(&token);
    let found = resolver.resolve(&request).await?;
    if is_complete(&found) {
        return Ok(EventStream::Complete);
    }
    if state.lifecycle.is_closing() {
        // To `EventSource` any other status than 200 is final: a client that comes a moment too
        // late would never go on elsewhere.
        state
            .metrics
            .clients(Transport::Sse)
            .refuse(Refusal::Shutdown);
        return Ok(EventStream::Frames(Box::pin(futures::stream::iter([Ok(
            come_back(),
        )]))));
    }
    let subscription = resolver.subscription(&request, found);
    let session = state
        .follow(
            subscription,
            &request,
            Transport::Sse,
            Some(EXCLUSIVE_PROBE),
        )
        .await?;
    let format = ServerSentEvents {
        begun: false,
        includes_starts: request.start != StartPosition::Start,
        others: None,
    };
    Ok(EventStream::Frames(body::body(
        session,
        format,
        state.settings.client_timeout,
    )))
}

/// What [`follow`] would answer, without following: takes no slot.
#[head("/client/sse")]
pub async fn head(
    token: TokenGrant,
    request: SubscribeRequest,
    state: AppState<'_>,
) -> Result<EventStream, ApiError> {
    let found = state
        .resolver(&token)
        .resolve(&request.streaming()?)
        .await?;
    Ok(if is_complete(&found) {
        EventStream::Complete
    } else {
        EventStream::Headers
    })
}

/// What a client of a node that stops is told: to come back, each after a time of its own.
fn come_back() -> Bytes {
    format!(
        "{}\n",
        sse::retry(fastrand::u64(RETRY_MS / 2..RETRY_MS * 3))
    )
    .into()
}

struct ServerSentEvents {
    begun: bool,
    /// Streams of which the client has nothing are in cursors, too, as it would otherwise begin
    /// elsewhere the next time.
    includes_starts: bool,
    /// Where the client is in all streams but this one, in the compact form. It stays as it is for
    /// as long as only this one goes on.
    others: Option<(usize, String)>,
}

impl Format for ServerSentEvents {
    fn bytes(&mut self, subscription: &Subscription, step: &Step) -> Bytes {
        let bytes = if subscription.is_keyed() {
            self.keyed(subscription, step)
        } else {
            plain(subscription, step)
        };
        let is_frame = matches!(step, Step::Batch(..) | Step::Gone(_) | Step::Positions(_))
            && !bytes.is_empty();
        if !is_frame || std::mem::replace(&mut self.begun, true) {
            return bytes;
        }
        [sse::retry(RETRY_MS).as_bytes(), &bytes[..]]
            .concat()
            .into()
    }
}

/// A step of a client with one stream: the bytes of the only part, shared with other clients,
/// wherever nothing goes before them.
fn plain(subscription: &Subscription, step: &Step) -> Bytes {
    match step {
        Step::Batch(_, batch) => {
            let missed = batch.missed.as_ref().map(sse::missed);
            let parts = batch.parts.iter().map(|part| match subscription.filter() {
                Some(filter) => sse::filtered_frames(part, filter),
                None => sse::frames(part),
            });
            let mut pieces: Vec<Bytes> = missed.into_iter().chain(parts).collect();
            if pieces.len() > 1 {
                pieces.concat().into()
            } else {
                pieces.pop().unwrap_or_default()
            }
        }
        Step::Positions(_) => {
            let cursor = subscription
                .streams()
                .first()
                .map(|stream| match stream.position.id() {
                    Some(id) => id.to_string(),
                    // No id says so.
                    None => format!("{}:", stream.encoded_key()),
                });
            cursor
                .map(|cursor| sse::position(&cursor).into())
                .unwrap_or_default()
        }
        Step::Heartbeat => Bytes::from_static(sse::HEARTBEAT),
        Step::Close(CloseReason::Shutdown) => come_back(),
        Step::Gone(_) | Step::CaughtUp | Step::Close(_) => Bytes::new(),
    }
}

impl ServerSentEvents {
    /// A step of a client with several streams: each id is a cursor over all of them.
    fn keyed(&mut self, subscription: &Subscription, step: &Step) -> Bytes {
        let mut out = BytesMut::new();
        match step {
            Step::Batch(index, batch) => self.put_batch(&mut out, subscription, *index, batch),
            Step::Gone(index) => {
                if let Some(stream) = subscription.streams().get(*index) {
                    let data = json::deleted_data(stream.gone_after());
                    sse::put_keyed_missed(
                        &mut out,
                        &self.cursor(subscription, *index, stream.position),
                        &data,
                    );
                }
            }
            Step::Positions(indexes) => {
                // One says all: the others are in it.
                if let Some((index, stream)) = indexes
                    .last()
                    .and_then(|index| Some((*index, subscription.streams().get(*index)?)))
                {
                    self.others = None;
                    return sse::position(&self.cursor(subscription, index, stream.position))
                        .into();
                }
            }
            Step::CaughtUp | Step::Heartbeat | Step::Close(_) => return plain(subscription, step),
        }
        out.freeze()
    }

    fn put_batch(
        &mut self,
        out: &mut BytesMut,
        subscription: &Subscription,
        index: usize,
        batch: &Batch,
    ) {
        let Some(stream) = subscription.streams().get(index) else {
            return;
        };
        if let Some(missed) = &batch.missed {
            let before = missed.after.map_or(Position::Start, Position::At);
            sse::put_keyed_missed(
                out,
                &self.cursor(subscription, index, before),
                &json::missed_data(missed),
            );
        }
        let last = batch.entries().next_back().map(|entry| entry.id);
        let mut cursor = String::with_capacity(
            stream.encoded_key().len() + self.others(subscription, index).len() + sse::FRAME_SIZE,
        );
        for entry in batch
            .entries()
            .filter(|entry| subscription.wants(&entry.name))
        {
            let is_last = batch.end && Some(entry.id) == last;
            let position = if is_last {
                Position::Complete(entry.id)
            } else {
                Position::At(entry.id)
            };
            cursor.clear();
            cursor::put(
                &mut cursor,
                stream.encoded_key(),
                position,
                self.others(subscription, index),
            );
            out.reserve(cursor.len() + sse::FRAME_SIZE + entry.weight());
            sse::put_keyed_frame(out, &cursor, entry);
        }
    }

    /// The cursor of a client that is at this position of this stream, and where it is in all
    /// others.
    fn cursor(&mut self, subscription: &Subscription, index: usize, position: Position) -> String {
        let mut cursor = String::new();
        if let Some(stream) = subscription.streams().get(index) {
            cursor::put(
                &mut cursor,
                stream.encoded_key(),
                position,
                self.others(subscription, index),
            );
        }
        cursor
    }

    /// Where the client is in the other streams.
    fn others(&mut self, subscription: &Subscription, index: usize) -> &str {
        let is_current = self
            .others
            .as_ref()
            .is_some_and(|(known, _)| *known == index);
        if !is_current {
            let streams = (0..)
                .zip(subscription.streams())
                .filter(|(other, _)| *other != index)
                .map(|(_, stream)| stream);
            let told =
                streams.filter(|stream| self.includes_starts || stream.position != Position::Start);
            self.others = Some((
                index,
                cursor::compact(told.map(|stream| (stream.tag(), stream.position))),
            ));
        }
        self.others
            .as_ref()
            .map(|(_, others)| others.as_str())
            .unwrap_or_default()
    }
}

impl<'r> Responder<'r, 'static> for EventStream {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Ok(match self {
            Self::Frames(frames) => streaming_response(ContentType::EventStream, frames),
            Self::Headers => streaming_response(ContentType::EventStream, futures::stream::empty()),
            Self::Complete => rocket::Response::build()
                .status(Status::NoContent)
                .raw_header("Cache-Control", "no-store")
                .finalize(),
        })
    }
}
