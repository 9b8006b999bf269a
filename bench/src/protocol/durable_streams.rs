//! The Durable Streams protocol: a publisher appends bytes to a stream. Here the bytes are text
//! with an event per line. That is the cheapest form for the server, which need neither parse JSON
//! nor encode binary data.

use super::{Protocol, Request, parse_with_number, put_with_number};
use crate::{
    frame::{Frame, Id},
    stream::{Stream, Transport},
};

const TEXT: (&str, &str) = ("Content-Type", "text/plain");

#[derive(Debug)]
pub(crate) struct DurableStreams;

impl Protocol for DurableStreams {
    /// The server keeps all events.
    fn create(&self, key: &str, _max_events: u64) -> Option<Request> {
        Some(Request::new("PUT", format!("/{key}")).header(TEXT.0, TEXT.1))
    }

    fn end(&self, stream: &Stream) -> Option<Request> {
        Some(Request::new("DELETE", format!("/{}", stream.key)))
    }

    fn publish(&self, stream: &Stream, events: usize, payload: usize) -> Option<Request> {
        let mut body = Vec::with_capacity(events * (payload + 32));
        for _ in 0..events {
            put_with_number(&mut body, stream, payload);
            body.push(b'\n');
        }
        Some(
            Request::new("POST", format!("/{}", stream.key))
                .header(TEXT.0, TEXT.1)
                .body(body),
        )
    }

    fn event_count(&self, stream: &Stream, _: &[u8]) -> Option<u64> {
        Some(stream.counted())
    }

    fn follow(&self, stream: &Stream, _: Transport, _: Option<Id>) -> String {
        format!("/{}?offset=-1&live=sse", stream.key)
    }

    /// A block has all lines that were appended since the last one. Blocks with offsets come
    /// between them.
    fn frames(&self, block: &[u8], each: &mut dyn FnMut(Frame<'_>)) {
        let Some(data) = block.strip_prefix(b"event: data\n") else {
            return;
        };
        let lines = data
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.strip_prefix(b"data:"));
        // The end of the last line begins another, empty one.
        lines
            .filter(|line| !line.is_empty())
            .map(parse_with_number)
            .for_each(each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::{expected, frames, text};

    #[test]
    fn events_are_lines_and_arrive_several_in_a_block() {
        let stream = Stream::new("a".to_owned());
        assert!(text(DurableStreams.create("a", 5)).starts_with("PUT /a HTTP/1.1\r\n"));
        let request = text(DurableStreams.publish(&stream, 2, 100));
        assert_eq!(
            request
                .split_once("\r\n\r\n")
                .unwrap()
                .1
                .lines()
                .map(|line| (line.len(), &line[..2]))
                .collect::<Vec<_>>(),
            [(100, "0-"), (100, "1-")]
        );
        assert_eq!(DurableStreams.event_count(&stream, b""), Some(2));
        assert_eq!(
            frames(
                &DurableStreams,
                "event: data\ndata:7-123xx\ndata:8-456xx\ndata:"
            ),
            expected(&[(Some(7), "n", "123xx"), (Some(8), "n", "456xx")])
        );
        assert_eq!(
            frames(
                &DurableStreams,
                "event: control\ndata:{\"streamNextOffset\":\"0_0\"}"
            ),
            []
        );
    }
}
