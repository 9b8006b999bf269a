//! A subscriber's connection, which is read frame by frame.

use std::{cell::RefCell, sync::Arc};

use futures::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use crate::{
    api::Api,
    chunked::Chunked,
    error::{Error, Outcome},
    frame::{Frame, drain_blocks, message_frames},
    http::Connection,
    protocol::{Protocol, Request},
    stream::Transport,
};

/// Each thread has one read buffer. One per subscriber would take memory from the measured server.
const SCRATCH: usize = 256 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// How a subscriber connects.
#[derive(Clone, Debug)]
pub(crate) struct ConnectOptions {
    pub(crate) transport: Transport,
    /// The path of the stream.
    pub(crate) path: String,
    /// The size of the system's receive buffer. None for the system's default.
    pub(crate) receive_buffer: Option<u32>,
}

/// An open connection of a subscriber.
pub(crate) enum SubscriberConnection {
    Sse(Box<Sse>),
    Ws(Box<WebSocketStream<TcpStream>>),
}

/// A response of server-sent events.
pub(crate) struct Sse {
    connection: Connection,
    /// None where the body is not chunked, and ends with the connection.
    decoder: Option<Chunked>,
    body: Vec<u8>,
    protocol: Arc<dyn Protocol>,
}

impl SubscriberConnection {
    /// Connects, and reads the headers of the response. Returns None when the stream has no more
    /// events (204).
    pub(crate) async fn open(api: &Api, options: &ConnectOptions) -> Outcome<Option<Self>> {
        let mut connection = Connection::open(api.address, options.receive_buffer).await?;
        if options.transport == Transport::Ws {
            let url = format!("ws://{}{}", api.address, options.path);
            let config = WebSocketConfig::default()
                .read_buffer_size(4 << 10)
                .write_buffer_size(0);
            let (socket, _) =
                client_async_with_config(url, connection.stream, Some(config)).await?;
            return Ok(Some(Self::Ws(Box::new(socket))));
        }
        connection
            .send(
                &Request::get(options.path.clone())
                    .header("Accept", "text/event-stream")
                    .encode(api.address),
            )
            .await?;
        let head = connection.head().await?;
        match head.status {
            200 => {
                let decoder = head.chunked.then(Chunked::new);
                Ok(Some(Self::Sse(Box::new(Sse {
                    connection,
                    decoder,
                    body: Vec::new(),
                    protocol: Arc::clone(&api.protocol),
                }))))
            }
            204 => Ok(None),
            status => Err(Error::Response {
                what: "A subscriber is refused",
                status,
                body: String::from_utf8_lossy(&connection.unread).into_owned(),
            }),
        }
    }

    /// Waits until something arrives. Separate from `take`, so that no lock is held while waiting.
    pub(crate) async fn wait(&mut self) -> Outcome<Arrived> {
        match self {
            Self::Sse(sse) => {
                // Bytes that arrived with the headers are here, not in the socket.
                if sse.connection.unread.is_empty() {
                    sse.connection.stream.readable().await?;
                }
                Ok(Arrived::Bytes)
            }
            Self::Ws(socket) => Ok(Arrived::Message(socket.next().await.transpose()?)),
        }
    }

    /// Calls `each` with the frames that arrived. Returns false at the end of the connection.
    pub(crate) fn take(&mut self, arrived: Arrived, each: impl FnMut(Frame<'_>)) -> Outcome<bool> {
        match (self, arrived) {
            (Self::Sse(sse), Arrived::Bytes) => sse.take(each),
            (Self::Ws(_), Arrived::Message(Some(Message::Text(text)))) => {
                message_frames(&text, each).map_err(|error| {
                    Error::Other(format!("A WebSocket message can't be read: {error}"))
                })?;
                Ok(true)
            }
            (_, arrived) => Ok(!matches!(
                arrived,
                Arrived::Message(None | Some(Message::Close(_)))
            )),
        }
    }
}

impl Sse {
    fn take(&mut self, mut each: impl FnMut(Frame<'_>)) -> Outcome<bool> {
        let Self {
            connection,
            decoder,
            body,
            protocol,
        } = self;
        if connection.unread.is_empty() {
            let open =
                BUFFER.with_borrow_mut(|buffer| match connection.stream.try_read(buffer) {
                    Ok(0) => Ok(false),
                    Ok(size) => decode(decoder.as_mut(), &buffer[..size], body).map(|()| true),
                    // The socket may not be ready after all.
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(true),
                    Err(error) => Err(error.into()),
                })?;
            if !open {
                return Ok(false);
            }
        } else {
            decode(
                decoder.as_mut(),
                &std::mem::take(&mut connection.unread),
                body,
            )?;
        }
        drain_blocks(body, |block| protocol.frames(block, &mut each));
        Ok(!decoder.as_ref().is_some_and(Chunked::is_done))
    }
}

/// What arrived in [`SubscriberConnection::wait`].
pub(crate) enum Arrived {
    /// Bytes of a body, which are still in the socket.
    Bytes,
    /// A message. None at the end of the connection.
    Message(Option<Message>),
}

fn decode(decoder: Option<&mut Chunked>, bytes: &[u8], body: &mut Vec<u8>) -> Outcome<()> {
    let Some(decoder) = decoder else {
        body.extend_from_slice(bytes);
        return Ok(());
    };
    decoder
        .decode(bytes, body)
        .map_err(|_| Error::Other("A stream is not in the chunked coding".to_owned()))
}
