//! Following a stream over WebSocket.

use std::{pin::pin, time::Duration};

use futures::{SinkExt, StreamExt};
use rocket::get;
use rocket_ws::{
    Channel, Config, Message,
    frame::{CloseCode, Frame},
    result::Error,
    stream::DuplexStream,
};
use tokio::time::{Instant, timeout};
use tungstenite::protocol::frame::coding::{Data as OpData, OpCode};

use crate::{
    auth::guard::Client,
    error::{ApiError, ErrorBody},
    event::{EventId, Part},
    feed::{Feed, Reason, Step},
    metrics::Transport,
    routes::{
        broker::Broker,
        params::{Cursor, QueryKey, Upgrade},
        websocket::close,
    },
    store::Batch,
    wire::json,
};

/// The largest message that a client may send; it has nothing to say.
const MAX_CLIENT_MESSAGE: usize = 64 << 10;

/// How long a client may take to answer a close: it may have much to read before it comes to it, and a connection that is
/// dropped takes with it what the client has not read.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);

/// Heartbeats that a client may leave unanswered before it counts as gone.
const UNANSWERED: u32 = 3;

/// The shortest time in which it may be found gone, however short the heartbeat.
const SHORTEST_SILENCE: Duration = Duration::from_secs(10);

/// Follows a stream over WebSocket, from its first event kept or from where the client was cut off. The first message is a
/// JSON array of all events so far, then comes one object per event.
#[utoipa::path(operation_id = "follow_ws", context_path = "/api", tag = "clients", security(("client_token" = []), ("client_token_query" = [])), params(
    ("key" = String, Query, description = "The stream's key"),
    ("last_event_id" = Option<String>, Query, description = "The id after which to go on"),
    ("lastEventId" = Option<String>, Query, description = "The same"),
    ("Last-Event-ID" = Option<String>, Header, description = "The same")), responses(
    (status = 101, description = "WebSocket. Closed with 1000 after the stream's end, 1001 after `STREAMER_CLIENT_TIMEOUT` without an event, 1011 when the stream is gone, 1012 when the broker stops, 1013 when the store fails"),
    (status = 400, description = "`missing-parameter`, `invalid-key`, `invalid-event-id`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`, `token-expired`", body = ErrorBody<'static>),
    (status = 403, description = "`forbidden`: the token is for another stream, or an earlier one at this key; or a browser's page of an origin that is not in `STREAMER_ALLOWED_ORIGINS`", body = ErrorBody<'static>),
    (status = 404, description = "`stream-not-found`", body = ErrorBody<'static>),
    (status = 426, description = "`upgrade-required`: not a WebSocket handshake", body = ErrorBody<'static>),
    (status = 429, description = "`too-many-clients`: of the node, the stream, or the client's address", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`, `shutting-down`", body = ErrorBody<'static>)))]
#[get("/client/ws")]
pub async fn follow(
    client: Client,
    key: QueryKey,
    cursor: Cursor,
    upgrade: Upgrade,
    broker: Broker<'_>,
) -> Result<Channel<'static>, ApiError> {
    let page = broker.look(&client, &key.0, cursor.0).await?;
    let upgrade = upgrade.required()?;
    // With nothing to tell there is no batch to wait for: the empty array goes out at once.
    let nothing_new = page.parts.is_empty() && page.missed.is_none();
    let history = if nothing_new { History::Sent } else { History::Pending { newest: page.info.last } };
    let feed = broker.follow(page, cursor.0.is_some(), Transport::Ws, None).await?;
    let config = Config { max_message_size: Some(MAX_CLIENT_MESSAGE), max_frame_size: Some(MAX_CLIENT_MESSAGE), ..Config::default() };
    let silence = (broker.settings.heartbeat * UNANSWERED).max(SHORTEST_SILENCE);
    let stall = broker.settings.client_timeout;
    Ok(upgrade.config(config).channel(move |socket| {
        Box::pin(async move {
            let mut subscription = Subscription { socket, history, unanswered: None, silence, stall };
            if nothing_new {
                subscription.socket.send(Message::Text("[]".to_owned())).await?;
            }
            subscription.run(feed).await;
            Ok(())
        })
    }))
}

/// A client's connection.
struct Subscription {
    socket: DuplexStream,
    history: History,
    /// When the first ping was sent after which the client has not said anything. It is asked only when there is nothing else to
    /// send it, so that its silence alone means nothing.
    unanswered: Option<Instant>,
    silence: Duration,
    stall: Duration,
}

/// The array of all events so far. It may be long, and is therefore sent in fragments (RFC 6455, 5.4), batch by batch, as
/// one message: no more than a batch of it is ever in memory.
enum History {
    /// Not begun; complete when this event was sent.
    Pending { newest: EventId },
    /// Its beginning was sent.
    Open { newest: EventId },
    /// Complete: events are messages of their own.
    Sent,
}

impl Subscription {
    async fn run(mut self, mut feed: Feed) {
        let reason = loop {
            let Some(step) = self.next_step(&mut feed).await else { return };
            let sent = match step {
                Step::Batch(batch) => {
                    let messages = self.messages(&batch);
                    feed.delivered(&batch, messages.iter().map(Message::len).sum());
                    in_time(self.stall, self.send(messages)).await
                }
                Step::Heartbeat if self.unanswered.is_some_and(|since| since.elapsed() > self.silence) => return,
                Step::Heartbeat => in_time(self.stall, self.ping()).await,
                Step::Close(reason) => break reason,
            };
            match sent {
                Ok(()) => {}
                Err(Lost::Left) => return,
                Err(Lost::Stalled) => return feed.stalled(),
            }
        };
        // The slot is free before the goodbye, for which the client may take its time.
        drop(feed);
        let (code, text) = farewell(reason);
        close(&mut self.socket, code, text, CLOSE_PATIENCE.min(self.stall)).await;
    }

    /// The feed's next step, while whatever the client says is read past; none when it has left.
    async fn next_step(&mut self, feed: &mut Feed) -> Option<Step> {
        let mut step = pin!(feed.next());
        loop {
            tokio::select! {
                step = &mut step => return Some(step),
                message = self.socket.next() => match message {
                    Some(Ok(message)) if !message.is_close() => self.unanswered = None,
                    _ => return None,
                },
            }
        }
    }

    async fn ping(&mut self) -> Result<(), Error> {
        self.unanswered.get_or_insert_with(Instant::now);
        self.socket.send(Message::Ping(Vec::new())).await
    }

    async fn send(&mut self, messages: Vec<Message>) -> Result<(), Error> {
        for message in messages {
            self.socket.feed(message).await?;
        }
        self.socket.flush().await
    }

    /// A batch as messages, or as a fragment of the first one.
    fn messages(&mut self, batch: &Batch) -> Vec<Message> {
        let missed = batch.missed.as_ref().map(json::missed);
        let entries = || batch.parts.iter().flat_map(Part::entries);
        let items = missed.into_iter().chain(entries().map(json::entry));
        let (newest, kind, mut text) = match self.history {
            History::Sent => return items.map(Message::Text).collect(),
            History::Pending { newest } => (newest, OpData::Text, "[".to_owned() + &items.collect::<Vec<_>>().join(",")),
            History::Open { newest } => (newest, OpData::Continue, items.flat_map(|item| [",".to_owned(), item]).collect()),
        };
        let complete = batch.end || entries().last().is_some_and(|entry| entry.id >= newest);
        if complete {
            text.push(']');
        }
        self.history = if complete { History::Sent } else { History::Open { newest } };
        vec![Message::Frame(Frame::message(text.into_bytes(), OpCode::Data(kind), complete))]
    }
}

/// Why nothing more can be sent to a client.
enum Lost {
    Left,
    /// It takes nothing: as good as gone; it may resume.
    Stalled,
}

async fn in_time(stall: Duration, sending: impl Future<Output = Result<(), Error>>) -> Result<(), Lost> {
    timeout(stall, sending).await.map_err(|_| Lost::Stalled)?.map_err(|_| Lost::Left)
}

/// Close codes tell a client whether to come back: 1001, 1012 and 1013 say so, 1000 and 1011 say that there is nothing more.
fn farewell(reason: Reason) -> (CloseCode, &'static str) {
    match reason {
        Reason::Ended => (CloseCode::Normal, "The stream has ended"),
        Reason::Gone => (CloseCode::Error, "The stream is gone"),
        Reason::Idle => (CloseCode::Away, "No event for a long time; reconnect to go on waiting"),
        Reason::Shutdown => (CloseCode::Restart, "The broker is stopping; reconnect to go on"),
        Reason::StoreUnavailable => (CloseCode::Again, "The store can't be reached; try again later"),
    }
}
