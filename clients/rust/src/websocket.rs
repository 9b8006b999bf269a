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

use crate::{Error, life::Life};

type Heard = Box<dyn FnMut(&[u8]) + Send>;

pub(crate) type Socket = WebSocketStream<InspectReader<Upgraded, Heard>>;

/// Upgrades the request's connection. What is heard over it is noted.
pub(crate) async fn connect(request: RequestBuilder, life: &Arc<Life>) -> Result<Socket, Error> {
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
    let life = Arc::clone(life);
    let heard: Heard = Box::new(move |_| life.note());
    let stream = InspectReader::new(response.upgrade().await?, heard);
    // All events so far come as one message, however many they are.
    let config = WebSocketConfig::default()
        .max_message_size(None)
        .max_frame_size(None);
    Ok(WebSocketStream::from_raw_socket(stream, Role::Client, Some(config)).await)
}

/// What a message comes to.
pub(crate) enum Said {
    Text(Utf8Bytes),
    /// A sign of life.
    Ping,
    /// The connection was closed as the protocol's normal end.
    End,
}

/// The text of the next message that has one; None: the connection was closed as the protocol's
/// normal end.
pub(crate) async fn next_text<S>(messages: &mut S) -> Result<Option<Utf8Bytes>, Error>
where
    S: Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
{
    loop {
        match next(messages).await? {
            Said::Text(text) => return Ok(Some(text)),
            Said::Ping => {}
            Said::End => return Ok(None),
        }
    }
}

/// What the next message comes to.
pub(crate) async fn next<S>(messages: &mut S) -> Result<Said, Error>
where
    S: Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
{
    while let Some(message) = messages.next().await {
        match message.map_err(Error::unreachable)? {
            Message::Text(text) => return Ok(Said::Text(text)),
            Message::Ping(_) => return Ok(Said::Ping),
            Message::Close(Some(CloseFrame {
                code: CloseCode::Normal,
                ..
            })) => return Ok(Said::End),
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
