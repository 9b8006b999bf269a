//! A client over WebSocket.

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue, protocol::CloseFrame},
};

use super::within;

pub(crate) struct Ws(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Ws {
    pub(crate) async fn connect(url: &str, headers: &[(&'static str, &str)]) -> Result<Self, (u16, Value)> {
        let mut request = url.into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, HeaderValue::from_str(value).expect("a header"));
        }
        match within(tokio_tungstenite::connect_async(request)).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                Err((response.status().as_u16(), serde_json::from_slice(body).expect("JSON")))
            }
            Err(error) => panic!("a WebSocket: {error}"),
        }
    }

    pub(crate) async fn send(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).await.expect("sent");
    }

    /// The next message as JSON; how the broker closed, where it did.
    pub(crate) async fn next(&mut self) -> Result<Value, Option<CloseFrame>> {
        loop {
            match within(self.0.next()).await {
                Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).expect("JSON")),
                Some(Ok(Message::Close(frame))) => {
                    // Lets the library answer, as a client does.
                    while let Some(Ok(_)) = self.0.next().await {}
                    return Err(frame);
                }
                Some(Ok(_)) => {}
                None | Some(Err(_)) => return Err(None),
            }
        }
    }

    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        match self.next().await {
            Err(frame) => frame.map(|frame| frame.code.into()),
            Ok(message) => panic!("a close, not {message}"),
        }
    }

    /// Everything until the broker closes, the array's elements and single messages alike; and the close code.
    pub(crate) async fn rest(mut self) -> (Vec<Value>, Option<u16>) {
        let mut events = Vec::new();
        loop {
            match self.next().await {
                Ok(Value::Array(array)) => events.extend(array),
                Ok(event) => events.push(event),
                Err(frame) => return (events, frame.map(|frame| frame.code.into())),
            }
        }
    }
}
