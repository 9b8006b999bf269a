//! The protocol of the baseline, the smallest possible. Its ids are like the broker's.

use super::{Protocol, Request, Upload};
use crate::{
    clock,
    frame::{Frame, Id, with_id},
    stream::{Stream, Transport},
};

#[derive(Debug)]
pub(crate) struct Baseline;

impl Protocol for Baseline {
    fn publish(&self, stream: &Stream, events: usize, payload: usize) -> Option<Request> {
        let mut body = Vec::with_capacity(events * (payload + 32));
        for _ in 0..events {
            clock::put_stamp(&mut body, payload);
            body.push(b'\n');
        }
        let request = Request::new("POST", format!("/publish?key={}", stream.key));
        Some(
            request
                .header("Content-Type", "application/json")
                .body(body),
        )
    }

    /// The response is the number.
    fn event_count(&self, _: &Stream, response: &[u8]) -> Option<u64> {
        std::str::from_utf8(response).ok()?.parse().ok()
    }

    fn upload(&self, stream: &Stream) -> Option<Upload> {
        let request = Request::new("POST", format!("/upload?key={}", stream.key));
        Some(Upload {
            head: request
                .header("Content-Type", "application/x-ndjson")
                .chunked(),
            put_event: clock::put_stamp,
        })
    }

    fn follow(&self, stream: &Stream, _: Transport, _: Option<Id>) -> String {
        format!("/sse?key={}", stream.key)
    }

    fn frames(&self, block: &[u8], each: &mut dyn FnMut(Frame<'_>)) {
        with_id(block).into_iter().for_each(each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::{expected, frames, text};

    #[test]
    fn a_batch_is_lines_and_its_response_a_number() {
        let stream = Stream::new("a".to_owned());
        let request = text(Baseline.publish(&stream, 2, 100));
        assert_eq!(
            request
                .split_once("\r\n\r\n")
                .unwrap()
                .1
                .lines()
                .map(str::len)
                .collect::<Vec<_>>(),
            [100, 100]
        );
        assert_eq!(Baseline.event_count(&stream, b"7"), Some(7));
        assert_eq!(
            frames(&Baseline, "id: 18-1\nevent: n\ndata: 5xx"),
            expected(&[(Some(1), "n", "5xx")])
        );
    }
}
