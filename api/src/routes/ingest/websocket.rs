//! Events over a WebSocket, each acknowledged, in order.

use std::{borrow::Cow, pin::pin, time::Duration};

use futures::{FutureExt, SinkExt, StreamExt};
use rocket::get;
use rocket_ws::{Channel, Config, Message, frame::CloseCode, result::Error, stream::DuplexStream};
use serde::Serialize;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tracing::{Instrument, Span};

use super::{BATCH_BYTES, BATCH_EVENTS, count, producer::FromProducer};
use crate::{
    auth::guard::Backend,
    error::{ApiError, ErrorBody, ErrorCode},
    event::{EventId, NewEvent, StreamKey},
    lifecycle::Lifecycle,
    metrics::{SharedMetrics, Way},
    routes::{
        broker::{Broker, must_be_active},
        code_of,
        params::{QueryKey, Upgrade},
        websocket::close,
    },
    store::{Appended, Numbered, SharedStore, StoreError},
    wire::json,
};

/// How long the other side may take to read an answer, or to answer a close.
const PATIENCE: Duration = Duration::from_secs(10);

/// The answer to one message.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Answer<'a> {
    Success {
        /// None: the stream had the event already.
        id: Option<EventId>,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        duplicate: bool,
    },
    Error {
        code: &'a str,
        message: &'a str,
    },
}

/// Writes each message, `{"event", "data"?}` as text or binary, and answers each in order with
/// `{"type": "success", "id"}` or `{"type": "error", "code", "message"}`. Where a producer is given, what the stream has already is answered with
/// `{"type": "success", "id": null, "duplicate": true}`, and the connection is closed after an event that could not be written.
#[utoipa::path(operation_id = "write_events", context_path = "/api", tag = "ingestion", security(("api_key" = [])), params(
    ("key" = String, Query, description = "The stream's key"),
    ("producer" = Option<String>, Query, description = "Who sends the events: a name that no other sender uses, 1 to 64 of `A` to `Z`, `a` to `z`, `0` to `9`, `_`, `-`. Given, events that the stream has already are not written again"),
    ("sequence" = Option<u64>, Query, maximum = 9_007_199_254_740_992_u64, description = "How many events the producer had sent into this stream before the first of these; 0 when it is not given. Messages that are no events do not count")), responses(
    (status = 101, description = "WebSocket. Closed with 1011 when the stream ends, 1012 when the broker stops"),
    (status = 400, description = "`missing-parameter`, `invalid-key`, `invalid-producer`, `invalid-request`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`", body = ErrorBody<'static>),
    (status = 403, description = "`forbidden`: a browser's page of an origin that is not in `STREAMER_ALLOWED_ORIGINS`", body = ErrorBody<'static>),
    (status = 404, description = "`no-active-stream`", body = ErrorBody<'static>),
    (status = 426, description = "`upgrade-required`: not a WebSocket handshake", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`", body = ErrorBody<'static>)))]
#[get("/event/add/ws-stream")]
pub async fn add(
    _backend: Backend,
    key: QueryKey,
    from: FromProducer,
    upgrade: Upgrade,
    broker: Broker<'_>,
) -> Result<Channel<'static>, ApiError> {
    let mut connection = Connection {
        store: SharedStore::clone(broker.store),
        metrics: SharedMetrics::clone(broker.metrics),
        key: key.0,
        numbered: from.0,
        max_message: broker.settings.max_line,
        max_event: broker.settings.max_event,
        heartbeat: broker.settings.heartbeat,
    };
    broker.must_be_active(&connection.key).await?;
    let upgrade = upgrade.required()?;
    let config = Config {
        // Above our own limit, so that a message beyond that gets an answer; what is beyond this closes the connection.
        max_message_size: Some(broker.settings.max_line.saturating_mul(4)),
        max_frame_size: Some(broker.settings.max_line.saturating_mul(4)),
        ..Config::default()
    };
    let lifecycle = broker.lifecycle.clone();
    let span = Span::current();
    Ok(upgrade.config(config).channel(move |socket| {
        let serve = async move {
            let mut socket = socket;
            let Some((code, reason)) = connection.run(&mut socket, &lifecycle).await else { return Ok(()) };
            close(&mut socket, code, reason, PATIENCE).await;
            Ok(())
        };
        Box::pin(serve.instrument(span))
    }))
}

type Close = (CloseCode, Cow<'static, str>);

/// A producer's connection.
struct Connection {
    store: SharedStore,
    metrics: SharedMetrics,
    key: StreamKey,
    /// Where the next event stands among its producer's.
    numbered: Option<Numbered>,
    max_message: usize,
    max_event: usize,
    heartbeat: Duration,
}

impl Connection {
    /// Serves the connection; how to close it, where that is for us to do.
    async fn run(&mut self, socket: &mut DuplexStream, lifecycle: &Lifecycle) -> Option<Close> {
        let mut closing = pin!(lifecycle.closing());
        let mut ticks = interval_at(Instant::now() + self.heartbeat, self.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = socket.next() => {
                    let mut messages = match message? {
                        Ok(message) => vec![message],
                        Err(Error::Capacity(_)) => return Some((CloseCode::Size, "The message is far too long".into())),
                        Err(_) => return None,
                    };
                    gather(socket, &mut messages);
                    if let Err(close) = self.serve(socket, messages).await {
                        return close;
                    }
                }
                _ = ticks.tick() => {
                    timeout(PATIENCE, socket.send(Message::Ping(Vec::new()))).await.ok()?.ok()?;
                    // A producer that has nothing to say should still hear that nobody listens any more.
                    if let Err(error) = must_be_active(&self.store, &self.key).await
                        && error.code == ErrorCode::NoActiveStream
                    {
                        let mut messages = Vec::new();
                        gather(socket, &mut messages);
                        // Each of them is answered first.
                        return self.serve(socket, messages).await.err().unwrap_or(Some((CloseCode::Error, error.message)));
                    }
                }
                () = &mut closing => return Some((CloseCode::Restart, "The broker is stopping".into())),
            }
        }
    }

    /// Writes the events among the messages and answers each. An error: the connection is over.
    async fn serve(&mut self, socket: &mut DuplexStream, messages: Vec<Message>) -> Result<(), Option<Close>> {
        let is_over = messages.iter().any(Message::is_close);
        let outcomes: Vec<Result<NewEvent, ApiError>> = messages.into_iter().filter_map(|message| self.read(message)).collect();
        let events: Vec<NewEvent> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok().cloned()).collect();
        let written =
            if events.is_empty() { Ok(None) } else { self.store.append(&self.key, &events, self.numbered.as_ref()).await.map(Some) };
        let metrics = self.metrics.ingest(Way::WebSocket);
        outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).for_each(|error| metrics.refuse(error.code.as_str()));
        if let Ok(Some(appended)) = written {
            count(metrics, &events, appended);
        }
        if let (Some(numbered), Ok(_)) = (&mut self.numbered, &written) {
            numbered.sequence += events.len() as u64;
        }
        let close_with = match &written {
            Err(StoreError::NotActive) => Some(CloseCode::Error),
            // What it sent meanwhile would come before what was not written.
            Err(StoreError::Unavailable(_)) if self.numbered.is_some() => Some(CloseCode::Again),
            Err(_) if self.numbered.is_some() => Some(CloseCode::Error),
            _ => None,
        };
        let written = written.map_err(ApiError::from);
        let ids = |appended: Appended| {
            std::iter::repeat_n(None, appended.duplicates.min(events.len())).chain(appended.ids(events.len()).map(Some))
        };
        let mut ids = written.as_ref().ok().copied().flatten().into_iter().flat_map(ids);
        let mut answers = Vec::with_capacity(outcomes.len());
        for outcome in &outcomes {
            let answer = match (outcome, &written) {
                (Err(error), _) | (Ok(_), Err(error)) => Some(Answer::Error { code: error.code.as_str(), message: &error.message }),
                // As many ids as good events, so that none is missing.
                (Ok(_), Ok(_)) => ids.next().map(|id| Answer::Success { id, duplicate: id.is_none() }),
            };
            answers.extend(answer.map(|answer| json::text(&answer)));
        }
        let answers = async {
            for answer in answers {
                socket.feed(Message::Text(answer)).await?;
            }
            socket.flush().await
        };
        match timeout(PATIENCE, answers).await {
            Ok(Ok(())) if is_over => Err(None),
            Ok(Ok(())) => match (close_with, written) {
                (Some(code), Err(error)) => Err(Some((code, error.message))),
                // The producer was told what was not confirmed and may go on.
                _ => Ok(()),
            },
            _ => Err(None),
        }
    }

    fn read(&self, message: Message) -> Option<Result<NewEvent, ApiError>> {
        let bytes = match message {
            Message::Text(text) => text.into_bytes(),
            Message::Binary(bytes) => bytes,
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return None,
        };
        if bytes.len() > self.max_message {
            return Some(Err(ApiError::new(ErrorCode::TooLarge, format!("The message is longer than {} bytes", self.max_message))));
        }
        let refuse = |problem| ApiError::new(code_of(&problem), format!("The message is no event: {problem}"));
        Some(json::event(&bytes, self.max_event).map_err(refuse))
    }
}

/// Adds the messages that are there already: what is ready together is written together.
fn gather(socket: &mut DuplexStream, messages: &mut Vec<Message>) {
    let mut bytes = messages.iter().map(Message::len).sum::<usize>();
    while messages.len() < BATCH_EVENTS && bytes < BATCH_BYTES {
        // An end or an error will still be there when the socket is read again.
        let Some(Some(Ok(message))) = socket.next().now_or_never() else { return };
        bytes += message.len();
        let last = message.is_close();
        messages.push(message);
        if last {
            return;
        }
    }
}
