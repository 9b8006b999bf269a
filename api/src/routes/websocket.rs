//! What the WebSocket routes share.

use std::{borrow::Cow, time::Duration};

use futures::{SinkExt, StreamExt};
use rocket_ws::{
    Message,
    frame::{CloseCode, CloseFrame},
    stream::DuplexStream,
};
use tokio::time::timeout;

/// Says why the connection ends ([RFC 6455, 7.1](https://www.rfc-editor.org/rfc/rfc6455#section-7.1)) and waits, for a
/// while, for the other side to have heard.
pub(super) async fn close(socket: &mut DuplexStream, code: CloseCode, reason: impl Into<Cow<'static, str>>, patience: Duration) {
    let frame = CloseFrame { code, reason: reason.into() };
    let goodbye = async {
        // A client that has left needs no goodbye.
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = timeout(patience, goodbye).await;
}
