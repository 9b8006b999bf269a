//! WebSocket connections, over reqwest's.

use std::sync::Arc;

use futures::{Stream, StreamExt};
use reqwest::{
    RequestBuilder, StatusCode, Upgraded,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self, Message, Utf8Bytes,
        handshake::{client::generate_key, derive_accept_key},
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};
use tokio_util::io::InspectReader;

use crate::{Error, liveness::Liveness};

type OnBytes = Box<dyn FnMut(&[u8]) + Send>;

pub(crate) type Socket = WebSocketStream<InspectReader<Upgraded, OnBytes>>;

/// Connects, and upgrades the connection to WebSocket. `liveness` records each byte that arrives.
pub(crate) async fn connect(
    request: RequestBuilder,
    liveness: &Arc<Liveness>,
) -> Result<Socket, Error> {
    let key = generate_key();
    let handshake = [
        (CONNECTION, "Upgrade"),
        (UPGRADE, "websocket"),
        (SEC_WEBSOCKET_VERSION, "13"),
        (SEC_WEBSOCKET_KEY, &key),
    ];
    let response = handshake
        .into_iter()
        .fold(request, |request, (name, value)| {
            request.header(name, value)
        })
        .send()
        .await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Error::from_response(response).await);
    }
    if response
        .headers()
        .get(SEC_WEBSOCKET_ACCEPT)
        .is_none_or(|accept| accept != derive_accept_key(key.as_bytes()).as_str())
    {
        return Err(Error::InvalidAnswer(
            "the handshake is not a WebSocket's".to_owned(),
        ));
    }
    let liveness = Arc::clone(liveness);
    let on_bytes: OnBytes = Box::new(move |_| liveness.record());
    let stream = InspectReader::new(response.upgrade().await?, on_bytes);
    // The broker sends all events so far as one message, however many there are.
    let config = WebSocketConfig::default()
        .max_message_size(None)
        .max_frame_size(None);
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await)
}

/// A message, as far as the client has a use for it.
pub(crate) enum Incoming {
    Text(Utf8Bytes),
    /// A heartbeat.
    Ping,
    /// The broker closed the connection with the protocol's normal code.
    End,
}

/// The text of the next message that has one. None when the broker closed the connection with the
/// protocol's normal code.
pub(crate) async fn next_text<S>(messages: &mut S) -> Result<Option<Utf8Bytes>, Error>
where
    S: Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
{
    loop {
        match next(messages).await? {
            Incoming::Text(text) => return Ok(Some(text)),
            Incoming::Ping => {}
            Incoming::End => return Ok(None),
        }
    }
}

/// The next message that the client has a use for.
pub(crate) async fn next<S>(messages: &mut S) -> Result<Incoming, Error>
where
    S: Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
{
    while let Some(message) = messages.next().await {
        match message.map_err(Error::unreachable)? {
            Message::Text(text) => return Ok(Incoming::Text(text)),
            Message::Ping(_) => return Ok(Incoming::Ping),
            Message::Close(Some(CloseFrame {
                code: CloseCode::Normal,
                ..
            })) => return Ok(Incoming::End),
            Message::Close(Some(CloseFrame {
                code: CloseCode::Policy,
                reason,
            })) => {
                return Err(Error::refused("disconnected-by-operator", reason.as_str()));
            }
            Message::Close(Some(CloseFrame { code, reason })) => {
                return Err(Error::unreachable(format!(
                    "the WebSocket was closed with {code}: {reason}"
                )));
            }
            _ => {}
        }
    }
    Err(Error::unreachable("the connection was closed early"))
}
