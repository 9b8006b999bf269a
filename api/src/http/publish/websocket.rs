//! Events over a WebSocket, each acknowledged, in order.

use std::{borrow::Cow, convert::Infallible, pin::pin, time::Duration};

use futures::{FutureExt, SinkExt, StreamExt};
use rocket::get;
use rocket_ws::{Message, frame::CloseCode};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{Instrument, Span};

use super::{
    BATCH_BYTES, BATCH_EVENTS, count,
    event_error::code_of,
    members::{Members, Strict},
    producer::FromProducer,
};
use crate::{
    codec::json::{self, EventIn},
    http::{
        error::{ApiError, ErrorBody, ErrorCode},
        guards::ApiKeyHolder,
        query::{QueryKey, Upgrade},
        state::{AppState, must_be_active},
        store_error::at,
        websocket::{Channel, PeerEnd, PongDue, Socket, close, received},
    },
    lifecycle::Lifecycle,
    store::{Appended, SharedStore, StoreError},
    stream::{EventId, NewEvent, ProducerSequence, StreamKey},
    telemetry::metrics::{SharedMetrics, Way},
};

/// How long the other side may take to read an answer, or to answer a close.
const PATIENCE: Duration = Duration::from_secs(10);

/// The largest answer, with room to spare.
const MAX_ANSWER: usize = 1 << 20;

/// The answer to one message.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Answer<'a> {
    Success {
        /// None: the stream had the event already.
        id: Option<EventId>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        duplicate: bool,
        /// Members of the event that are neither `event` nor `data`, and were not stored.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        ignored: &'a [String],
    },
    Error {
        code: &'a str,
        message: &'a str,
    },
}

/// Writes each message, `{"event", "data"?}` as text or binary, and answers each in order with
/// `{"type": "success", "id"}` or `{"type": "error", "code", "message"}`. Where a producer is
/// given, what the stream has already is answered with `{"type": "success", "id": null,
/// "duplicate": true}`, and the connection is closed after an event that could not be written.
/// Where a message has members other than `event` and `data`, which are not stored, the answer also
/// has their names: `"ignored": […]`.
#[utoipa::path(operation_id = "write_events", context_path = "/api", tag = "ingestion", security(("api_key" = [])), params(
    ("key" = String, Query, description = "The stream's key"),
    ("producer" = Option<String>, Query, description = "Who sends the events: a name that no other sender uses, 1 to 64 of `A` to `Z`, `a` to `z`, `0` to `9`, `_`, `-`. Given, events that the stream has already are not written again"),
    ("sequence" = Option<u64>, Query, maximum = 9_007_199_254_740_992_u64, description = "How many events the producer had sent into this stream before the first of these; only with `producer`, 0 when it is not given. Messages that are no events do not count"),
    ("strict" = Option<bool>, Query, description = "Refuse messages with members other than `event` and `data`, which otherwise are ignored and named in the answer")), responses(
    (status = 101, description = "WebSocket. Closed with 1002, 1007 or 1009 when a frame breaks the protocol, is not UTF-8 or is too long, 1011 when the stream ends, 1012 when the broker stops"),
    (status = 400, description = "`missing-parameter`, `invalid-key`, `invalid-parameter`, `invalid-producer`, `invalid-request`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 403, description = "`forbidden`: a browser's page of an origin that is not in `STREAMER_ALLOWED_ORIGINS`", body = ErrorBody<'static>),
    (status = 404, description = "`no-active-stream`", body = ErrorBody<'static>),
    (status = 426, description = "`upgrade-required`: not a WebSocket handshake", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[get("/event/add/ws-stream")]
pub async fn add(
    _backend: ApiKeyHolder,
    key: QueryKey,
    from: FromProducer,
    strict: Strict,
    upgrade: Upgrade,
    state: AppState<'_>,
) -> Result<Channel, ApiError> {
    let mut connection = Connection {
        store: SharedStore::clone(state.store),
        metrics: SharedMetrics::clone(state.metrics),
        key: key.0,
        producer_sequence: from.0,
        strict,
        max_message: state.settings.max_line,
        max_event: state.settings.max_event,
        heartbeat: state.settings.heartbeat,
    };
    state.must_be_active(&connection.key).await?;
    let upgrade = upgrade.required()?;
    // Above our own limit, so that a message beyond that gets an answer; what is beyond this closes
    // the connection.
    let max_message = state.settings.max_line.saturating_mul(4);
    let lifecycle = state.lifecycle.clone();
    let span = Span::current();
    Ok(Channel::new(
        &upgrade,
        max_message,
        MAX_ANSWER,
        move |mut socket| {
            let serve = async move {
                match connection.run(&mut socket, &lifecycle).await {
                    Ending::Ours(code, reason) => close(&mut socket, code, reason, PATIENCE).await,
                    Ending::Peer(end) => end.finish(&mut socket).await,
                }
            };
            Box::pin(serve.instrument(span))
        },
    ))
}

/// Who ends the connection, and why.
enum Ending {
    /// The broker closes it.
    Ours(CloseCode, Cow<'static, str>),
    /// The producer does, or is gone.
    Peer(PeerEnd),
}

impl From<PeerEnd> for Ending {
    fn from(end: PeerEnd) -> Self {
        Self::Peer(end)
    }
}

/// An event that was read, and the names of what was ignored of it.
struct Read {
    event: NewEvent,
    ignored: Vec<String>,
}

/// A producer's connection.
struct Connection {
    store: SharedStore,
    metrics: SharedMetrics,
    key: StreamKey,
    /// Where the next event stands among its producer's.
    producer_sequence: Option<ProducerSequence>,
    strict: Strict,
    max_message: usize,
    max_event: usize,
    heartbeat: Duration,
}

impl Connection {
    /// Serves the connection; how it ends.
    async fn run(&mut self, socket: &mut Socket, lifecycle: &Lifecycle) -> Ending {
        match self.serve(socket, lifecycle).await {
            Ok(never) => match never {},
            Err(ending) => ending,
        }
    }

    async fn serve(
        &mut self,
        socket: &mut Socket,
        lifecycle: &Lifecycle,
    ) -> Result<Infallible, Ending> {
        let mut closing = pin!(lifecycle.closing());
        let mut pong = PongDue::default();
        let mut ticks = interval_at(Instant::now() + self.heartbeat, self.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = pong.next(socket, PATIENCE) => {
                    let message = message?;
                    // Before anything else is read the pong is sent.
                    if !message.is_ping() {
                        self.write_with_what_is_there(socket, vec![message]).await?;
                    }
                }
                _ = ticks.tick() => {
                    let sent = timeout(PATIENCE, socket.send(Message::Ping(Vec::new()))).await;
                    sent.map_err(|_| PeerEnd::Stalled)?.map_err(|_| PeerEnd::Gone)?;
                    // A producer that has nothing to say should still hear that nobody listens any
                    // more.
                    if let Err(error) = must_be_active(&self.store, &self.key).await
                        && error.code == ErrorCode::NoActiveStream
                    {
                        // Each message that is there is answered first.
                        self.write_with_what_is_there(socket, Vec::new()).await?;
                        return Err(Ending::Ours(CloseCode::Error, error.message));
                    }
                }
                () = &mut closing => return Err(Ending::Ours(CloseCode::Restart, "The broker is stopping".into())),
            }
        }
    }

    /// Writes these messages together with those that are there already.
    async fn write_with_what_is_there(
        &mut self,
        socket: &mut Socket,
        mut messages: Vec<Message>,
    ) -> Result<(), Ending> {
        let end = gather(socket, &mut messages);
        self.write(socket, messages, end).await
    }

    /// Writes the events among the messages and answers each, unless the producer has ended the
    /// connection behind them.
    async fn write(
        &mut self,
        socket: &mut Socket,
        messages: Vec<Message>,
        end: Option<PeerEnd>,
    ) -> Result<(), Ending> {
        let outcomes: Vec<Result<Read, ApiError>> = messages
            .into_iter()
            .filter_map(|message| self.read(message))
            .collect();
        let events: Vec<NewEvent> = outcomes
            .iter()
            .filter_map(|outcome| outcome.as_ref().ok())
            .map(|read| read.event.clone())
            .collect();
        let written = if events.is_empty() {
            Ok(None)
        } else {
            self.store
                .append(&self.key, &events, self.producer_sequence.as_ref())
                .await
                .map(Some)
        };
        let metrics = self.metrics.ingest(Way::WebSocket);
        outcomes
            .iter()
            .filter_map(|outcome| outcome.as_ref().err())
            .for_each(|error| metrics.refuse(error.code.as_str()));
        if let Ok(Some(appended)) = written {
            count(metrics, &events, appended);
        }
        if let (Some(producer_sequence), Ok(_)) = (&mut self.producer_sequence, &written) {
            producer_sequence.sequence += events.len() as u64;
        }
        let close_with = match &written {
            Err(StoreError::NotActive) => Some(CloseCode::Error),
            // What it sent meanwhile would come before what was not written.
            Err(StoreError::Unavailable(_) | StoreError::Refused { .. })
                if self.producer_sequence.is_some() =>
            {
                Some(CloseCode::Again)
            }
            Err(_) if self.producer_sequence.is_some() => Some(CloseCode::Error),
            _ => None,
        };
        let written = written.map_err(at(&self.key));
        let ids = |appended: Appended| {
            std::iter::repeat_n(None, appended.duplicates.min(events.len()))
                .chain(appended.ids(events.len()).map(Some))
        };
        let mut ids = written
            .as_ref()
            .ok()
            .copied()
            .flatten()
            .into_iter()
            .flat_map(ids);
        let mut answers = Vec::with_capacity(outcomes.len());
        for outcome in &outcomes {
            let answer = match (outcome, &written) {
                (Err(error), _) | (Ok(_), Err(error)) => Some(Answer::Error {
                    code: error.code.as_str(),
                    message: &error.message,
                }),
                // As many ids as good events, so that none is missing.
                (Ok(read), Ok(_)) => ids.next().map(|id| Answer::Success {
                    id,
                    duplicate: id.is_none(),
                    ignored: &read.ignored,
                }),
            };
            answers.extend(answer.map(|answer| json::text(&answer)));
        }
        let answers = async {
            for answer in answers {
                socket.feed(Message::Text(answer)).await?;
            }
            socket.flush().await
        };
        // After the producer's close frame nothing but the answer to that may be sent.
        if !matches!(end, Some(PeerEnd::Closing)) {
            let sent = timeout(PATIENCE, answers).await;
            sent.map_err(|_| PeerEnd::Stalled)?
                .map_err(|_| PeerEnd::Gone)?;
        }
        match (end, close_with, written) {
            (Some(end), ..) => Err(end.into()),
            (None, Some(code), Err(error)) => Err(Ending::Ours(code, error.message)),
            // The producer was told what was not confirmed and may go on.
            _ => Ok(()),
        }
    }

    fn read(&self, message: Message) -> Option<Result<Read, ApiError>> {
        let bytes = match message {
            Message::Text(text) => text.into_bytes(),
            Message::Binary(bytes) => bytes,
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => {
                return None;
            }
        };
        if bytes.len() > self.max_message {
            return Some(Err(ApiError::new(
                ErrorCode::TooLarge,
                format!("The message is longer than {} bytes", self.max_message),
            )));
        }
        let refuse = |problem| {
            ApiError::new(
                code_of(&problem),
                format!("The message is no event: {problem}"),
            )
        };
        let mut members = Members::new(self.strict);
        let event = EventIn::read(&bytes).and_then(|event| members.check(event, self.max_event));
        Some(
            event
                .map(|event| Read {
                    event,
                    ignored: members.take(),
                })
                .map_err(refuse),
        )
    }
}

/// Adds the messages that are there already: what is ready together is written together. Returns
/// the end of the connection, if it came behind them: a socket says it but once.
fn gather(socket: &mut Socket, messages: &mut Vec<Message>) -> Option<PeerEnd> {
    let mut bytes = messages.iter().map(Message::len).sum::<usize>();
    while messages.len() < BATCH_EVENTS && bytes < BATCH_BYTES {
        match received(socket.next().now_or_never()?) {
            Ok(message) => {
                let is_ping = message.is_ping();
                bytes += message.len();
                messages.push(message);
                // Its pong is sent, with the answers, before the next message is read.
                if is_ping {
                    return None;
                }
            }
            Err(end) => return Some(end),
        }
    }
    None
}
