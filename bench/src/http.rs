//! A minimal HTTP/1.1 client, on one connection.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::{
    chunked::Chunked,
    error::{Error, Outcome},
};

/// The status and headers of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    pub(crate) chunked: bool,
    length: usize,
}

/// A whole response.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// A connection that sends one request after another.
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    /// Bytes that were read and not used.
    pub(crate) unread: Vec<u8>,
}

impl Connection {
    /// Connects. `receive_buffer` sets how many bytes the system buffers for a reader that does not
    /// read.
    pub(crate) async fn open(
        address: std::net::SocketAddr,
        receive_buffer: Option<u32>,
    ) -> Outcome<Self> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        }?;
        if let Some(size) = receive_buffer {
            socket.set_recv_buffer_size(size)?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            unread: Vec::new(),
        })
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Outcome<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Reads up to the end of a response's headers.
    pub(crate) async fn head(&mut self) -> Outcome<Head> {
        loop {
            if let Some(end) = memchr::memmem::find(&self.unread, b"\r\n\r\n") {
                let head = Head::parse(&String::from_utf8_lossy(&self.unread[..end]))?;
                self.unread.drain(..end + 4);
                return Ok(head);
            }
            self.read_more().await?;
        }
    }

    /// Reads a whole response.
    pub(crate) async fn response(&mut self) -> Outcome<Response> {
        let head = self.head().await?;
        let mut body = Vec::new();
        if head.chunked {
            let mut decoder = Chunked::new();
            loop {
                decoder.decode(&self.unread, &mut body).map_err(|_| {
                    Error::Other("A response is not in the chunked coding".to_owned())
                })?;
                self.unread.clear();
                if decoder.is_done() {
                    break;
                }
                self.read_more().await?;
            }
        } else {
            while self.unread.len() < head.length {
                self.read_more().await?;
            }
            body.extend(self.unread.drain(..head.length));
        }
        Ok(Response {
            status: head.status,
            body,
        })
    }

    pub(crate) async fn read_more(&mut self) -> Outcome<()> {
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(Error::Connection(std::io::ErrorKind::UnexpectedEof.into())),
            _ => Ok(()),
        }
    }
}

impl Head {
    fn parse(text: &str) -> Outcome<Self> {
        let wrong = || {
            Error::Other(format!(
                "A response begins with {:?}",
                text.lines().next().unwrap_or_default()
            ))
        };
        let mut lines = text.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.split(' ').nth(1))
            .and_then(|status| status.parse().ok())
            .ok_or_else(wrong)?;
        let mut head = Self {
            status,
            chunked: false,
            length: 0,
        };
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                head.length = value.trim().parse().map_err(|_| wrong())?;
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                head.chunked = value.trim().eq_ignore_ascii_case("chunked");
            }
        }
        Ok(head)
    }
}

impl Response {
    /// Returns the body of a successful response.
    pub(crate) fn success(self, what: &'static str) -> Outcome<Vec<u8>> {
        match self.status {
            200..300 => Ok(self.body),
            status => Err(Error::Response {
                what,
                status,
                body: String::from_utf8_lossy(&self.body).into_owned(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_parsed_in_any_case() {
        let head = Head::parse("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nContent-Length: 12")
            .unwrap();
        assert_eq!(
            head,
            Head {
                status: 200,
                chunked: false,
                length: 12
            }
        );
        assert!(
            Head::parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked")
                .unwrap()
                .chunked
        );
        assert!(Head::parse("SSH-2.0").is_err());
    }
}
