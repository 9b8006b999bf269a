//! A subscriber over WebSocket.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream,
    tungstenite::{
        Error, Message, client::IntoClientRequest, http::HeaderValue, protocol::CloseFrame,
    },
};

use super::{TIMEOUT, within};

pub(crate) struct Ws(pub(crate) WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Ws {
    pub(crate) async fn connect(
        url: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, (u16, Value)> {
        let mut request = url.into_client_request().expect("a request");
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(*name, HeaderValue::from_str(value).expect("a header"));
        }
        match within(tokio_tungstenite::connect_async(request)).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => {
                let body = response.body().as_deref().unwrap_or_default();
                Err((
                    response.status().as_u16(),
                    serde_json::from_slice(body).expect("JSON"),
                ))
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
            let message = within(self.0.next()).await;
            if let Some(next) = self.read(message).await {
                return next;
            }
        }
    }

    /// The same, where so much silence, without a ping, counts as a connection that is lost.
    pub(crate) async fn next_unless_silent(
        &mut self,
        silence: Duration,
    ) -> Result<Value, Option<CloseFrame>> {
        while let Ok(message) = timeout(silence, self.0.next()).await {
            if let Some(next) = self.read(message).await {
                return next;
            }
        }
        Err(None)
    }

    /// Nothing where it is no message that counts.
    async fn read(
        &mut self,
        message: Option<Result<Message, Error>>,
    ) -> Option<Result<Value, Option<CloseFrame>>> {
        match message {
            Some(Ok(Message::Text(text))) => Some(Ok(serde_json::from_str(&text).expect("JSON"))),
            Some(Ok(Message::Close(frame))) => {
                // Lets the library answer, as a client does.
                let _ = timeout(TIMEOUT, async {
                    while let Some(Ok(_)) = self.0.next().await {}
                })
                .await;
                Some(Err(frame))
            }
            Some(Ok(_)) => None,
            None | Some(Err(_)) => Some(Err(None)),
        }
    }

    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        match self.next().await {
            Err(frame) => frame.map(|frame| frame.code.into()),
            Ok(message) => panic!("a close, not {message}"),
        }
    }

    /// The close code of a producer's connection whose stream is not active any more. The broker
    /// says that before.
    pub(crate) async fn ended(&mut self) -> Option<u16> {
        let error = self.next().await.expect("the reason");
        assert_eq!(error["code"], "no-active-stream", "{error}");
        self.close_code().await
    }

    /// Everything until the broker closes, the array's elements and single messages alike; and the
    /// close code.
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
