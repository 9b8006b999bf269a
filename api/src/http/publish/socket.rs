//! What goes over a producer's WebSocket: pings, answers, and the messages that wait there.

use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use rocket_ws::Message;
use tokio::time::timeout;

use super::append::{MAX_BYTES, MAX_EVENTS};
use crate::http::websocket::{PeerEnd, Socket, received};

/// How long the producer may take to read an answer, or to answer a close.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// Sends a ping.
pub(super) async fn heartbeat(socket: &mut Socket) -> Result<(), PeerEnd> {
    let ping = timeout(WRITE_TIMEOUT, socket.send(Message::Ping(Vec::new())));
    ping.await
        .map_err(|_| PeerEnd::Stalled)?
        .map_err(|_| PeerEnd::Gone)
}

/// Sends the answers, together.
pub(super) async fn send(socket: &mut Socket, answers: Vec<String>) -> Result<(), PeerEnd> {
    let sending = async {
        for answer in answers {
            socket.feed(Message::Text(answer)).await?;
        }
        socket.flush().await
    };
    timeout(WRITE_TIMEOUT, sending)
        .await
        .map_err(|_| PeerEnd::Stalled)?
        .map_err(|_| PeerEnd::Gone)
}

/// Adds the messages that the socket has already received, so that one append writes them together.
/// Returns the end of the connection, if the producer ended it after them: a socket reports its end
/// only once.
pub(super) fn gather(socket: &mut Socket, messages: &mut Vec<Message>) -> Option<PeerEnd> {
    let mut bytes = messages.iter().map(Message::len).sum::<usize>();
    while messages.len() < MAX_EVENTS && bytes < MAX_BYTES {
        match received(socket.next().now_or_never()?) {
            Ok(message) => {
                let is_ping = message.is_ping();
                bytes += message.len();
                messages.push(message);
                // The broker sends its pong, with the answers, before it reads the next message.
                if is_ping {
                    return None;
                }
            }
            Err(end) => return Some(end),
        }
    }
    None
}
