//! One client's connection: opened, and read frame by frame.

use std::cell::RefCell;

use futures::StreamExt;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async_with_config,
    tungstenite::{Message, protocol::WebSocketConfig},
};

use crate::{
    api::{Api, Stream, Transport},
    chunked::Chunked,
    frame::{Frame, Id, drain_frames, message_frames},
    http::Connection,
    problem::{Outcome, Problem},
};

/// Read buffers belong to threads: thousands of clients would not leave room for what is measured.
const SCRATCH: usize = 256 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; SCRATCH]);
}

/// How a stream is to be opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    pub(crate) transport: Transport,
    /// Go on from here.
    pub(crate) after: Option<Id>,
    /// The size of the system's buffer for this connection; none for the system's own choice.
    pub(crate) receive_buffer: Option<u32>,
}

/// An open connection.
pub(crate) enum Client {
    Sse { connection: Connection, decoder: Chunked, body: Vec<u8> },
    Ws(Box<WebSocketStream<TcpStream>>),
}

impl Client {
    /// Connects and reads the answer's head. No client means that the stream has nothing more for it (204).
    pub(crate) async fn open(api: &Api, stream: &Stream, opening: Opening) -> Outcome<Option<Self>> {
        let mut connection = Connection::open(api.address, opening.receive_buffer).await?;
        if opening.transport == Transport::Ws {
            let url = format!("ws://{}{}", api.address, api.follow_path(stream, Transport::Ws, opening.after));
            let config = WebSocketConfig::default().read_buffer_size(4 << 10).write_buffer_size(0);
            let (socket, _) = client_async_with_config(url, connection.stream, Some(config)).await?;
            return Ok(Some(Self::Ws(Box::new(socket))));
        }
        connection.send(api.follow(stream, opening.after).as_bytes()).await?;
        let head = connection.head().await?;
        match head.status {
            200 if head.chunked => Ok(Some(Self::Sse { connection, decoder: Chunked::new(), body: Vec::new() })),
            204 => Ok(None),
            status => {
                Err(Problem::Answer { what: "A client is refused", status, body: String::from_utf8_lossy(&connection.unread).into_owned() })
            }
        }
    }

    /// Waits until there is something to take. Apart from the taking, so that locks taken there are not held while waiting.
    pub(crate) async fn wait(&mut self) -> Outcome<Arrived> {
        match self {
            Self::Sse { connection, .. } => {
                // What came along with the head waits here, not in the socket.
                if connection.unread.is_empty() {
                    connection.stream.readable().await?;
                }
                Ok(Arrived::Bytes)
            }
            Self::Ws(socket) => Ok(Arrived::Message(socket.next().await.transpose()?)),
        }
    }

    /// Hands the frames in what arrived to `each`. False at the end of the connection.
    pub(crate) fn take(&mut self, arrived: Arrived, each: impl FnMut(Frame<'_>)) -> Outcome<bool> {
        match (self, arrived) {
            (Self::Sse { connection, decoder, body }, Arrived::Bytes) => {
                if connection.unread.is_empty() {
                    let open = BUFFER.with_borrow_mut(|buffer| match connection.stream.try_read(buffer) {
                        Ok(0) => Ok(false),
                        Ok(size) => decode(decoder, &buffer[..size], body).map(|()| true),
                        // Readiness may be a false alarm.
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(true),
                        Err(error) => Err(error.into()),
                    })?;
                    if !open {
                        return Ok(false);
                    }
                } else {
                    decode(decoder, &std::mem::take(&mut connection.unread), body)?;
                }
                drain_frames(body, each);
                Ok(!decoder.is_done())
            }
            (Self::Ws(_), Arrived::Message(Some(Message::Text(text)))) => {
                message_frames(&text, each).map_err(|error| Problem::Other(format!("A WebSocket message can't be read: {error}")))?;
                Ok(true)
            }
            (_, arrived) => Ok(!matches!(arrived, Arrived::Message(None | Some(Message::Close(_))))),
        }
    }
}

/// What [`Client::wait`] waited for.
pub(crate) enum Arrived {
    /// Bytes of a body, still to be read.
    Bytes,
    /// A message, or the end.
    Message(Option<Message>),
}

fn decode(decoder: &mut Chunked, bytes: &[u8], body: &mut Vec<u8>) -> Outcome<()> {
    decoder.decode(bytes, body).map_err(|_| Problem::Other("A stream is not in the chunked coding".to_owned()))
}
