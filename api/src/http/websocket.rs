//! WebSocket: the upgrade, the limits of a socket, and the end of a connection.

use std::{borrow::Cow, io, pin::Pin, time::Duration};

use futures::{SinkExt, StreamExt, future::BoxFuture};
use rocket::{
    Request, Response, async_trait,
    data::{IoHandler, IoStream},
    response::{self, Responder},
};
use rocket_tungstenite::WebSocketStream;
use rocket_ws::{
    Config, Message, WebSocket,
    frame::{CloseCode, CloseFrame},
    result::Error,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{Instant, timeout, timeout_at},
};
use tungstenite::{error::ProtocolError, protocol::Role};

use crate::bounded::bounded;

/// How long a peer may take to receive the close frame that answers its own close or its violation.
const CLOSE_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the broker reads and drops further bytes after its last frame. A socket that is closed
/// with unread bytes is reset, and a reset may overtake the close frame.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// Bytes that tungstenite buffers before it writes them.
const WRITE_BUFFER: usize = 128 << 10;

/// Room in the write buffer for pongs and frame headers.
const CONTROL_FRAMES: usize = 64 << 10;

/// The most bytes of a close reason. A control frame holds 125 bytes, and the code takes two ([RFC
/// 6455, 5.5](https://www.rfc-editor.org/rfc/rfc6455#section-5.5)). A longer reason would end the
/// connection without a reason.
const MAX_REASON_BYTES: usize = 123;

/// JSON escapes make text at most six times as long: `\u0000`.
pub(super) const MAX_ESCAPE_GROWTH: usize = 6;

/// The WebSocket of a peer.
pub(super) type Socket = WebSocketStream<IoStream>;

type Serve = Box<dyn FnOnce(Socket) -> BoxFuture<'static, ()> + Send>;

/// A response that upgrades the connection to WebSocket, and the function that then serves it.
pub struct WebSocketResponse {
    accept: String,
    config: Config,
    serve: Serve,
}

impl WebSocketResponse {
    /// Upgrades the connection. Messages of the peer have at most `max_message` bytes. Frames for
    /// the peer have at most `max_frame` bytes.
    pub(super) fn new(
        upgrade: &WebSocket,
        max_message: usize,
        max_frame: usize,
        serve: impl FnOnce(Socket) -> BoxFuture<'static, ()> + Send + 'static,
    ) -> Self {
        let config = Config {
            max_message_size: Some(max_message),
            max_frame_size: Some(max_message),
            write_buffer_size: WRITE_BUFFER,
            // A second line of defence: the loops flush each pong before they read again.
            max_write_buffer_size: (WRITE_BUFFER + CONTROL_FRAMES).saturating_add(max_frame),
            ..Config::default()
        };
        Self {
            accept: upgrade.accept_key().to_owned(),
            config,
            serve: Box::new(serve),
        }
    }
}

impl<'r> Responder<'r, 'static> for WebSocketResponse {
    fn respond_to(self, _: &'r Request<'_>) -> response::Result<'static> {
        Response::build()
            .raw_header("Sec-WebSocket-Version", "13")
            .raw_header("Sec-WebSocket-Accept", self.accept.clone())
            .upgrade("websocket", self)
            .ok()
    }
}

#[async_trait]
impl IoHandler for WebSocketResponse {
    async fn io(self: Pin<Box<Self>>, io: IoStream) -> io::Result<()> {
        let Self { config, serve, .. } = *Pin::into_inner(self);
        serve(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await).await;
        Ok(())
    }
}

/// Why the connection of a peer ends.
#[derive(Debug)]
pub(super) enum PeerEnd {
    /// The connection is lost.
    Gone,
    /// The peer no longer reads.
    Stalled,
    /// The peer has sent a close frame.
    Closing,
    /// The peer broke the protocol or a limit. The close frame has this code and reason.
    Violation(CloseCode, &'static str),
}

impl From<&Error> for PeerEnd {
    fn from(error: &Error) -> Self {
        match error {
            Error::Utf8 => Self::Violation(CloseCode::Invalid, "A text message is not UTF-8"),
            Error::Capacity(_) => Self::Violation(CloseCode::Size, "The message is too long"),
            Error::Protocol(
                ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing,
            ) => Self::Gone,
            Error::Protocol(_) => Self::Violation(
                CloseCode::Protocol,
                "The frame breaks the WebSocket protocol",
            ),
            _ => Self::Gone,
        }
    }
}

impl PeerEnd {
    /// Answers a close with the same code (RFC 6455, 5.5.1), or a violation with its code (7.4.1),
    /// and lets the frame arrive. Ends within two seconds, whatever the peer does.
    pub(super) async fn finish(self, socket: &mut Socket) {
        let answer = async {
            match self {
                Self::Gone | Self::Stalled => false,
                // tungstenite has already put the answer into its buffer.
                Self::Closing => socket.flush().await.is_ok(),
                Self::Violation(code, reason) => {
                    let frame = CloseFrame {
                        code,
                        reason: reason.into(),
                    };
                    socket.send(Message::Close(Some(frame))).await.is_ok()
                }
            }
        };
        if let Ok(true) = timeout(CLOSE_ANSWER_TIMEOUT, answer).await {
            linger(socket).await;
        }
    }
}

/// Separates messages from the end of the connection.
pub(super) fn received(message: Option<Result<Message, Error>>) -> Result<Message, PeerEnd> {
    match message {
        Some(Ok(Message::Close(_))) => Err(PeerEnd::Closing),
        Some(Ok(message)) => Ok(message),
        Some(Err(error)) => Err(PeerEnd::from(&error)),
        None => Err(PeerEnd::Gone),
    }
}

/// A pong that the broker has not sent yet.
#[derive(Debug, Default)]
pub(super) struct PendingPong(Option<Instant>);

impl PendingPong {
    /// Receives the next message. tungstenite keeps one pong, and moves it into the write buffer
    /// with the next read. A peer that sends pings and does not read would fill that buffer. The
    /// broker therefore sends each pong, within `write_timeout`, before it reads again. Cancel
    /// safe.
    pub(super) async fn next(
        &mut self,
        socket: &mut Socket,
        write_timeout: Duration,
    ) -> Result<Message, PeerEnd> {
        self.flush(socket, write_timeout).await?;
        let message = received(socket.next().await)?;
        if message.is_ping() {
            self.0 = Some(Instant::now());
        }
        Ok(message)
    }

    /// Sends the pending pong. Cancel safe.
    pub(super) async fn flush(
        &mut self,
        socket: &mut Socket,
        write_timeout: Duration,
    ) -> Result<(), PeerEnd> {
        if let Some(since) = self.0 {
            match timeout_at(since + write_timeout, socket.flush()).await {
                Ok(Ok(())) => self.0 = None,
                Ok(Err(_)) => return Err(PeerEnd::Gone),
                Err(_) => return Err(PeerEnd::Stalled),
            }
        }
        Ok(())
    }
}

/// Sends a close frame ([RFC 6455, 7.1](https://www.rfc-editor.org/rfc/rfc6455#section-7.1)) and
/// waits until the peer has answered it, for `close_timeout` at most.
pub(super) async fn close(
    socket: &mut Socket,
    code: CloseCode,
    reason: impl Into<Cow<'static, str>>,
    close_timeout: Duration,
) {
    let frame = CloseFrame {
        code,
        reason: bounded(reason.into(), MAX_REASON_BYTES),
    };
    let closing = async {
        if socket.send(Message::Close(Some(frame))).await.is_err() {
            return;
        }
        while let Some(message) = socket.next().await {
            if message.is_err() {
                return linger(socket).await;
            }
        }
    };
    let _ = timeout(close_timeout, closing).await;
}

/// Ends the broker's side, then reads and drops further bytes until the peer ends its side, for
/// [`LINGER_TIMEOUT`] at most.
async fn linger(socket: &mut Socket) {
    let io = socket.get_mut();
    let rest = async {
        if io.shutdown().await.is_err() {
            return;
        }
        let mut dropped = [0; 1024];
        while let Ok(1..) = io.read(&mut dropped).await {}
    };
    let _ = timeout(LINGER_TIMEOUT, rest).await;
}
