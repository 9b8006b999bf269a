//! Following streams over WebSocket.

use std::{future::pending, pin::pin, time::Duration};

use futures::{SinkExt, future::BoxFuture};
use rocket::get;
use rocket_ws::{
    Message,
    frame::{CloseCode, Frame},
    result::Error,
};
use tokio::time::{Instant, timeout};
use tungstenite::protocol::frame::coding::{Data as OpData, OpCode};

use super::{
    body::objects,
    commands::{Begun, Command, Commands, Looked},
    documented::{
        LimitReached, ResumeHeader, ResumeParams, SubscribeErrors, SubscribeParams, WaitParams,
    },
    request::SubscribeRequest,
    resolve::Resolver,
};
use crate::{
    http::{
        error::{ApiError, ErrorBody},
        error_responses::UpgradeRequired,
        guards::TokenGrant,
        query::Upgrade,
        state::AppState,
        websocket::{MAX_ESCAPE_GROWTH, PeerEnd, PendingPong, Socket, WebSocketResponse, close},
    },
    session::{CloseReason, Session, Step, Subscription},
    telemetry::metrics::Transport,
};

/// The largest message that a client may send; it has little to say.
const MAX_CLIENT_MESSAGE: usize = 64 << 10;

/// Bytes of a fragment of the first message after which the next event is in another fragment.
const FRAGMENT: usize = 256 << 10;

/// The largest event that a node may have stored that has other settings. Larger ones are sent
/// where this node takes them, too.
const LARGEST_EVENT: usize = 8 << 20;

/// How long a client may take to answer a close: it may have much to read before it comes to it,
/// and a connection that is dropped takes with it what the client has not read.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);

/// Heartbeats that a client may leave unanswered before it counts as gone.
const UNANSWERED: u32 = 3;

/// The shortest time in which it may be found gone, however short the heartbeat.
const SHORTEST_SILENCE: Duration = Duration::from_secs(10);

/// Follows streams over WebSocket, each from its first event kept or from where the client was cut
/// off. The first message is a JSON array of all events so far, then comes one object per event.
/// The client may add streams and drop them.
#[utoipa::path(
    operation_id = "follow_ws",
    context_path = "/api",
    tag = "clients",
    security(("client_token" = []), ("client_token_query" = [])),
    params(SubscribeParams, WaitParams, ResumeHeader, ResumeParams),
    responses(
        (
            status = 101,
            description = "WebSocket. Closed with 1000 after the stream's end, 1001 after \
                `STREAMER_CLIENT_TIMEOUT` without an event, 1002, 1007 or 1009 when a frame breaks \
                the protocol, is not UTF-8 or is too long, 1008 when an operator disconnects the \
                client, 1011 when the stream no longer exists, 1012 when the broker stops, 1013 \
                when the store fails"
        ),
        SubscribeErrors,
        (
            status = 403,
            description = "`forbidden`: the token does not open a stream, or is bound to an \
                earlier one at its key; or a browser's page of an origin that is not in \
                `STREAMER_ALLOWED_ORIGINS`",
            body = ErrorBody<'static>
        ),
        UpgradeRequired,
        LimitReached,
    )
)]
#[get("/client/ws")]
pub async fn follow(
    token: TokenGrant,
    request: SubscribeRequest,
    upgrade: Upgrade,
    state: AppState<'_>,
) -> Result<WebSocketResponse, ApiError> {
    let request = request.streaming()?;
    let resolver = state.resolver(&token);
    let found = resolver.resolve(&request).await?;
    let upgrade = upgrade.required()?;
    let subscription = resolver.subscription(&request, found);
    let session = state
        .follow(subscription, &request, Transport::Ws, None)
        .await?;
    // Beside its event an object has a key, an id and a name.
    let max_frame =
        FRAGMENT + MAX_ESCAPE_GROWTH * (state.settings.max_event.max(LARGEST_EVENT) + 1024);
    let silence = (state.settings.heartbeat * UNANSWERED).max(SHORTEST_SILENCE);
    let stall = state.settings.client_timeout;
    Ok(WebSocketResponse::new(
        &upgrade,
        MAX_CLIENT_MESSAGE,
        max_frame,
        move |socket| {
            Box::pin(async move {
                let connection = Connection {
                    socket,
                    resolver,
                    history: History::Pending,
                    commands: Commands::default(),
                    looking: None,
                    pong: PendingPong::default(),
                    unanswered: None,
                    silence,
                    stall,
                };
                connection.run(session).await;
            })
        },
    ))
}

/// A client's connection.
struct Connection {
    socket: Socket,
    resolver: Resolver,
    history: History,
    /// What the client has asked for, in order.
    commands: Commands,
    /// The command that runs.
    looking: Option<BoxFuture<'static, Looked>>,
    pong: PendingPong,
    /// When the first ping was sent after which the client has not said anything. It is asked only
    /// when there is nothing else to send it, so that its silence alone means nothing.
    unanswered: Option<Instant>,
    silence: Duration,
    /// How long the client may take nothing.
    stall: Duration,
}

/// The array of all events so far. It may be long, and is therefore sent in fragments (RFC 6455,
/// 5.4), batch by batch, as one message: no more than a batch of it is ever in memory.
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
    /// A command came that can be done now.
    Command,
    /// The answer to a command.
    Answer(String),
    /// The stream was looked for that a command names.
    Looked(Looked),
    Peer(PeerEnd),
}

impl Connection {
    async fn run(mut self, mut session: Session) {
        match self.serve(&mut session).await {
            Ok(reason) => {
                // The slot is free before the goodbye, for which the client may take its time.
                drop(session);
                let (code, text) = farewell(reason);
                close(&mut self.socket, code, text, CLOSE_PATIENCE.min(self.stall)).await;
            }
            Err(end) => {
                if matches!(end, PeerEnd::Stalled) {
                    session.stalled();
                }
                drop(session);
                end.finish(&mut self.socket).await;
            }
        }
    }

    /// Serves the client until the broker has a reason to close, or the client is gone.
    async fn serve(&mut self, session: &mut Session) -> Result<CloseReason, PeerEnd> {
        if session.subscription().is_caught_up() {
            // With nothing to tell there is no batch to wait for: the empty array goes out at once.
            self.history = History::Sent;
            in_time(
                self.stall,
                session.dismissed(),
                self.send(vec![Message::Text("[]".to_owned())]),
            )
            .await?;
        }
        session.close_if_over();
        loop {
            let messages = match self.next(session).await {
                Next::Peer(end) => return Err(end),
                Next::Command => continue,
                Next::Answer(answer) => vec![Message::Text(answer)],
                Next::Looked(looked) => vec![Message::Text(looked.finish(session, &self.resolver))],
                Next::Step(Step::Heartbeat)
                    if self
                        .unanswered
                        .is_some_and(|since| since.elapsed() > self.silence) =>
                {
                    return Err(PeerEnd::Gone);
                }
                Next::Step(Step::Heartbeat) => {
                    self.unanswered.get_or_insert_with(Instant::now);
                    vec![Message::Ping(Vec::new())]
                }
                Next::Step(Step::Close(reason)) => return Ok(reason),
                Next::Step(step) => {
                    let messages = self.messages(session.subscription(), &step);
                    if let Step::Batch(stream, batch) = &step {
                        session.delivered(*stream, batch, messages.iter().map(Message::len).sum());
                    }
                    in_time(self.stall, session.dismissed(), self.send(messages)).await?;
                    continue;
                }
            };
            in_time(self.stall, session.dismissed(), self.send(messages)).await?;
            session.close_if_over();
        }
    }

    /// What a command comes to, or else the feed's next step. Nothing can be answered within the
    /// first array.
    async fn next(&mut self, session: &mut Session) -> Next {
        if self.history == History::Sent
            && self.looking.is_none()
            && let Some(command) = self.commands.pop()
        {
            match command.begin(session, &self.resolver) {
                Begun::Done(answer) => return Next::Answer(answer),
                Begun::Looking(looking) => self.looking = Some(looking),
            }
        }
        let Self {
            socket,
            commands,
            looking,
            pong,
            stall,
            ..
        } = self;
        let is_looking = looking.is_some();
        // Streams wait for the command before which their events would come: they may all end, and
        // the client have asked for more.
        let mut step = pin!(async {
            if is_looking {
                session.interrupted().await
            } else {
                session.next().await
            }
        });
        loop {
            tokio::select! {
                step = &mut step => return Next::Step(step),
                looked = async { match looking { Some(looking) => looking.await, None => pending().await } } => {
                    *looking = None;
                    return Next::Looked(looked);
                }
                message = hear(socket, pong, *stall, commands.is_full()) => {
                    let message = match message {
                        Ok(message) => message,
                        Err(end) => return Next::Peer(end),
                    };
                    self.unanswered = None;
                    if let Message::Text(text) = message && let Some(command) = Command::read(&text) {
                        commands.push(command);
                        if self.history == History::Sent && !is_looking {
                            return Next::Command;
                        }
                    }
                }
            }
        }
    }

    async fn send(&mut self, messages: Vec<Message>) -> Result<(), Error> {
        for message in messages {
            self.socket.feed(message).await?;
        }
        self.socket.flush().await
    }

    /// A step as messages, or as fragments of the first one.
    fn messages(&mut self, subscription: &Subscription, step: &Step) -> Vec<Message> {
        let items = objects(subscription, step, subscription.is_keyed());
        if self.history == History::Sent {
            return items.into_iter().map(Message::Text).collect();
        }
        let is_complete = subscription.is_caught_up();
        let messages = fragments(&items, self.history == History::Pending, is_complete);
        if is_complete {
            self.history = History::Sent;
        } else if !messages.is_empty() {
            self.history = History::Open;
        }
        messages
    }
}

/// Elements of the first array as fragments of its message. None where it neither begins nor ends.
fn fragments(items: &[String], is_first: bool, is_complete: bool) -> Vec<Message> {
    if items.is_empty() && !is_complete {
        return Vec::new();
    }
    let mut texts = Vec::with_capacity(1);
    let mut text = String::new();
    let mut lead = if is_first { "[" } else { "," };
    if is_first && items.is_empty() {
        text.push('[');
    }
    for item in items {
        if text.len() >= FRAGMENT {
            texts.push(std::mem::take(&mut text));
        }
        text.push_str(lead);
        text.push_str(item);
        lead = ",";
    }
    if is_complete {
        text.push(']');
    }
    texts.push(text);
    let last = texts.len() - 1;
    let frame = |(index, text): (usize, String)| {
        let kind = if is_first && index == 0 {
            OpData::Text
        } else {
            OpData::Continue
        };
        Message::Frame(Frame::message(
            text.into_bytes(),
            OpCode::Data(kind),
            is_complete && index == last,
        ))
    };
    texts.into_iter().enumerate().map(frame).collect()
}

/// What the client says. Where no more can be kept it is read no further, but a ping is answered.
/// Cancel safe.
async fn hear(
    socket: &mut Socket,
    pong: &mut PendingPong,
    patience: Duration,
    is_full: bool,
) -> Result<Message, PeerEnd> {
    if is_full {
        pong.flush(socket, patience).await?;
        return pending().await;
    }
    pong.next(socket, patience).await
}

async fn in_time(
    stall: Duration,
    dismissed: impl Future<Output = ()>,
    sending: impl Future<Output = Result<(), Error>>,
) -> Result<(), PeerEnd> {
    let sent = tokio::select! {
        biased;
        sent = timeout(stall, sending) => sent,
        // Nobody would hear a goodbye.
        () = dismissed => return Err(PeerEnd::Gone),
    };
    sent.map_err(|_| PeerEnd::Stalled)?
        .map_err(|_| PeerEnd::Gone)
}

/// Close codes tell a client whether to come back: 1001, 1012 and 1013 say so, 1000 and 1011 say
/// that there is nothing more.
fn farewell(reason: CloseReason) -> (CloseCode, &'static str) {
    match reason {
        CloseReason::Ended => (CloseCode::Normal, "The stream has ended"),
        CloseReason::Gone => (CloseCode::Error, "The stream is gone"),
        CloseReason::Idle => (
            CloseCode::Away,
            "No event for a long time; reconnect to go on waiting",
        ),
        CloseReason::Shutdown => (
            CloseCode::Restart,
            "The broker is stopping; reconnect to go on",
        ),
        CloseReason::Disconnected => (CloseCode::Policy, "Disconnected by an operator"),
        CloseReason::StoreUnavailable => (
            CloseCode::Again,
            "The store can't be reached; try again later",
        ),
    }
}
