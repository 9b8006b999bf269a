//! `GET /event/add/ws-stream`: events over a WebSocket. The broker acknowledges each, in order.

use std::{borrow::Cow, convert::Infallible, future::pending, pin::pin, time::Duration};

use rocket::{State, get};
use rocket_ws::{Message, frame::CloseCode};
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tracing::{Instrument, Span};

use super::{
    answers::{ParsedEvent, answers, refusal},
    append::{count, replaced},
    documented::{EventsParams, StrictParams},
    ended::{End, ended},
    event_error_code::code_of,
    events_query::EventsQuery,
    hooked::run_hook,
    lease::LeaseRenewer,
    socket::{WRITE_TIMEOUT, gather, heartbeat, send},
    unknown_members::{MemberCheck, Strict},
};
use crate::{
    codec::json::UncheckedEvent,
    http::{
        error::{ApiError, ErrorBody, ErrorCode},
        error_responses::{
            NoActiveStream, StaleGeneration, StoreUnavailable, Unauthorized, UpgradeRequired,
        },
        guards::ApiKeyHolder,
        hooks::PublishHook,
        query::{QueryStream, Upgrade},
        signals::{
            feed::SignalFeed,
            producer_limit::{ProducerLimit, ProducerPermit},
            query::SocketSignals,
            view::message as signal_message,
        },
        state::AppState,
        store_error::at,
        websocket::{PeerEnd, PendingPong, Socket, WebSocketResponse, close},
    },
    lifecycle::Lifecycle,
    store::{Appended, SharedStore, StoreError, StreamInfo},
    stream::{NewEvent, ProducerSequence, Signal, StreamKey},
    telemetry::metrics::{SharedMetrics, Way},
};

/// A limit above the longest answer, in bytes.
const MAX_ANSWER: usize = 1 << 20;

/// Writes events over a WebSocket. Each message is an event, `{"event", "data"?}` as text or
/// binary. The broker answers each in order with `{"type": "success", "id"}` or `{"type": "error",
/// "code", "message"}`. The broker does not store members other than `event` and `data`; the answer
/// names them in `ignored`. With a producer, the answer to an event that the stream already has is
/// `{"type": "success", "id": null, "duplicate": true}`. With a producer, the broker also closes
/// the connection after an event that it could not write.
#[utoipa::path(
    operation_id = "write_events",
    context_path = "/api",
    tag = "ingestion",
    security(("api_key" = [])),
    params(
        EventsParams,
        StrictParams,
        (
            "signals" = Option<u64>,
            Query,
            maximum = 9_007_199_254_740_992_u64,
            description = "The number of the last signal that the producer has; 0 asks for all. \
                The broker sends `{\"type\": \"signal\", \"seq\", \"name\", …}` for each later \
                signal"
        ),
    ),
    responses(
        (
            status = 101,
            description = "WebSocket. The broker closes it with these codes. 1002: a frame breaks \
                the protocol. 1007: a message is not UTF-8. 1009: a message is too long. 1011: the \
                stream has ended, or with a producer, an event could not be written. 1012: the \
                broker stops. 1013: with a producer, the store did not confirm an event"
        ),
        (
            status = 400,
            description = "`missing-parameter`, `invalid-key`, `invalid-parameter`, \
                `invalid-producer`, `invalid-request`",
            body = ErrorBody<'static>
        ),
        Unauthorized,
        (
            status = 403,
            description = "`forbidden`: the origin of the browser's page is not in \
                `STREAMER_ALLOWED_ORIGINS`",
            body = ErrorBody<'static>
        ),
        NoActiveStream,
        StaleGeneration,
        UpgradeRequired,
        StoreUnavailable,
    )
)]
#[get("/event/add/ws-stream")]
pub async fn add(
    _caller: ApiKeyHolder,
    query: EventsQuery,
    signals: SocketSignals,
    limit: &State<ProducerLimit>,
    upgrade: Upgrade,
    state: AppState<'_>,
    hook: PublishHook,
) -> Result<WebSocketResponse, ApiError> {
    let EventsQuery {
        stream: QueryStream { key, generation },
        producer,
        strict,
    } = query;
    let info = state.active_stream(&key, generation).await?;
    let SocketSignals(signals_after) = signals;
    let permit = signals_after.map(|_| limit.acquire()).transpose()?;
    let mut connection = Connection {
        lease: LeaseRenewer::new(state.store, &key, &info),
        store: SharedStore::clone(state.store),
        metrics: SharedMetrics::clone(state.metrics),
        key,
        info,
        producer_sequence: producer,
        strict,
        hook,
        max_message: state.settings.max_line,
        max_event: state.settings.max_event,
        heartbeat_interval: state.settings.heartbeat,
        signals_after,
        _permit: permit,
    };
    let upgrade = upgrade.required()?;
    // Above the broker's own limit, so that a message that is a little too long gets an answer. A
    // longer one closes the connection.
    let max_message = state.settings.max_line.saturating_mul(4);
    let lifecycle = state.lifecycle.clone();
    let span = Span::current();
    Ok(WebSocketResponse::new(
        &upgrade,
        max_message,
        MAX_ANSWER,
        move |mut socket| {
            let serve = async move {
                match connection.run(&mut socket, &lifecycle).await {
                    Ending::Broker(code, reason) => {
                        close(&mut socket, code, reason, WRITE_TIMEOUT).await;
                    }
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
    Broker(CloseCode, Cow<'static, str>),
    /// The producer closed it, or its connection is lost.
    Peer(PeerEnd),
}

impl From<PeerEnd> for Ending {
    fn from(end: PeerEnd) -> Self {
        Self::Peer(end)
    }
}

/// A producer's connection.
struct Connection {
    store: SharedStore,
    metrics: SharedMetrics,
    key: StreamKey,
    /// The connection belongs to this stream, and not to a later one at the key.
    info: StreamInfo,
    lease: LeaseRenewer,
    /// The sequence of the next event.
    producer_sequence: Option<ProducerSequence>,
    strict: Strict,
    hook: PublishHook,
    max_message: usize,
    max_event: usize,
    heartbeat_interval: Duration,
    /// The number of the last signal that the producer has, if it wants signals.
    signals_after: Option<u64>,
    /// Of the limit of producers that wait for signals.
    _permit: Option<ProducerPermit>,
}

impl Connection {
    /// Serves the connection, and returns how it ends.
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
        let (store, key) = (SharedStore::clone(&self.store), self.key.clone());
        let mut feed = (self.signals_after)
            .map(|after| SignalFeed::new(&store, key.clone(), self.info.generation, after));
        let lease = self.lease.known_lease();
        let mut ended = pin!(ended(store, key, self.info.clone(), false, lease));
        self.lease.sign_of_life();
        let mut pong = PendingPong::default();
        let mut ticks = interval_at(
            Instant::now() + self.heartbeat_interval,
            self.heartbeat_interval,
        );
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // A producer that never pauses must delay neither the shutdown nor the ping.
            tokio::select! {
                biased;
                () = &mut closing => {
                    let reason = "The broker is stopping".into();
                    return Err(Ending::Broker(CloseCode::Restart, reason));
                }
                signals = next(&mut feed) => {
                    send(socket, signals.iter().map(signal_message).collect()).await?;
                }
                end = &mut ended => {
                    // The broker first answers each message that it has received.
                    self.write_with_received(socket, Vec::new()).await?;
                    let error = match end {
                        End::NotActive(error) => at(&self.key)(error),
                        End::StopRequested => {
                            let message = "A subscriber asked the producer to stop";
                            ApiError::new(ErrorCode::StopRequested, message)
                        }
                    };
                    // Events that are still on their way get no other answer, and a close frame
                    // can't say how the stream was finished.
                    send(socket, vec![refusal(&error)]).await?;
                    return Err(Ending::Broker(CloseCode::Error, error.message));
                }
                _ = ticks.tick() => heartbeat(socket).await?,
                message = pong.next(socket, WRITE_TIMEOUT) => {
                    let message = message?;
                    // The broker sends the pong before it reads the next message.
                    if message.is_ping() {
                        self.lease.sign_of_life();
                    } else {
                        self.write_with_received(socket, vec![message]).await?;
                    }
                }
            }
        }
    }

    /// Writes these messages together with those that the socket has already received.
    async fn write_with_received(
        &mut self,
        socket: &mut Socket,
        mut messages: Vec<Message>,
    ) -> Result<(), Ending> {
        let end = gather(socket, &mut messages);
        self.write(socket, messages, end).await
    }

    /// Appends the events of these messages and answers each message. `end` is the end of the
    /// connection, if the producer ended it after the messages.
    async fn write(
        &mut self,
        socket: &mut Socket,
        messages: Vec<Message>,
        end: Option<PeerEnd>,
    ) -> Result<(), Ending> {
        if messages.iter().any(Message::is_ping) {
            self.lease.sign_of_life();
        }
        let mut parsed: Vec<Result<ParsedEvent, ApiError>> = messages
            .into_iter()
            .filter_map(|message| self.parse(message))
            .collect();
        let hook_failed = run_hook(&self.hook, &self.key, &mut parsed, self.max_event).await;
        let events: Vec<NewEvent> = parsed
            .iter()
            .flatten()
            .map(|parsed| parsed.event.clone())
            .collect();
        let refusals = parsed.iter().filter_map(|parsed| parsed.as_ref().err());
        let metrics = self.metrics.ingest(Way::WebSocket);
        refusals.for_each(|error| metrics.refuse(error.code.as_str()));
        let appended = self.append(&events).await;
        let close_code = appended
            .as_ref()
            .err()
            .and_then(|error| self.close_code(error));
        let appended = appended.map_err(at(&self.key));
        let answers = answers(&parsed, events.len(), &appended);
        // After the close frame of the producer, RFC 6455 allows only the answer to that.
        if !matches!(end, Some(PeerEnd::Closing)) {
            send(socket, answers).await?;
        }
        match (end, close_code, appended) {
            (Some(end), ..) => Err(end.into()),
            // As with a store that fails: later events would overtake these.
            (None, None, _) if hook_failed && self.producer_sequence.is_some() => {
                let reason = "The broker's script failed".into();
                Err(Ending::Broker(CloseCode::Again, reason))
            }
            (None, Some(code), Err(error)) => Err(Ending::Broker(code, error.message)),
            // The answers report what was not confirmed. The producer may go on.
            _ => Ok(()),
        }
    }

    /// Appends events, and counts those that it wrote.
    async fn append(&mut self, events: &[NewEvent]) -> Result<Option<Appended>, StoreError> {
        if events.is_empty() {
            return Ok(None);
        }
        let producer_sequence = self.producer_sequence.as_ref();
        let appended = self
            .store
            .append(
                &self.key,
                Some(self.info.generation),
                events,
                producer_sequence,
            )
            .await
            .map_err(replaced)?;
        self.lease.wrote();
        count(self.metrics.ingest(Way::WebSocket), events, appended);
        if let Some(producer_sequence) = &mut self.producer_sequence {
            producer_sequence.sequence += events.len() as u64;
        }
        Ok(Some(appended))
    }

    /// The code to close with after this error. None if the producer may go on.
    fn close_code(&self, error: &StoreError) -> Option<CloseCode> {
        match error {
            StoreError::NotActive { .. } => Some(CloseCode::Error),
            _ if self.producer_sequence.is_none() => None,
            // Events that the producer has sent meanwhile would overtake those that the broker
            // could not write.
            StoreError::Unavailable(_) | StoreError::Refused { .. } => Some(CloseCode::Again),
            _ => Some(CloseCode::Error),
        }
    }

    /// The event of a message. None if the message holds no data.
    fn parse(&self, message: Message) -> Option<Result<ParsedEvent, ApiError>> {
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
                format!("The message is not an event: {problem}"),
            )
        };
        let mut members = MemberCheck::new(self.strict);
        let event =
            UncheckedEvent::read(&bytes).and_then(|event| members.check(event, self.max_event));
        Some(
            event
                .map(|event| ParsedEvent {
                    event,
                    ignored: members.take_ignored(),
                })
                .map_err(refuse),
        )
    }
}

/// The next signals. Never resolves without a feed, and after the end of the stream, which the
/// connection learns otherwise. Cancel safe.
async fn next(feed: &mut Option<SignalFeed>) -> Vec<Signal> {
    if let Some(open) = feed
        && let Ok(signals) = open.next().await
    {
        return signals;
    }
    *feed = None;
    pending().await
}
