//! A WebSocket server that a test controls.

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async,
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        protocol::{CloseFrame, frame::coding::CloseCode},
    },
};

use super::within;

pub(crate) struct WebSocketServer {
    listener: TcpListener,
}

/// A connection, and the request that opened it.
pub(crate) struct ServerConnection {
    pub(crate) socket: WebSocketStream<TcpStream>,
    pub(crate) request: Request,
}

impl WebSocketServer {
    pub(crate) async fn start() -> Self {
        Self {
            listener: TcpListener::bind("127.0.0.1:0").await.expect("a port"),
        }
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().expect("an address").to_string()
    }

    pub(crate) async fn accept(&self) -> ServerConnection {
        let (stream, _) = within(self.listener.accept()).await.expect("a connection");
        let mut request = None;
        #[allow(clippy::result_large_err, reason = "the library's signature")]
        let note = |opened: &Request, response: Response| -> Result<Response, ErrorResponse> {
            request = Some(opened.clone());
            Ok(response)
        };
        let socket = within(accept_hdr_async(stream, note))
            .await
            .expect("a handshake");
        ServerConnection {
            socket,
            request: request.expect("a request"),
        }
    }
}

impl ServerConnection {
    pub(crate) async fn send(&mut self, text: &str) {
        self.socket
            .send(Message::text(text))
            .await
            .expect("it is sent");
    }

    /// The next message.
    pub(crate) async fn json(&mut self) -> Value {
        let message = within(self.socket.next())
            .await
            .expect("a message")
            .expect("no error");
        serde_json::from_slice(&message.into_data()).expect("JSON")
    }

    pub(crate) fn query(&self, name: &str) -> String {
        let query = self.request.uri().query().expect("a query");
        query
            .split('&')
            .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
            .expect("the parameter")
            .to_owned()
    }

    pub(crate) async fn close(mut self, code: u16) {
        self.socket
            .close(Some(CloseFrame {
                code: CloseCode::from(code),
                reason: "as the test has it".into(),
            }))
            .await
            .expect("it is closed");
    }
}
