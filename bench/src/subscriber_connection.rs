//! One client's connection: opened, and read frame by frame.

use std::{cell::RefCell, sync::Arc};

use futures::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use crate::{
    api::{Api, Transport},
    chunked::Chunked,
    dialect::{Dialect, Request},
    frame::{Frame, drain_blocks, message_frames},
    http::Connection,
    problem::{Outcome, Problem},
};

/// Read buffers belong to threads: thousands of clients would not leave room for what is measured.
const SCRATCH: usize = 256 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// What a client opens.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) transport: Transport,
    /// Where to follow, and whatever it is.
    pub(crate) path: String,
    /// The size of the system's buffer for this connection; none for the system's own choice.
    pub(crate) receive_buffer: Option<u32>,
}

/// An open connection.
pub(crate) enum Client {
    Sse(Box<Sse>),
    Ws(Box<WebSocketStream<TcpStream>>),
}

/// An answer that goes on.
pub(crate) struct Sse {
    connection: Connection,
    /// None where the body is as it comes, until the connection ends.
    decoder: Option<Chunked>,
    body: Vec<u8>,
    dialect: Arc<dyn Dialect>,
}

impl Client {
    /// Connects and reads the answer's head. No client means that the stream has nothing more for
    /// it (204).
    pub(crate) async fn open(api: &Api, opening: &Opening) -> Outcome<Option<Self>> {
        let mut connection = Connection::open(api.address, opening.receive_buffer).await?;
        if opening.transport == Transport::Ws {
            let url = format!("ws://{}{}", api.address, opening.path);
            let config = WebSocketConfig::default()
                .read_buffer_size(4 << 10)
                .write_buffer_size(0);
            let (socket, _) =
                client_async_with_config(url, connection.stream, Some(config)).await?;
            return Ok(Some(Self::Ws(Box::new(socket))));
        }
        connection
            .send(
                &Request::get(opening.path.clone())
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
                    dialect: Arc::clone(&api.dialect),
                }))))
            }
            204 => Ok(None),
            status => Err(Problem::Answer {
                what: "A client is refused",
                status,
                body: String::from_utf8_lossy(&connection.unread).into_owned(),
            }),
        }
    }

    /// Waits until there is something to take. Apart from the taking, so that locks taken there are
    /// not held while waiting.
    pub(crate) async fn wait(&mut self) -> Outcome<Arrived> {
        match self {
            Self::Sse(sse) => {
                // What came along with the head waits here, not in the socket.
                if sse.connection.unread.is_empty() {
                    sse.connection.stream.readable().await?;
                }
                Ok(Arrived::Bytes)
            }
            Self::Ws(socket) => Ok(Arrived::Message(socket.next().await.transpose()?)),
        }
    }

    /// Hands the frames in what arrived to `each`. False at the end of the connection.
    pub(crate) fn take(&mut self, arrived: Arrived, each: impl FnMut(Frame<'_>)) -> Outcome<bool> {
        match (self, arrived) {
            (Self::Sse(sse), Arrived::Bytes) => sse.take(each),
            (Self::Ws(_), Arrived::Message(Some(Message::Text(text)))) => {
                message_frames(&text, each).map_err(|error| {
                    Problem::Other(format!("A WebSocket message can't be read: {error}"))
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
            dialect,
        } = self;
        if connection.unread.is_empty() {
            let open =
                BUFFER.with_borrow_mut(|buffer| match connection.stream.try_read(buffer) {
                    Ok(0) => Ok(false),
                    Ok(size) => decode(decoder.as_mut(), &buffer[..size], body).map(|()| true),
                    // Readiness may be a false alarm.
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
        drain_blocks(body, |block| dialect.frames(block, &mut each));
        Ok(!decoder.as_ref().is_some_and(Chunked::is_done))
    }
}

/// What [`Client::wait`] waited for.
pub(crate) enum Arrived {
    /// Bytes of a body, still to be read.
    Bytes,
    /// A message, or the end.
    Message(Option<Message>),
}

fn decode(decoder: Option<&mut Chunked>, bytes: &[u8], body: &mut Vec<u8>) -> Outcome<()> {
    let Some(decoder) = decoder else {
        body.extend_from_slice(bytes);
        return Ok(());
    };
    decoder
        .decode(bytes, body)
        .map_err(|_| Problem::Other("A stream is not in the chunked coding".to_owned()))
}
