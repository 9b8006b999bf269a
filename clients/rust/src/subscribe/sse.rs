//! Server-sent events.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use reqwest::{
    RequestBuilder, StatusCode,
    header::{ACCEPT, CACHE_CONTROL},
};
use sse_stream::SseByteStream;

use super::{
    content_type,
    cursor::{Positions, parse_item},
    frame::{Ending, Frame, NamedData, Received},
    rollup::FrameCount,
};
use crate::{Error, event::MISSED_EVENTS, liveness::Liveness};

const EVENT_STREAM: &str = "text/event-stream";

/// A heartbeat, as the broker sends it in a chunk of its own. It goes unnoticed when a proxy splits
/// the stream into other chunks.
const HEARTBEAT: &[u8] = b":\n\n";

type Body = BoxStream<'static, Result<Bytes, reqwest::Error>>;

/// A connection that receives server-sent events.
pub(super) struct Sse {
    blocks: Box<SseByteStream<Body>>,
    /// Whether the connection has several streams. Then the ids are cursors.
    is_keyed: bool,
    /// How many events the next frame stands for.
    count: FrameCount,
    /// Whether a heartbeat arrived. It is a comment, for which the parser returns no block.
    heartbeat: Arc<AtomicBool>,
}

impl Sse {
    /// Connects. Returns None when the broker has no more events. `liveness` records each chunk
    /// that arrives.
    pub(super) async fn connect(
        request: RequestBuilder,
        is_keyed: bool,
        is_rolled_up: bool,
        liveness: &Arc<Liveness>,
    ) -> Result<Option<Self>, Error> {
        let response = request
            .header(ACCEPT, EVENT_STREAM)
            .header(CACHE_CONTROL, "no-store")
            .send()
            .await?;
        match response.status() {
            StatusCode::OK => content_type::check(&response, EVENT_STREAM)?,
            StatusCode::NO_CONTENT => return Ok(None),
            _ => return Err(Error::from_response(response).await),
        }
        let liveness = Arc::clone(liveness);
        Ok(Some(Self::new(
            response
                .bytes_stream()
                .inspect(move |_| liveness.record())
                .boxed(),
            is_keyed,
            is_rolled_up,
        )))
    }

    fn new(body: Body, is_keyed: bool, is_rolled_up: bool) -> Self {
        let heartbeat = Arc::new(AtomicBool::new(false));
        let is_heartbeat = Arc::clone(&heartbeat);
        let body = body.inspect_ok(move |chunk| {
            is_heartbeat.store(chunk.as_ref() == HEARTBEAT, Ordering::Relaxed);
        });
        let count = FrameCount::new();
        let body = if is_rolled_up {
            count.read(body).into_stream().boxed()
        } else {
            body.boxed()
        };
        Self {
            blocks: Box::new(SseByteStream::new(body)),
            is_keyed,
            count,
            heartbeat,
        }
    }

    /// The next message. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Received, Error> {
        loop {
            let received = poll_fn(|context| match self.blocks.poll_next_unpin(context) {
                Poll::Pending if self.heartbeat.swap(false, Ordering::Relaxed) => Poll::Ready(None),
                block => block.map(Some),
            });
            let Some(block) = received.await else {
                return Ok(Received::Heartbeat);
            };
            let block = match block {
                Some(Ok(block)) => block,
                Some(Err(sse_stream::Error::Body(error))) => return Err(Error::unreachable(error)),
                Some(Err(error)) => return Err(Error::InvalidAnswer(error.to_string())),
                None => return Err(Error::unreachable("the connection was closed early")),
            };
            let count = self.count.take();
            let retry = block.retry.map(Duration::from_millis);
            let event = block.data.map(|data| NamedData {
                name: block.event.unwrap_or_default(),
                data,
            });
            let id = block.id.filter(|id| !id.is_empty());
            match (id, event, retry) {
                (None, None, None) => {}
                (None, None, Some(retry)) => return Ok(Received::Retry(retry)),
                (Some(cursor), event, retry) if self.is_keyed => {
                    return keyed(&cursor, event, count, retry).map(Received::Frame);
                }
                (id, event, retry) => {
                    return Ok(Received::Frame(Frame {
                        key: None,
                        id,
                        event,
                        count,
                        ending: Ending::Unknown,
                        positions: None,
                        retry,
                    }));
                }
            }
        }
    }
}

/// A frame of a connection with several streams.
fn keyed(
    cursor: &str,
    event: Option<NamedData>,
    count: u64,
    retry: Option<Duration>,
) -> Result<Frame, Error> {
    let own = cursor.split(',').next().and_then(parse_item);
    let (Some((key, position)), Some(positions)) = (own, Positions::parse(cursor)) else {
        return Err(Error::InvalidAnswer(format!("{cursor:?} is no cursor")));
    };
    Ok(match event {
        // Its id is the position before the missing events, where the subscription already is.
        Some(event) if event.name == MISSED_EVENTS => Frame {
            key: Some(key),
            id: None,
            event: Some(event),
            count: 1,
            ending: Ending::Unsaid,
            positions: None,
            retry,
        },
        event => Frame {
            key: Some(key),
            id: position.id,
            event,
            count,
            ending: if position.is_last {
                Ending::Last
            } else {
                Ending::Unsaid
            },
            positions: Some(positions),
            retry,
        },
    })
}

#[cfg(test)]
mod tests {
    use futures::{executor::block_on, stream};
    use proptest::prelude::*;

    use super::*;

    /// The messages in these bytes, which arrive in chunks of this size.
    fn read(bytes: &[u8], chunk_size: usize) -> (Vec<Received>, Error) {
        let chunks: Vec<_> = bytes
            .chunks(chunk_size)
            .map(|chunk| Ok(Bytes::copy_from_slice(chunk)))
            .collect();
        let mut sse = Sse::new(stream::iter(chunks).boxed(), false, true);
        let mut frames = Vec::new();
        loop {
            match block_on(sse.next()) {
                Ok(frame) => frames.push(frame),
                Err(error) => return (frames, error),
            }
        }
    }

    fn frame(received: Received) -> Frame {
        let Received::Frame(frame) = received else {
            panic!("another message")
        };
        frame
    }

    proptest! {
        #[test]
        fn events_are_parsed_by_the_standard_at_any_chunk_size(
            events in prop::collection::vec(
                (
                    "[^\\p{Cc}]{1,9}",
                    prop::collection::vec("[ :a\u{2028}\u{feff}\0é😀]{0,9}", 1..4),
                ),
                1..9,
            ),
            line_end in prop::sample::select(vec!["\n", "\r", "\r\n"]),
            byte_order_mark: bool,
            chunk_size in 1..40_usize,
        ) {
            let mut text = if byte_order_mark { "\u{feff}".to_owned() } else { String::new() };
            for (number, (name, lines)) in events.iter().enumerate() {
                text += &[
                    &format!(":{name}"),
                    "",
                    &format!("id: 5-{number}"),
                    &format!("event: {name}"),
                    "unknown: x",
                ]
                .join(line_end);
                text += line_end;
                for line in lines {
                    text += &["data: ", line, line_end].concat();
                }
                text += line_end;
            }
            let (frames, _) = read(text.as_bytes(), chunk_size);
            let expected: Vec<_> = (0..)
                .zip(&events)
                .map(|(number, (name, lines))| {
                    (format!("5-{number}"), name.clone(), lines.join("\n"))
                })
                .collect();
            let read: Vec<_> = frames.into_iter().map(frame).map(|frame| {
                let event = frame.event.unwrap();
                (frame.id.unwrap(), event.name, event.data)
            }).collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn an_incomplete_event_is_ignored() {
        let (frames, error) = read(b"id: 5-0\nevent: start\ndata:\n", 7);
        assert!(frames.is_empty() && error.is_transient());
    }

    #[test]
    fn a_retry_delay_comes_with_an_event_or_alone() {
        let (frames, _) = read(
            b"retry: 20\n\nretry: 30\nid: 5-0\nevent: start\ndata:\n\n",
            7,
        );
        let mut frames = frames.into_iter();
        assert!(matches!(frames.next(), Some(Received::Retry(retry)) if retry.as_millis() == 20));
        assert_eq!(
            frame(frames.next().unwrap()).retry,
            Some(Duration::from_millis(30))
        );
    }

    #[test]
    fn a_comment_says_how_many_events_the_next_frame_stands_for() {
        let text = "retry: 7\n:rollup 3\nevent: a\ndata: x\nid: 5-3\n\n\
            event: b\ndata:\nid: 5-4\n\n:\n\n:rollup 5\nevent: a\ndata: y\nid: 5-9\n\n\
            event: c\ndata:\nid: 5-10\n\n";
        for size in 1..=text.len() {
            let (frames, _) = read(text.as_bytes(), size);
            let counts: Vec<_> = frames
                .into_iter()
                .filter(|received| matches!(received, Received::Frame(_)))
                .map(|received| frame(received).count)
                .collect();
            assert_eq!(counts, [3, 1, 5, 1], "in chunks of {size}");
        }
    }

    #[test]
    fn a_block_with_only_an_id_is_a_position() {
        let (frames, _) = read(b"id: 5-7\n\n", 3);
        let frame = frame(frames.into_iter().next().unwrap());
        assert!(frame.event.is_none() && frame.id.as_deref() == Some("5-7"));
    }

    #[test]
    fn with_several_streams_an_id_starts_with_the_key_of_its_stream() {
        let event = |name: &str| {
            Some(NamedData {
                name: name.to_owned(),
                data: String::new(),
            })
        };
        let frame = keyed("a%2Cb:5-7!,~x", event("end"), 1, None).unwrap();
        assert_eq!(
            (frame.key.as_deref(), frame.id.as_deref()),
            (Some("a,b"), Some("5-7"))
        );
        assert_eq!(frame.positions.unwrap().to_string(), "a%2Cb:5-7!,~x");
        let missed = keyed("a:5-3,b:5-1", event(MISSED_EVENTS), 1, None).unwrap();
        assert_eq!(
            (missed.key.as_deref(), missed.id, missed.positions),
            (Some("a"), None, None)
        );
        assert_eq!(
            keyed("5-3", event("token"), 1, None).err().unwrap().code(),
            "invalid-answer"
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_are_an_invalid_answer() {
        let (_, error) = read(b"id: 5-0\nevent: start\ndata: \xff\n\n", 99);
        assert_eq!(error.code(), "invalid-answer");
    }
}
