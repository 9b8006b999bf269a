//! Subscribing over server-sent events.

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
        EventParams, Forbidden, KeyParams, LimitReached, MetadataParams, ResumeHeader,
        ResumeParams, SubscribeErrors, WaitParams,
    },
    request::SubscribeRequest,
    resolve::is_complete,
};
use crate::{
    codec::{cursor, json, sse},
    http::{
        error::ApiError, guards::TokenGrant, hooks::SubscribeHook, state::AppState,
        streaming::streaming_response,
    },
    session::{CloseReason, Output, Subscription},
    store::{Batch, StreamUpdate},
    stream::{Position, StartPosition},
    telemetry::metrics::{Refusal, Transport},
};

/// The delay before a reconnect that subscribers are sent, in milliseconds.
const RETRY_MS: u64 = 1_000;

/// An event stream, or the answer that there is none.
pub enum EventStream {
    /// Frames as they come.
    Frames(BoxStream<'static, io::Result<Bytes>>),
    /// Only the headers, for `HEAD`.
    Headers,
    /// The subscriber has everything: 204, which stops an `EventSource`.
    Complete,
}

/// Follows streams over server-sent events. Each starts with its oldest stored event, or after the
/// subscriber's position. With several streams, the `id:` of a frame names its stream.
#[utoipa::path(
    operation_id = "follow_sse",
    context_path = "/api",
    tag = "clients",
    security(("client_token" = []), ("client_token_query" = [])),
    params(KeyParams, ResumeHeader, ResumeParams, EventParams, WaitParams, MetadataParams),
    responses(
        (
            status = 200,
            description = "The stored events after the position, then live events, until all \
                streams have ended",
            body = String,
            content_type = "text/event-stream"
        ),
        (
            status = 204,
            description = "All streams have ended, and the subscriber has all events"
        ),
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
    hook: SubscribeHook,
) -> Result<EventStream, ApiError> {
    let request = request.streaming()?;
    let resolver = state.resolver(&token, hook);
    let streams = resolver.resolve(&request).await?;
    let subscriber = resolver.ask_script(&request).await?;
    if is_complete(&streams) {
        return Ok(EventStream::Complete);
    }
    if state.lifecycle.is_closing() {
        // For an `EventSource` any status except 200 is final: a subscriber that comes a moment too
        // late would never connect to another node.
        state
            .metrics
            .clients(Transport::Sse)
            .refuse(Refusal::Shutdown);
        let only = futures::stream::iter([Ok(reconnect())]);
        return Ok(EventStream::Frames(Box::pin(only)));
    }
    let subscription = resolver.subscription(&request, streams, subscriber);
    let session = state
        .start_session(
            subscription,
            &request,
            Transport::Sse,
            Some(EXCLUSIVE_PROBE),
        )
        .await?;
    let format = ServerSentEvents {
        has_begun: false,
        cursors_have_starts: request.start != StartPosition::Start,
        others: None,
    };
    let stall = state.settings.client_timeout;
    Ok(EventStream::Frames(body::body(session, format, stall)))
}

/// What [`follow`] would answer, without a session.
#[head("/client/sse")]
pub async fn head(
    token: TokenGrant,
    request: SubscribeRequest,
    state: AppState<'_>,
    hook: SubscribeHook,
) -> Result<EventStream, ApiError> {
    let resolver = state.resolver(&token, hook);
    let request = request.streaming()?;
    let streams = resolver.resolve(&request).await?;
    let _ = resolver.ask_script(&request).await?;
    Ok(if is_complete(&streams) {
        EventStream::Complete
    } else {
        EventStream::Headers
    })
}

/// Asks the subscribers of a node that stops to reconnect, each after a random delay.
fn reconnect() -> Bytes {
    let delay = fastrand::u64(RETRY_MS / 2..RETRY_MS * 3);
    format!("{}\n", sse::retry(delay)).into()
}

/// The format of server-sent events.
struct ServerSentEvents {
    has_begun: bool,
    /// Cursors also name streams from which the subscriber has no event yet. Otherwise it would
    /// begin elsewhere the next time.
    cursors_have_starts: bool,
    /// The positions in all streams except this one, in the compact form. They stay the same while
    /// only this one has updates.
    others: Option<(usize, String)>,
}

impl Format for ServerSentEvents {
    fn bytes(&mut self, subscription: &Subscription, output: &Output) -> Bytes {
        let bytes = if subscription.is_keyed() {
            self.keyed(subscription, output)
        } else {
            plain(subscription, output)
        };
        let is_frame = matches!(output, Output::Update(..) | Output::Positions(_));
        if !is_frame || bytes.is_empty() || std::mem::replace(&mut self.has_begun, true) {
            return bytes;
        }
        [sse::retry(RETRY_MS).as_bytes(), &bytes[..]]
            .concat()
            .into()
    }
}

/// An output for a subscriber of one stream. Wherever it is one part and nothing goes before it,
/// the bytes are shared with the other subscribers.
fn plain(subscription: &Subscription, output: &Output) -> Bytes {
    match output {
        Output::Update(_, StreamUpdate::Events(batch)) => {
            let frames = |part| match subscription.filter() {
                Some(filter) => sse::filtered_frames(part, filter),
                None => sse::frames(part),
            };
            // Nearly every batch that a live subscriber gets.
            if let (None, [part]) = (&batch.missed, &batch.parts[..]) {
                return frames(part);
            }
            let missed = batch.missed.as_deref().map(sse::missed);
            let parts = batch.parts.iter().map(frames);
            let pieces: Vec<Bytes> = missed.into_iter().chain(parts).collect();
            pieces.concat().into()
        }
        Output::Positions(_) => {
            let Some(stream) = subscription.streams().first() else {
                return Bytes::new();
            };
            let cursor = match stream.position().id() {
                Some(id) => id.to_string(),
                // The start of a stream has no id.
                None => format!("{}:", stream.encoded_key()),
            };
            sse::position(&cursor).into()
        }
        Output::Heartbeat => Bytes::from_static(sse::HEARTBEAT),
        Output::Close(CloseReason::Shutdown) => reconnect(),
        Output::Close(CloseReason::Idle) => subscription.retry().map_or_else(Bytes::new, |delay| {
            let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            format!("{}\n", sse::retry(delay)).into()
        }),
        Output::Update(_, StreamUpdate::Deleted) | Output::CaughtUp | Output::Close(_) => {
            Bytes::new()
        }
    }
}

impl ServerSentEvents {
    /// An output for a subscriber of several streams: each id is a cursor over all of them.
    fn keyed(&mut self, subscription: &Subscription, output: &Output) -> Bytes {
        let mut out = BytesMut::new();
        match output {
            Output::Update(index, StreamUpdate::Events(batch)) => {
                self.put_batch(&mut out, subscription, *index, batch);
            }
            Output::Update(index, StreamUpdate::Deleted) => {
                if let Some(stream) = subscription.streams().get(*index) {
                    let data = json::deleted_data(stream.deleted_after());
                    let cursor = self.cursor(subscription, *index, stream.position());
                    sse::put_keyed_missed(&mut out, &cursor, &data);
                }
            }
            Output::Positions(indexes) => {
                // One cursor is enough: it has the positions in the other streams.
                let last = indexes.last().and_then(|&index| {
                    let stream = subscription.streams().get(index)?;
                    Some((index, stream.position()))
                });
                if let Some((index, position)) = last {
                    self.others = None;
                    return sse::position(&self.cursor(subscription, index, position)).into();
                }
            }
            Output::CaughtUp | Output::Heartbeat | Output::Close(_) => {
                return plain(subscription, output);
            }
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
            let cursor = self.cursor(subscription, index, before);
            sse::put_keyed_missed(out, &cursor, &json::missed_data(missed));
        }
        let last = batch.entries().next_back().map(|entry| entry.id);
        let key = stream.encoded_key();
        let others = self.others(subscription, index);
        let mut cursor = String::with_capacity(key.len() + others.len() + sse::FRAME_SIZE);
        let is_wanted = |name: &str| subscription.wants(name);
        for (entry, count) in batch.counted().filter(|(entry, _)| is_wanted(&entry.name)) {
            let position = if batch.is_last() && Some(entry.id) == last {
                Position::Complete(entry.id)
            } else {
                Position::At(entry.id)
            };
            cursor.clear();
            cursor::put(&mut cursor, key, position, others);
            out.reserve(cursor.len() + sse::FRAME_SIZE + entry.weight());
            sse::put_keyed_frame(out, &cursor, entry, count);
        }
    }

    /// The cursor at this position of this stream, and at the positions of all others.
    fn cursor(&mut self, subscription: &Subscription, index: usize, position: Position) -> String {
        let mut cursor = String::new();
        if let Some(stream) = subscription.streams().get(index) {
            let others = self.others(subscription, index);
            cursor::put(&mut cursor, stream.encoded_key(), position, others);
        }
        cursor
    }

    /// The positions in the other streams, in the compact form.
    fn others(&mut self, subscription: &Subscription, index: usize) -> &str {
        let is_current = |(known, _): &(usize, String)| *known == index;
        if !self.others.as_ref().is_some_and(is_current) {
            let others = (0..)
                .zip(subscription.streams())
                .filter(|(other, _)| *other != index)
                .map(|(_, stream)| (stream.tag(), stream.position()))
                .filter(|(_, position)| self.cursors_have_starts || *position != Position::Start);
            self.others = Some((index, cursor::compact(others)));
        }
        let others = self.others.as_ref();
        others
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
