//! Following streams over WebSocket.

use std::{collections::VecDeque, pin::pin, time::Duration};

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

use super::{Lookout, frames::objects, ops::Op, wish::Wish};
use crate::{
    auth::guard::Client,
    error::{ApiError, ErrorBody},
    feed::{Feed, Reading, Reason, Step},
    metrics::Transport,
    routes::{broker::Broker, params::Upgrade, websocket::close},
};

/// The largest message that a client may send; it has little to say.
const MAX_CLIENT_MESSAGE: usize = 64 << 10;

/// Requests of a client that may wait to be done.
const MAX_OPS: usize = 64;

/// How long a client may take to answer a close: it may have much to read before it comes to it, and a connection that is
/// dropped takes with it what the client has not read.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);

/// Heartbeats that a client may leave unanswered before it counts as gone.
const UNANSWERED: u32 = 3;

/// The shortest time in which it may be found gone, however short the heartbeat.
const SHORTEST_SILENCE: Duration = Duration::from_secs(10);

/// Follows streams over WebSocket, each from its first event kept or from where the client was cut off. The first message is a
/// JSON array of all events so far, then comes one object per event. The client may add streams and drop them.
#[utoipa::path(operation_id = "follow_ws", context_path = "/api", tag = "clients", security(("client_token" = []), ("client_token_query" = [])), params(
    ("key" = Vec<String>, Query, description = "The stream's key; several for several streams"),
    ("last_event_id" = Option<String>, Query, description = "Where to go on: an event's id, or a cursor; also `after`"),
    ("lastEventId" = Option<String>, Query, description = "The same"),
    ("Last-Event-ID" = Option<String>, Header, description = "The same"),
    ("from" = Option<String>, Query, description = "Where to begin otherwise: `start`, `now`, `-N` for the last N events, or an RFC 3339 time"),
    ("events" = Option<String>, Query, description = "Names of wanted events, separated by commas; a `*` at the end stands for any ending"),
    ("wait" = Option<bool>, Query, description = "Wait for streams that are not there yet"),
    ("client_name" = Option<String>, Query, description = "What the client is called in the list of clients: up to 128 bytes"),
    ("tags" = Option<String>, Query, description = "Tags of the client, separated by commas: up to 16 of up to 64 bytes")), responses(
    (status = 101, description = "WebSocket. Closed with 1000 after the stream's end, 1001 after `STREAMER_CLIENT_TIMEOUT` without an event, 1008 when an operator disconnects the client, 1011 when the stream is gone, 1012 when the broker stops, 1013 when the store fails"),
    (status = 400, description = "`missing-parameter`, `invalid-key`, `invalid-event-id`, `invalid-parameter`, `too-many-keys`, `cross-slot`", body = ErrorBody<'static>),
    (status = 401, description = "`unauthorized`, `token-expired`", body = ErrorBody<'static>),
    (status = 403, description = "`forbidden`: the token does not open a stream, or an earlier one at its key; or a browser's page of an origin that is not in `STREAMER_ALLOWED_ORIGINS`", body = ErrorBody<'static>),
    (status = 404, description = "`stream-not-found`", body = ErrorBody<'static>),
    (status = 426, description = "`upgrade-required`: not a WebSocket handshake", body = ErrorBody<'static>),
    (status = 429, description = "`too-many-clients`: of the node, a stream, or the client's address", body = ErrorBody<'static>),
    (status = 503, description = "`store-unavailable`, `shutting-down`", body = ErrorBody<'static>)))]
#[get("/client/ws")]
pub async fn follow(client: Client, wish: Wish, upgrade: Upgrade, broker: Broker<'_>) -> Result<Channel<'static>, ApiError> {
    let wish = wish.streaming()?;
    let lookout = broker.lookout(&client);
    let found = lookout.look(&wish).await?;
    let upgrade = upgrade.required()?;
    let reading = lookout.reading(&wish, found);
    let mut feed = broker.follow(reading, &wish, Transport::Ws, None).await?;
    let config = Config { max_message_size: Some(MAX_CLIENT_MESSAGE), max_frame_size: Some(MAX_CLIENT_MESSAGE), ..Config::default() };
    let silence = (broker.settings.heartbeat * UNANSWERED).max(SHORTEST_SILENCE);
    let stall = broker.settings.client_timeout;
    Ok(upgrade.config(config).channel(move |socket| {
        Box::pin(async move {
            let mut subscription =
                Subscription { socket, lookout, history: History::Pending, ops: VecDeque::new(), unanswered: None, silence, stall };
            if feed.reading().is_caught_up() {
                // With nothing to tell there is no batch to wait for: the empty array goes out at once.
                subscription.history = History::Sent;
                subscription.socket.send(Message::Text("[]".to_owned())).await?;
            }
            feed.close_if_over();
            subscription.run(feed).await;
            Ok(())
        })
    }))
}

/// A client's connection.
struct Subscription {
    socket: DuplexStream,
    lookout: Lookout,
    history: History,
    /// What the client has asked for, in order.
    ops: VecDeque<Op>,
    /// When the first ping was sent after which the client has not said anything. It is asked only when there is nothing else to
    /// send it, so that its silence alone means nothing.
    unanswered: Option<Instant>,
    silence: Duration,
    stall: Duration,
}

/// The array of all events so far. It may be long, and is therefore sent in fragments (RFC 6455, 5.4), batch by batch, as
/// one message: no more than a batch of it is ever in memory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum History {
    /// Not begun.
    Pending,
    /// Its beginning was sent.
    Open,
    /// Complete: events are messages of their own.
    Sent,
}

/// What comes next on a connection.
enum Next {
    Step(Step),
    Op(Op),
    Left,
}

impl Subscription {
    async fn run(mut self, mut feed: Feed) {
        let reason = loop {
            let sent = match self.next(&mut feed).await {
                Next::Left => return,
                Next::Op(op) => {
                    let answer = op.run(&mut feed, &self.lookout).await;
                    feed.close_if_over();
                    in_time(self.stall, feed.dismissed(), self.send(vec![Message::Text(answer)])).await
                }
                Next::Step(Step::Heartbeat) if self.unanswered.is_some_and(|since| since.elapsed() > self.silence) => return,
                Next::Step(Step::Heartbeat) => in_time(self.stall, feed.dismissed(), self.ping()).await,
                Next::Step(Step::Close(reason)) => break reason,
                Next::Step(step) => {
                    let messages = self.messages(feed.reading(), &step);
                    if let Step::Batch(stream, batch) = &step {
                        feed.delivered(*stream, batch, messages.iter().map(Message::len).sum());
                    }
                    in_time(self.stall, feed.dismissed(), self.send(messages)).await
                }
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

    /// What the client asks for, or else the feed's next step. Nothing can be answered within the first array.
    async fn next(&mut self, feed: &mut Feed) -> Next {
        if self.history == History::Sent
            && let Some(op) = self.ops.pop_front()
        {
            return Next::Op(op);
        }
        let mut step = pin!(feed.next());
        loop {
            tokio::select! {
                step = &mut step => return Next::Step(step),
                // A client that asks for more than can be kept is read no further.
                message = self.socket.next(), if self.ops.len() < MAX_OPS => {
                    let Some(Ok(message)) = message else { return Next::Left };
                    self.unanswered = None;
                    match message {
                        Message::Close(_) => return Next::Left,
                        Message::Text(text) => match Op::read(&text) {
                            Some(op) if self.history == History::Sent => return Next::Op(op),
                            op => self.ops.extend(op),
                        },
                        _ => {}
                    }
                }
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

    /// A step as messages, or as a fragment of the first one.
    fn messages(&mut self, reading: &Reading, step: &Step) -> Vec<Message> {
        let items = objects(reading, step, reading.is_keyed());
        let (kind, mut text) = match self.history {
            History::Sent => return items.into_iter().map(Message::Text).collect(),
            History::Pending => (OpData::Text, "[".to_owned() + &items.join(",")),
            History::Open => (OpData::Continue, items.iter().flat_map(|item| [",", item]).collect()),
        };
        let complete = reading.is_caught_up();
        if complete {
            text.push(']');
        }
        // An element must have come before a comma does.
        self.history = match self.history {
            _ if complete => History::Sent,
            History::Pending if items.is_empty() => return Vec::new(),
            _ => History::Open,
        };
        vec![Message::Frame(Frame::message(text.into_bytes(), OpCode::Data(kind), complete))]
    }
}

/// Why nothing more can be sent to a client.
enum Lost {
    Left,
    /// It takes nothing: as good as gone; it may resume.
    Stalled,
}

async fn in_time(
    stall: Duration,
    dismissed: impl Future<Output = ()>,
    sending: impl Future<Output = Result<(), Error>>,
) -> Result<(), Lost> {
    let sent = tokio::select! {
        biased;
        sent = timeout(stall, sending) => sent,
        // Nobody would hear a goodbye.
        () = dismissed => return Err(Lost::Left),
    };
    sent.map_err(|_| Lost::Stalled)?.map_err(|_| Lost::Left)
}

/// Close codes tell a client whether to come back: 1001, 1012 and 1013 say so, 1000 and 1011 say that there is nothing more.
fn farewell(reason: Reason) -> (CloseCode, &'static str) {
    match reason {
        Reason::Ended => (CloseCode::Normal, "The stream has ended"),
        Reason::Gone => (CloseCode::Error, "The stream is gone"),
        Reason::Idle => (CloseCode::Away, "No event for a long time; reconnect to go on waiting"),
        Reason::Shutdown => (CloseCode::Restart, "The broker is stopping; reconnect to go on"),
        Reason::Disconnected => (CloseCode::Policy, "Disconnected by an operator"),
        Reason::StoreUnavailable => (CloseCode::Again, "The store can't be reached; try again later"),
    }
}
