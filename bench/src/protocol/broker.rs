//! The protocol of the broker: keys, tokens, JSON, and ids that count.

use std::fmt::Write;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{CountRequest, ManyStreams, Protocol, Request, Upload};
use crate::{
    clock,
    frame::{Frame, Id, with_id},
    stream::{Stream, Transport},
};

#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) api_key: String,
}

impl Broker {
    fn post(&self, path: &str) -> Request {
        Request::new("POST", path.to_owned()).header("X-API-KEY", &self.api_key)
    }
}

impl Protocol for Broker {
    fn create(&self, key: &str, max_events: u64) -> Option<Request> {
        Some(
            self.post("/api/stream/").body(
                json!({"key": key, "max_events": max_events})
                    .to_string()
                    .into_bytes(),
            ),
        )
    }

    fn token(&self, response: &[u8]) -> Option<String> {
        let response: Value = serde_json::from_slice(response).ok()?;
        Some(response.get("token")?.as_str()?.to_owned())
    }

    fn end(&self, stream: &Stream) -> Option<Request> {
        Some(
            self.post("/api/stream/end")
                .body(json!({"key": stream.key}).to_string().into_bytes()),
        )
    }

    /// The event `start`.
    fn first_events(&self) -> u64 {
        1
    }

    fn publish(&self, stream: &Stream, events: usize, payload: usize) -> Option<Request> {
        let mut body = Vec::with_capacity(64 + events * (payload + 32));
        body.extend_from_slice(format!("{{\"key\":\"{}\",\"events\":[", stream.key).as_bytes());
        for event in 0..events {
            body.extend_from_slice(if event == 0 { b"" } else { b"," });
            put_event(&mut body, payload);
        }
        body.extend_from_slice(b"]}");
        Some(
            self.post("/api/event/add")
                .header("Content-Type", "application/json")
                .body(body),
        )
    }

    /// One more than the last id's number.
    fn event_count(&self, _: &Stream, response: &[u8]) -> Option<u64> {
        let text = std::str::from_utf8(response).ok()?;
        let ids = text.split_once("\"ids\":[")?.1.split_once(']')?.0;
        let number = ids.trim_end_matches('"').rsplit('-').next()?;
        Some(number.parse::<u64>().ok()? + 1)
    }

    fn upload(&self, stream: &Stream) -> Option<Upload> {
        let request = self.post(&format!("/api/event/add/json-stream?key={}", stream.key));
        Some(Upload {
            head: request
                .header("Content-Type", "application/x-ndjson")
                .chunked(),
            put_event,
        })
    }

    fn follow(&self, stream: &Stream, transport: Transport, after: Option<Id>) -> String {
        let mut path = without_token(std::slice::from_ref(stream), transport) + &stream.token;
        if let Some(Id {
            milliseconds,
            number,
        }) = after
        {
            let _ = write!(path, "&last_event_id={milliseconds}-{number}");
        }
        path
    }

    fn many_streams(&self, streams: &[Stream], transport: Transport) -> Option<ManyStreams> {
        let keys: Vec<_> = streams.iter().map(|stream| &*stream.key).collect();
        let request = self
            .post("/api/stream/token")
            .body(json!({"keys": keys}).to_string().into_bytes());
        Some(ManyStreams {
            request,
            path: without_token(streams, transport),
        })
    }

    fn resumes(&self) -> bool {
        true
    }

    fn signal(&self, stream: &Stream) -> Option<Request> {
        let body = json!({"name": "steer", "data": clock::now()}).to_string();
        let request = self.post(&format!("/api/client/signal?key={}", stream.key));
        Some(request.body(body.into_bytes()))
    }

    fn signals(&self, stream: &Stream) -> Option<Request> {
        let request = Request::get(format!("/api/stream/signals?key={}", stream.key));
        Some(
            request
                .header("X-API-KEY", &self.api_key)
                .header("Accept", "text/event-stream"),
        )
    }

    fn subscriber_count(&self) -> Option<CountRequest> {
        let request = Request::get("/api/info".to_owned()).header("X-API-KEY", &self.api_key);
        Some(CountRequest {
            request,
            read: streaming_in_use,
        })
    }

    fn frames(&self, block: &[u8], each: &mut dyn FnMut(Frame<'_>)) {
        with_id(block).into_iter().for_each(each);
    }
}

/// The path at which streams are followed, up to the token.
fn without_token(streams: &[Stream], transport: Transport) -> String {
    let mut path = format!(
        "/api/client/{}?",
        if transport == Transport::Sse {
            "sse"
        } else {
            "ws"
        }
    );
    for stream in streams {
        // Writing to memory does not fail.
        let _ = write!(
            path,
            "key={}&",
            utf8_percent_encode(&stream.key, NON_ALPHANUMERIC)
        );
    }
    path + "token="
}

fn streaming_in_use(info: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(info)
        .ok()?
        .pointer("/redis/streaming_in_use")?
        .as_u64()
}

fn put_event(out: &mut Vec<u8>, payload: usize) {
    out.extend_from_slice(b"{\"event\":\"n\",\"data\":\"");
    clock::put_stamp(out, payload);
    out.extend_from_slice(b"\"}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::tests::{expected, frames, text};

    #[test]
    fn responses_hold_the_token_the_subscriber_count_and_the_event_count() {
        let (broker, stream) = (
            Broker {
                api_key: "k".to_owned(),
            },
            Stream::new("a".to_owned()),
        );
        assert_eq!(
            broker.token(br#"{"key":"a","token":"t"}"#),
            Some("t".to_owned())
        );
        assert_eq!(broker.token(b"[]"), None);
        assert_eq!(
            streaming_in_use(br#"{"redis":{"streaming_in_use":3}}"#),
            Some(3)
        );
        assert_eq!(
            broker.event_count(&stream, br#"{"ids":["1700-7","1700-8"],"num_events":2}"#),
            Some(9)
        );
        assert_eq!(broker.event_count(&stream, br#"{"code":"x"}"#), None);
    }

    #[test]
    fn several_streams_are_followed_with_a_token_for_all() {
        let broker = Broker {
            api_key: "k".to_owned(),
        };
        let streams = ["a", "b/c"].map(|key| Stream::new(key.to_owned()));
        let ManyStreams { request, path } = broker.many_streams(&streams, Transport::Ws).unwrap();
        assert!(text(Some(request)).ends_with("\r\n\r\n{\"keys\":[\"a\",\"b/c\"]}"));
        assert_eq!(path, "/api/client/ws?key=a&key=b%2Fc&token=");
        let mut stream = streams[0].clone();
        stream.token = "t".to_owned();
        let after = Some(Id {
            milliseconds: 7,
            number: 1,
        });
        assert_eq!(
            broker.follow(&stream, Transport::Sse, after),
            "/api/client/sse?key=a&token=t&last_event_id=7-1"
        );
    }

    #[test]
    fn events_are_written_with_the_key_and_read_by_their_ids() {
        let (broker, stream) = (
            Broker {
                api_key: "k".to_owned(),
            },
            Stream::new("a".to_owned()),
        );
        let request = text(broker.publish(&stream, 2, 100));
        assert!(request.contains("X-API-KEY: k\r\n"), "{request}");
        let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body["events"].as_array().unwrap().len(), 2);
        assert_eq!(
            frames(&broker, "id: 18-1\nevent: n\ndata: 5xx"),
            expected(&[(Some(1), "n", "5xx")])
        );
        assert_eq!(
            frames(&broker, "event: missedevents\ndata: {}"),
            expected(&[(None, "missedevents", "{}")])
        );
        assert_eq!(frames(&broker, ":"), []);
    }
}
