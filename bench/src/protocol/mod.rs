//! What each kind of server is asked, and how its answers are read: bytes in, bytes out.

mod broker;
mod durable_streams;
mod floor;
mod nchan;

use std::{fmt::Debug, io::Write};

pub(crate) use self::{
    broker::Broker, durable_streams::DurableStreams, floor::Floor, nchan::Nchan,
};
use crate::{
    api::{Stream, Transport},
    clock,
    frame::{EVENT, Frame, Id, decimal},
};

/// A kind of server. The defaults are those of a server with little to say.
pub(crate) trait Dialect: Debug + Send + Sync {
    /// Creates a stream that keeps so many events. None where a stream comes to be by its use.
    fn create(&self, _key: &str, _max_events: u64) -> Option<Request> {
        None
    }

    /// What opens a stream for clients, in the answer to its creation. None where that can't be
    /// read.
    fn token(&self, _answer: &[u8]) -> Option<String> {
        Some(String::new())
    }

    /// Ends a stream. None where streams have no end.
    fn end(&self, _stream: &Stream) -> Option<Request> {
        None
    }

    /// How many events of its own a stream begins with.
    fn first_events(&self) -> u64 {
        0
    }

    /// Writes so many events at once, stamped with the time now. None where a request can't hold so
    /// many.
    fn publish(&self, stream: &Stream, events: usize, payload: usize) -> Option<Request>;

    /// How many events the stream has held since its start, given the answer to
    /// [`Dialect::publish`].
    fn held(&self, stream: &Stream, answer: &[u8]) -> Option<u64>;

    /// How a stream is written to without end. None where each event takes a request.
    fn upload(&self, _stream: &Stream) -> Option<Upload> {
        None
    }

    /// The path at which a client follows a stream, from behind an id if there is one.
    fn follow(&self, stream: &Stream, transport: Transport, after: Option<Id>) -> String;

    /// How a client follows several streams over one connection. None where it can't.
    fn together(&self, _streams: &[Stream], _transport: Transport) -> Option<Together> {
        None
    }

    /// Whether clients can go on behind an id.
    fn resumes(&self) -> bool {
        false
    }

    /// Asks how many clients there are. None where the server does not tell.
    fn occupancy(&self) -> Option<Question> {
        None
    }

    /// Hands the events in a block of server-sent events, which ends before its empty line, to
    /// `each`.
    fn frames(&self, block: &[u8], each: &mut dyn FnMut(Frame<'_>));
}

/// A request, but for the host that it goes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    method: &'static str,
    path: String,
    /// Each with its line's end.
    headers: String,
    body: Body,
}

#[derive(Debug, PartialEq, Eq)]
enum Body {
    None,
    Whole(Vec<u8>),
    /// It follows the head, in chunks.
    Chunked,
}

impl Request {
    fn new(method: &'static str, path: String) -> Self {
        Self {
            method,
            path,
            headers: String::new(),
            body: Body::None,
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.extend([name, ": ", value, "\r\n"]);
        self
    }

    fn body(self, body: Vec<u8>) -> Self {
        Self {
            body: Body::Whole(body),
            ..self
        }
    }

    fn chunked(self) -> Self {
        Self {
            body: Body::Chunked,
            ..self
        }
    }

    pub(crate) fn get(path: String) -> Self {
        Self::new("GET", path)
    }

    /// As it is sent.
    pub(crate) fn encode(self, host: std::net::SocketAddr) -> Vec<u8> {
        let Self {
            method,
            path,
            headers,
            body,
        } = self;
        let framing = match &body {
            Body::None => String::new(),
            Body::Whole(bytes) => format!("Content-Length: {}\r\n", bytes.len()),
            Body::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
        };
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}{framing}\r\n")
                .into_bytes();
        if let Body::Whole(mut bytes) = body {
            request.append(&mut bytes);
        }
        request
    }
}

/// A request whose answer holds a number.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) request: Request,
    /// None where the answer can't be read.
    pub(crate) read: fn(&[u8]) -> Option<u64>,
}

/// Several streams over one connection.
#[derive(Debug)]
pub(crate) struct Together {
    /// Asks for the token that opens all of them. [`Dialect::token`] reads the answer.
    pub(crate) request: Request,
    /// The path, which the token is to follow.
    pub(crate) path: String,
}

/// A request without end, with an event a line.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) head: Request,
    /// Appends an event with so many bytes of data, stamped with the time now.
    pub(crate) put_event: fn(&mut Vec<u8>, usize),
}

/// Where ids are the server's own, events carry their number in front of the time: appends the data
/// of the stream's next event.
fn put_numbered(out: &mut Vec<u8>, stream: &Stream, payload: usize) {
    let start = out.len();
    // Writing to memory does not fail.
    let _ = write!(out, "{}-", stream.count_event());
    let size = payload.saturating_sub(out.len() - start);
    clock::put_stamp(out, size);
}

/// The event with such data. Anything else has no id, and counts as a fault.
fn numbered(data: &[u8]) -> Frame<'_> {
    let parts = memchr::memchr(b'-', data)
        .and_then(|dash| Some((decimal(&data[..dash])?, &data[dash + 1..])));
    parts.map_or(
        Frame {
            data,
            ..Frame::default()
        },
        |(number, data)| Frame {
            id: Some(Id {
                milliseconds: 0,
                number,
            }),
            name: EVENT,
            data,
            ..Frame::default()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a test wants to know of a block's events: number, name and data.
    pub(super) fn frames(dialect: &dyn Dialect, block: &str) -> Vec<(Option<u64>, String, String)> {
        let mut seen = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        dialect.frames(block.as_bytes(), &mut |frame| {
            seen.push((
                frame.id.map(|id| id.number),
                text(frame.name),
                text(frame.data),
            ));
        });
        seen
    }

    /// What a client is to see of such events.
    pub(super) fn expected(
        events: &[(Option<u64>, &str, &str)],
    ) -> Vec<(Option<u64>, String, String)> {
        events
            .iter()
            .map(|(number, name, data)| (*number, (*name).to_owned(), (*data).to_owned()))
            .collect()
    }

    pub(super) fn text(request: Option<Request>) -> String {
        String::from_utf8(request.unwrap().encode(([127, 0, 0, 1], 80).into())).unwrap()
    }

    #[test]
    fn requests_say_how_long_they_are() {
        let request = || Request::new("POST", "/x".to_owned()).header("Content-Type", "text/plain");
        let head = "POST /x HTTP/1.1\r\nHost: 127.0.0.1:80\r\nContent-Type: text/plain\r\n";
        assert_eq!(
            text(Some(request().body(b"ab".to_vec()))),
            format!("{head}Content-Length: 2\r\n\r\nab")
        );
        assert_eq!(text(Some(request())), format!("{head}\r\n"));
        assert_eq!(
            text(Some(request().chunked())),
            format!("{head}Transfer-Encoding: chunked\r\n\r\n")
        );
    }

    #[test]
    fn numbered_data_is_as_long_as_asked_and_read_back() {
        let stream = Stream::new("a".to_owned());
        for number in 0..3 {
            let mut data = Vec::new();
            put_numbered(&mut data, &stream, 100);
            assert_eq!(data.len(), 100);
            let frame = numbered(&data);
            assert_eq!((frame.id.unwrap().number, frame.name), (number, EVENT));
            assert!(clock::stamp(frame.data).unwrap() <= clock::now());
        }
        assert_eq!(numbered(b"hello").id, None);
    }
}
