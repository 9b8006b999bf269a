//! A peer whose bytes the test chooses: arbitrary WebSocket frames, and requests whose responses it
//! does not read.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

use super::{Broker, broker::API_KEY, within};

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// The headers of a WebSocket handshake.
pub(crate) const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A connection.
pub(crate) struct Raw {
    pub(crate) from: OwnedReadHalf,
    pub(crate) to: OwnedWriteHalf,
}

/// A frame of a WebSocket peer, with a mask of zeroes.
pub(crate) fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![head];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..0x1_0000 => {
            bytes.push(0x80 + 126);
            bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            bytes.push(0x80 + 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

impl Raw {
    /// Sends a request, and reads nothing.
    pub(crate) async fn ask(broker: &Broker, target: &str, headers: &str) -> Self {
        Self::begin(broker, "GET", target, &format!("{headers}\r\n")).await
    }

    /// Sends the head of a request. To complete the head, `rest` ends with the empty line.
    pub(crate) async fn begin(broker: &Broker, method: &str, target: &str, rest: &str) -> Self {
        let address = broker.url.strip_prefix("http://").unwrap();
        let (from, mut to) = within(TcpStream::connect(address))
            .await
            .unwrap()
            .into_split();
        let head = format!(
            "{method} {target} HTTP/1.1\r\nHost: {address}\r\nX-API-KEY: {API_KEY}\r\n{rest}"
        );
        within(to.write_all(head.as_bytes())).await.unwrap();
        Self { from, to }
    }

    /// A WebSocket after its handshake.
    pub(crate) async fn web_socket(broker: &Broker, target: &str) -> Self {
        let mut raw = Self::ask(broker, target, UPGRADE).await;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(within(raw.from.read_u8()).await.unwrap());
        }
        assert!(
            head.starts_with(b"HTTP/1.1 101"),
            "{}",
            String::from_utf8_lossy(&head)
        );
        raw
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        within(self.to.write_all(bytes)).await.unwrap();
    }

    /// The first byte and the payload of the next frame, or none when the connection closes
    /// cleanly.
    pub(crate) async fn next_frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let head = match within(self.from.read_u8()).await {
            Ok(head) => head,
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return None,
            Err(error) => panic!("the connection ends in order: {error}"),
        };
        let length = match within(self.from.read_u8()).await.unwrap() {
            126 => usize::from(within(self.from.read_u16()).await.unwrap()),
            127 => usize::try_from(within(self.from.read_u64()).await.unwrap()).unwrap(),
            length => usize::from(length),
        };
        let mut payload = vec![0; length];
        within(self.from.read_exact(&mut payload)).await.unwrap();
        Some((head, payload))
    }

    /// The code of the close frame, behind all other frames. The connection then closes cleanly.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        let mut code = None;
        while let Some((head, payload)) = self.next_frame().await {
            assert_eq!(code, None, "nothing follows a close frame");
            if head == CLOSE {
                code = Some(
                    payload
                        .first_chunk()
                        .map_or(0, |code| u16::from_be_bytes(*code)),
                );
            }
        }
        code
    }
}
