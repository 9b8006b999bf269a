//! That of the Durable Streams protocol: a stream is bytes that are appended to. Here it is text,
//! an event a line: the cheapest form for the server, which need neither parse JSON nor encode what
//! may be binary.

use super::{Dialect, Request, numbered, put_numbered};
use crate::{
    api::{Stream, Transport},
    frame::{Frame, Id},
};

const TEXT: (&str, &str) = ("Content-Type", "text/plain");

#[derive(Debug)]
pub(crate) struct DurableStreams;

impl Dialect for DurableStreams {
    /// It keeps all.
    fn create(&self, key: &str, _max_events: u64) -> Option<Request> {
        Some(Request::new("PUT", format!("/{key}")).header(TEXT.0, TEXT.1))
    }

    fn end(&self, stream: &Stream) -> Option<Request> {
        Some(Request::new("DELETE", format!("/{}", stream.key)))
    }

    fn publish(&self, stream: &Stream, events: usize, payload: usize) -> Option<Request> {
        let mut body = Vec::with_capacity(events * (payload + 32));
        for _ in 0..events {
            put_numbered(&mut body, stream, payload);
            body.push(b'\n');
        }
        Some(
            Request::new("POST", format!("/{}", stream.key))
                .header(TEXT.0, TEXT.1)
                .body(body),
        )
    }

    fn held(&self, stream: &Stream, _: &[u8]) -> Option<u64> {
        Some(stream.counted())
    }

    fn follow(&self, stream: &Stream, _: Transport, _: Option<Id>) -> String {
        format!("/{}?offset=-1&live=sse", stream.key)
    }

    /// A block has all lines that were appended since the last one. Those with offsets stand
    /// between them.
    fn frames(&self, block: &[u8], each: &mut dyn FnMut(Frame<'_>)) {
        let Some(data) = block.strip_prefix(b"event: data\n") else {
            return;
        };
        let lines = data
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.strip_prefix(b"data:"));
        // The last line's end begins another, which is empty.
        lines
            .filter(|line| !line.is_empty())
            .map(numbered)
            .for_each(each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::tests::{expected, frames, text};

    #[test]
    fn events_are_lines_and_come_back_several_in_a_block() {
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
        assert_eq!(DurableStreams.held(&stream, b""), Some(2));
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
