//! Server-sent events.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{StreamExt, stream::BoxStream};
use reqwest::{
    RequestBuilder, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE},
};
use sse_stream::SseByteStream;

use super::follower::Frame;
use crate::{Error, Event, life::Life};

const EVENT_STREAM: &str = "text/event-stream";

type Body = BoxStream<'static, Result<Bytes, reqwest::Error>>;

/// A connection over which server-sent events come.
pub(super) struct Sse(Box<SseByteStream<Body>>);

impl Sse {
    /// Connects; None: there is nothing more to come. What is heard is noted.
    pub(super) async fn connect(request: RequestBuilder, life: &Arc<Life>) -> Result<Option<Self>, Error> {
        let response = request.header(ACCEPT, EVENT_STREAM).header(CACHE_CONTROL, "no-store").send().await?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NO_CONTENT => return Ok(None),
            _ => return Err(Error::from_response(response).await),
        }
        let content_type = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !content_type.starts_with(EVENT_STREAM) {
            return Err(Error::InvalidAnswer(format!("a {content_type:?}, not server-sent events")));
        }
        let life = Arc::clone(life);
        let body = response.bytes_stream().inspect(move |_| life.note()).boxed();
        Ok(Some(Self(Box::new(SseByteStream::new(body)))))
    }

    /// The next block of fields.
    pub(super) async fn next(&mut self) -> Result<Frame, Error> {
        let block = match self.0.next().await {
            Some(Ok(block)) => block,
            Some(Err(sse_stream::Error::Body(error))) => return Err(Error::unreachable(error)),
            Some(Err(error)) => return Err(Error::InvalidAnswer(error.to_string())),
            None => return Err(Error::unreachable("the connection was closed early")),
        };
        let event = match block.data {
            Some(data) => Some(Event::received(block.id, block.event.unwrap_or_default(), data)?),
            None => None,
        };
        Ok(Frame { retry: block.retry.map(Duration::from_millis), event })
    }
}

#[cfg(test)]
mod tests {
    use futures::{executor::block_on, stream};
    use proptest::prelude::*;

    use super::*;

    /// What is made of these bytes, cut into pieces of this size, until they end.
    fn read(bytes: &[u8], piece: usize) -> (Vec<Frame>, Error) {
        let pieces: Vec<_> = bytes.chunks(piece).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
        let mut sse = Sse(Box::new(SseByteStream::new(stream::iter(pieces).boxed())));
        let mut frames = Vec::new();
        loop {
            match block_on(sse.next()) {
                Ok(frame) => frames.push(frame),
                Err(error) => return (frames, error),
            }
        }
    }

    proptest! {
        #[test]
        fn events_are_read_as_the_standard_has_it_however_they_are_cut(
            events in prop::collection::vec(("[^\\p{Cc}]{1,9}", prop::collection::vec("[ :a\u{2028}\u{feff}\0é😀]{0,9}", 1..4)), 1..9),
            line_end in prop::sample::select(vec!["\n", "\r", "\r\n"]),
            byte_order_mark: bool,
            piece in 1..40_usize,
        ) {
            let mut text = if byte_order_mark { "\u{feff}".to_owned() } else { String::new() };
            for (number, (name, lines)) in events.iter().enumerate() {
                text += &[&format!(":{name}"), "", &format!("id: 5-{number}"), &format!("event: {name}"), "unknown: x"].join(line_end);
                text += line_end;
                for line in lines {
                    text += &["data: ", line, line_end].concat();
                }
                text += line_end;
            }
            let (frames, _) = read(text.as_bytes(), piece);
            let expected: Vec<_> = (0..).zip(&events).map(|(number, (name, lines))| (format!("5-{number}"), name.clone(), lines.join("\n"))).collect();
            let read: Vec<_> = frames.into_iter().filter_map(|frame| frame.event).map(|event| (event.id.unwrap(), event.event, event.data)).collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn an_event_that_is_cut_off_is_none() {
        let (frames, error) = read(b"id: 5-0\nevent: start\ndata:\n", 7);
        assert!(frames.is_empty() && error.is_transient());
    }

    #[test]
    fn a_retry_comes_with_an_event_or_alone() {
        let (frames, _) = read(b"retry: 20\n\nretry: 30\nid: 5-0\nevent: start\ndata:\n\n", 7);
        let frames: Vec<_> = frames.iter().map(|frame| (frame.retry, frame.event.is_some())).collect();
        assert_eq!(frames, [(Some(Duration::from_millis(20)), false), (Some(Duration::from_millis(30)), true)]);
    }

    #[test]
    fn what_is_not_utf8_is_not_the_brokers() {
        let (_, error) = read(b"id: 5-0\nevent: start\ndata: \xff\n\n", 99);
        assert_eq!(error.code(), "invalid-answer");
    }
}
