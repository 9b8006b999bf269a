//! The protocol of nchan: one event per POST, which subscribers receive unchanged. Its ids do not
//! count events. The paths are those of `peers/nginx.conf`.

use super::{Protocol, Request, parse_with_number, put_with_number};
use crate::{
    frame::{Frame, Id},
    stream::{Stream, Transport},
};

#[derive(Debug)]
pub(crate) struct Nchan;

impl Protocol for Nchan {
    fn end(&self, stream: &Stream) -> Option<Request> {
        Some(Request::new("DELETE", format!("/publish/{}", stream.key)))
    }

    fn publish(&self, stream: &Stream, events: usize, payload: usize) -> Option<Request> {
        if events > 1 {
            return None;
        }
        let mut body = Vec::with_capacity(payload + 32);
        put_with_number(&mut body, stream, payload);
        Some(
            Request::new("POST", format!("/publish/{}", stream.key))
                .header("Content-Type", "text/plain")
                .body(body),
        )
    }

    fn event_count(&self, stream: &Stream, _: &[u8]) -> Option<u64> {
        Some(stream.counted())
    }

    fn follow(&self, stream: &Stream, _: Transport, _: Option<Id>) -> String {
        format!("/follow/{}", stream.key)
    }

    fn frames(&self, block: &[u8], each: &mut dyn FnMut(Frame<'_>)) {
        // A message is one line of data. Comments and the id are not needed.
        block
            .split(|byte| *byte == b'\n')
            .filter_map(|line| line.strip_prefix(b"data: "))
            .map(parse_with_number)
            .for_each(each);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::{expected, frames, text};

    #[test]
    fn an_event_is_a_body_and_arrives_as_data() {
        let stream = Stream::new("a".to_owned());
        let request = text(Nchan.publish(&stream, 1, 100));
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /publish/a HTTP/1.1\r\n"), "{head}");
        assert_eq!((body.len(), &body[..2]), (100, "0-"));
        assert_eq!(Nchan.event_count(&stream, b"queued messages: 1"), Some(1));
        assert_eq!(frames(&Nchan, ": hi"), []);
        assert_eq!(
            frames(&Nchan, "id: 1795273289:0\ndata: 7-123xx"),
            expected(&[(Some(7), "n", "123xx")])
        );
        assert_eq!(
            frames(&Nchan, "id: 1795273289:1\ndata: hello"),
            expected(&[(None, "", "hello")])
        );
    }

    #[test]
    fn a_request_holds_one_event() {
        assert_eq!(Nchan.publish(&Stream::new("a".to_owned()), 2, 100), None);
    }
}
