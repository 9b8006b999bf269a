//! The protocols of the servers: their requests, and how to parse their responses. Without I/O.

mod baseline;
mod broker;
mod durable_streams;
mod nchan;

use std::{fmt::Debug, io::Write};

pub(crate) use self::{
    baseline::Baseline, broker::Broker, durable_streams::DurableStreams, nchan::Nchan,
};
use crate::{
    clock,
    frame::{EVENT, Frame, Id, decimal},
    stream::{Stream, Transport},
};

/// The protocol of one kind of server. The defaults fit a server with few features.
pub(crate) trait Protocol: Debug + Send + Sync {
    /// Creates a stream that keeps this many events. None where the first use of a stream creates
    /// it.
    fn create(&self, _key: &str, _max_events: u64) -> Option<Request> {
        None
    }

    /// The token that opens a stream for subscribers, from the response to its creation. None where
    /// the response can't be parsed.
    fn token(&self, _response: &[u8]) -> Option<String> {
        Some(String::new())
    }

    /// Ends a stream. None where streams have no end.
    fn end(&self, _stream: &Stream) -> Option<Request> {
        None
    }

    /// How many events the server itself writes at the start of a stream.
    fn first_events(&self) -> u64 {
        0
    }

    /// Writes this many events at once, stamped with the current time. None where a request can't
    /// hold so many.
    fn publish(&self, stream: &Stream, events: usize, payload: usize) -> Option<Request>;

    /// How many events the stream has had since its start, given the response to
    /// [`Protocol::publish`].
    fn event_count(&self, stream: &Stream, response: &[u8]) -> Option<u64>;

    /// An upload without end. None where each event takes a request.
    fn upload(&self, _stream: &Stream) -> Option<Upload> {
        None
    }

    /// The path at which a subscriber follows a stream, after an id if there is one.
    fn follow(&self, stream: &Stream, transport: Transport, after: Option<Id>) -> String;

    /// How a subscriber follows several streams over one connection. None where that is impossible.
    fn many_streams(&self, _streams: &[Stream], _transport: Transport) -> Option<ManyStreams> {
        None
    }

    /// Whether subscribers can resume after an id.
    fn resumes(&self) -> bool {
        false
    }

    /// A signal to the producer of a stream, with the current time as its data. None where there
    /// are no signals.
    fn signal(&self, _stream: &Stream) -> Option<Request> {
        None
    }

    /// Waits for the signals of a stream, over server-sent events. None where there are none.
    fn signals(&self, _stream: &Stream) -> Option<Request> {
        None
    }

    /// Requests the number of subscribers. None where the server does not report it.
    fn subscriber_count(&self) -> Option<CountRequest> {
        None
    }

    /// Calls `each` with the events in a block of server-sent events, given without the empty line
    /// that ends it.
    fn frames(&self, block: &[u8], each: &mut dyn FnMut(Frame<'_>));
}

/// A request, without the host.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    method: &'static str,
    path: String,
    /// Each with the end of its line.
    headers: String,
    body: Body,
}

#[derive(Debug, PartialEq, Eq)]
enum Body {
    None,
    Whole(Vec<u8>),
    /// The body follows the headers, in chunks.
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

    /// The bytes of the request.
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

/// A request whose response holds a number.
#[derive(Debug)]
pub(crate) struct CountRequest {
    pub(crate) request: Request,
    /// Parses the response. None where that fails.
    pub(crate) read: fn(&[u8]) -> Option<u64>,
}

/// How a subscriber follows several streams over one connection.
#[derive(Debug)]
pub(crate) struct ManyStreams {
    /// Requests the token that opens all of them. [`Protocol::token`] parses the response.
    pub(crate) request: Request,
    /// The path, without the token at its end.
    pub(crate) path: String,
}

/// An upload without end, with an event per line.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(crate) head: Request,
    /// Appends an event with this many bytes of data, stamped with the current time.
    pub(crate) put_event: fn(&mut Vec<u8>, usize),
}

/// Appends the data of the stream's next event: its number and the time. Used where the server's
/// ids do not count events.
fn put_with_number(out: &mut Vec<u8>, stream: &Stream, payload: usize) {
    let start = out.len();
    // Writing to memory does not fail.
    let _ = write!(out, "{}-", stream.count_event());
    let size = payload.saturating_sub(out.len() - start);
    clock::put_stamp(out, size);
}

/// Parses the event with such data. Other data has no id, and counts as a fault.
fn parse_with_number(data: &[u8]) -> Frame<'_> {
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

    /// The number, name and data of the events in a block.
    pub(super) fn frames(
        protocol: &dyn Protocol,
        block: &str,
    ) -> Vec<(Option<u64>, String, String)> {
        let mut seen = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        protocol.frames(block.as_bytes(), &mut |frame| {
            seen.push((
                frame.id.map(|id| id.number),
                text(frame.name),
                text(frame.data),
            ));
        });
        seen
    }

    /// The same form, for the expected events.
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
    fn requests_have_their_length() {
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
    fn data_with_a_number_has_the_requested_length_and_is_parsed_back() {
        let stream = Stream::new("a".to_owned());
        for number in 0..3 {
            let mut data = Vec::new();
            put_with_number(&mut data, &stream, 100);
            assert_eq!(data.len(), 100);
            let frame = parse_with_number(&data);
            assert_eq!((frame.id.unwrap().number, frame.name), (number, EVENT));
            assert!(clock::stamp(frame.data).unwrap() <= clock::now());
        }
        assert_eq!(parse_with_number(b"hello").id, None);
    }
}
