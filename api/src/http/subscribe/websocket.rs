//! Subscribing over WebSocket.

use std::{future::pending, pin::pin, time::Duration};

use futures::{SinkExt, future::BoxFuture};
use rocket::get;
use rocket_ws::{Message, frame::CloseCode, result::Error};
use tokio::time::{Instant, timeout};

use super::{
    commands::{Command, Commands, Lookup, Started},
    documented::{
        EventParams, KeyParams, LimitReached, MetadataParams, ResumeHeader, ResumeParams,
        SubscribeErrors, WaitParams,
    },
    first_message::FirstMessage,
    objects::objects,
    request::SubscribeRequest,
    resolve::Resolver,
};
use crate::{
    http::{
        error::{ApiError, ErrorBody},
        error_responses::UpgradeRequired,
        guards::TokenGrant,
        hooks::SubscribeHook,
        query::Upgrade,
        state::AppState,
        websocket::{MAX_ESCAPE_GROWTH, PeerEnd, PendingPong, Socket, WebSocketResponse, close},
    },
    session::{CloseReason, Output, Session, Subscription},
    telemetry::metrics::Transport,
};

/// The largest message that a subscriber may send: it only sends commands.
const MAX_MESSAGE: usize = 64 << 10;

/// The largest event that a node with other settings may have stored. A larger event is sent if
/// this node's own settings allow it.
const LARGEST_EVENT: usize = 8 << 20;

/// How long a subscriber may take to answer a close frame. It may have much to read before it sees
/// the frame, and what it has not read is lost when the connection is dropped.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Heartbeats that a subscriber may leave unanswered before the broker gives it up.
const MAX_UNANSWERED: u32 = 3;

/// The shortest silence after which the broker gives a subscriber up.
const MIN_SILENCE: Duration = Duration::from_secs(10);

/// Follows streams over WebSocket. Each starts with its oldest stored event, or after the
/// subscriber's position. The first message is a JSON array of all events so far. Then each event
/// is one message, a JSON object. The subscriber may send commands to add and drop streams.
#[utoipa::path(
    operation_id = "follow_ws",
    context_path = "/api",
    tag = "clients",
    security(("client_token" = []), ("client_token_query" = [])),
    params(KeyParams, ResumeParams, ResumeHeader, EventParams, WaitParams, MetadataParams),
    responses(
        (
            status = 101,
            description = "WebSocket. The broker closes it with these codes. 1000: all streams \
                have ended. 1001: no event came for `STREAMER_CLIENT_TIMEOUT`. 1002: a frame \
                breaks the protocol. 1007: a message is not UTF-8. 1008: an operator disconnected \
                the subscriber. 1009: a message is too long. 1011: the streams no longer exist. \
                1012: the broker stops. 1013: the store or the \
                script fails"
        ),
        SubscribeErrors,
        (
            status = 403,
            description = "`forbidden`: the token does not open a stream, is for an earlier stream \
                at its key, or does not permit to read; or the page's origin is not in \
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
    hook: SubscribeHook,
) -> Result<WebSocketResponse, ApiError> {
    let request = request.streaming()?;
    let resolver = state.resolver(&token, hook);
    let streams = resolver.resolve(&request).await?;
    let subscriber = resolver.ask_script(&request).await?;
    let upgrade = upgrade.required()?;
    let subscription = resolver.subscription(&request, streams, subscriber);
    let session = state
        .start_session(subscription, &request, Transport::Ws, None)
        .await?;
    // Besides its event, an object has a key, an id and a name.
    let largest_event = state.settings.max_event.max(LARGEST_EVENT) + 1024;
    let max_frame = FirstMessage::FRAGMENT + MAX_ESCAPE_GROWTH * largest_event;
    let silence = (state.settings.heartbeat * MAX_UNANSWERED).max(MIN_SILENCE);
    let stall = state.settings.client_timeout;
    let serve = move |socket| -> BoxFuture<'static, ()> {
        let connection = Connection {
            socket,
            resolver,
            first_message: FirstMessage::default(),
            commands: Commands::default(),
            lookup: None,
            pong: PendingPong::default(),
            unanswered_since: None,
            silence,
            stall,
        };
        Box::pin(connection.run(session))
    };
    Ok(WebSocketResponse::new(
        &upgrade,
        MAX_MESSAGE,
        max_frame,
        serve,
    ))
}

/// The connection of one subscriber.
struct Connection {
    socket: Socket,
    resolver: Resolver,
    first_message: FirstMessage,
    /// Commands that the subscriber has sent, in order.
    commands: Commands,
    /// The command that waits for its stream.
    lookup: Option<BoxFuture<'static, Lookup>>,
    pong: PendingPong,
    /// When the first ping was sent after which the subscriber has sent nothing. Pings go out only
    /// when there is nothing else to send, so that silence alone means nothing.
    unanswered_since: Option<Instant>,
    silence: Duration,
    /// How long the subscriber may take nothing.
    stall: Duration,
}

/// What happens next on a connection.
enum Next {
    Output(Output),
    /// A command came that can run now.
    Command,
    /// The answer to a command.
    Answer(String),
    /// The stream of a command was looked up.
    Found(Lookup),
    /// The connection is over.
    End(PeerEnd),
}

impl Connection {
    async fn run(mut self, mut session: Session) {
        match self.serve(&mut session).await {
            Ok(reason) => {
                // The permits are free before the close, for which the subscriber may take its
                // time.
                drop(session);
                let (code, text) = close_frame(reason);
                let timeout = CLOSE_TIMEOUT.min(self.stall);
                close(&mut self.socket, code, text, timeout).await;
            }
            Err(end) => {
                if matches!(end, PeerEnd::Stalled) {
                    session.set_stalled();
                }
                drop(session);
                end.finish(&mut self.socket).await;
            }
        }
    }

    /// Serves the subscriber until the broker has a reason to close, or the connection is over.
    async fn serve(&mut self, session: &mut Session) -> Result<CloseReason, PeerEnd> {
        if session.subscription().is_caught_up() {
            // There is no event so far: the empty array goes out at once.
            let array = self.first_message.send_empty();
            self.send(session.disconnected(), vec![array]).await?;
        }
        session.close_if_over();
        loop {
            let messages = match self.next(session).await {
                Next::End(end) => return Err(end),
                Next::Command => continue,
                Next::Answer(answer) => vec![Message::Text(answer)],
                Next::Found(lookup) => {
                    let answer = lookup.finish(session, &self.resolver);
                    vec![Message::Text(answer)]
                }
                Next::Output(Output::Close(reason)) => {
                    let disconnected = session.disconnected();
                    self.complete_first_message(disconnected, reason).await?;
                    return Ok(reason);
                }
                Next::Output(Output::Heartbeat) => {
                    let since = *self.unanswered_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > self.silence {
                        return Err(PeerEnd::Gone);
                    }
                    vec![Message::Ping(Vec::new())]
                }
                Next::Output(output) => {
                    let messages = self.messages(session.subscription(), &output);
                    if let Some((stream, batch)) = output.batch() {
                        let bytes = messages.iter().map(Message::len).sum();
                        session.count_delivery(stream, batch, bytes);
                    }
                    self.send(session.disconnected(), messages).await?;
                    continue;
                }
            };
            self.send(session.disconnected(), messages).await?;
            session.close_if_over();
        }
    }

    /// Completes the first message where the script failed within it. Otherwise a subscriber that
    /// comes back would never get further.
    async fn complete_first_message(
        &mut self,
        disconnected: impl Future<Output = ()>,
        reason: CloseReason,
    ) -> Result<(), PeerEnd> {
        if reason != CloseReason::ScriptFailed || self.first_message.is_complete() {
            return Ok(());
        }
        let rest = self.first_message.fragments(&[], true);
        self.send(disconnected, rest).await
    }

    /// The result of a command, or else the session's next output. Commands wait until the first
    /// message is complete.
    async fn next(&mut self, session: &mut Session) -> Next {
        if self.first_message.is_complete()
            && self.lookup.is_none()
            && let Some(command) = self.commands.pop()
        {
            match command.start(session, &self.resolver) {
                Started::Done(answer) => return Next::Answer(answer),
                Started::Lookup(lookup) => self.lookup = Some(lookup),
            }
        }
        let Self {
            socket,
            commands,
            lookup,
            pong,
            stall,
            ..
        } = self;
        let is_looking_up = lookup.is_some();
        // Updates wait while a command looks up its stream. Otherwise all streams might end before
        // the one that the subscriber has asked for is added.
        let mut output = pin!(async {
            if is_looking_up {
                session.next_without_updates().await
            } else {
                session.next().await
            }
        });
        loop {
            // Not biased: a busy stream must not keep the broker from reading. A subscriber that
            // sends without a pause must not keep it from writing.
            tokio::select! {
                output = &mut output => return Next::Output(output),
                found = next_found(lookup) => {
                    *lookup = None;
                    return Next::Found(found);
                }
                message = receive(socket, pong, *stall, commands.is_full()) => {
                    let message = match message {
                        Ok(message) => message,
                        Err(end) => return Next::End(end),
                    };
                    self.unanswered_since = None;
                    if let Message::Text(text) = message
                        && let Some(command) = Command::read(&text)
                    {
                        commands.push(command);
                        if self.first_message.is_complete() && !is_looking_up {
                            return Next::Command;
                        }
                    }
                }
            }
        }
    }

    /// Sends messages. Fails if the subscriber does not take them in time, or is disconnected
    /// meanwhile.
    async fn send(
        &mut self,
        disconnected: impl Future<Output = ()>,
        messages: Vec<Message>,
    ) -> Result<(), PeerEnd> {
        let socket = &mut self.socket;
        let sending = async {
            for message in messages {
                socket.feed(message).await?;
            }
            socket.flush().await
        };
        let sent: Result<Result<(), Error>, _> = tokio::select! {
            biased;
            sent = timeout(self.stall, sending) => sent,
            // A close frame would not arrive.
            () = disconnected => return Err(PeerEnd::Gone),
        };
        sent.map_err(|_| PeerEnd::Stalled)?
            .map_err(|_| PeerEnd::Gone)
    }

    /// An output as messages, or as fragments of the first message.
    fn messages(&mut self, subscription: &Subscription, output: &Output) -> Vec<Message> {
        let items = objects(subscription, output, subscription.is_keyed());
        if self.first_message.is_complete() {
            return items.into_iter().map(Message::Text).collect();
        }
        self.first_message
            .fragments(&items, subscription.is_caught_up())
    }
}

/// The stream that a command has looked up. Cancel safe.
async fn next_found(lookup: &mut Option<BoxFuture<'static, Lookup>>) -> Lookup {
    match lookup {
        Some(lookup) => lookup.await,
        None => pending().await,
    }
}

/// The next message of the subscriber. While no more commands fit, it reads none, but still answers
/// a ping. Cancel safe.
async fn receive(
    socket: &mut Socket,
    pong: &mut PendingPong,
    timeout: Duration,
    is_full: bool,
) -> Result<Message, PeerEnd> {
    if is_full {
        pong.flush(socket, timeout).await?;
        return pending().await;
    }
    pong.next(socket, timeout).await
}

/// The close code and its text. After 1001, 1012 and 1013 a subscriber should reconnect. After 1000
/// and 1011 there is nothing more.
fn close_frame(reason: CloseReason) -> (CloseCode, &'static str) {
    match reason {
        CloseReason::Ended => (CloseCode::Normal, "The stream has ended"),
        CloseReason::Deleted => (CloseCode::Error, "The stream no longer exists"),
        CloseReason::Idle => (
            CloseCode::Away,
            "No event for a long time; reconnect to resume",
        ),
        CloseReason::Shutdown => (
            CloseCode::Restart,
            "The broker is stopping; reconnect to resume",
        ),
        CloseReason::Disconnected => (CloseCode::Policy, "Disconnected by an operator"),
        CloseReason::ScriptFailed => (
            CloseCode::Again,
            "The broker's script failed; try again later",
        ),
        CloseReason::StoreUnavailable => (
            CloseCode::Again,
            "The broker can't reach the store; try again later",
        ),
    }
}
