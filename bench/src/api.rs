//! The requests, to a broker or to the floor.

use std::{
    fmt::Write,
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::{
    clock,
    frame::Id,
    http::Connection,
    problem::{Outcome, Problem},
};

/// Events kept per stream: more than any client of any scenario lags, `slow` aside.
pub(crate) const KEPT: u64 = 20_000;

/// A server and how it is spoken to.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    /// None for the floor, which has neither keys nor streams to create.
    pub(crate) api_key: Option<String>,
}

/// A stream, and what opens it for clients.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) key: String,
    token: String,
}

/// How clients follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Transport {
    /// Server-sent events
    Sse,
    /// WebSocket
    Ws,
}

impl Api {
    pub(crate) fn is_floor(&self) -> bool {
        self.api_key.is_none()
    }

    /// A new stream, at a key that no run has used before.
    pub(crate) async fn create(&self, max_events: u64) -> Outcome<Stream> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let key = format!("bench-{:08x}-{}", fastrand::u32(..), COUNT.fetch_add(1, Ordering::Relaxed));
        if self.is_floor() {
            return Ok(Stream { key, token: String::new() });
        }
        let body = json!({"key": key, "max_events": max_events}).to_string();
        let answer = self.call("POST", "/api/stream/", body.as_bytes(), "A stream can't be created").await?;
        let token = answer.get("token").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Stream { key, token })
    }

    /// Ends a stream. The floor's have no end.
    pub(crate) async fn end(&self, stream: &Stream) -> Outcome<()> {
        if !self.is_floor() {
            let body = json!({"key": stream.key}).to_string();
            self.call("POST", "/api/stream/end", body.as_bytes(), "A stream can't be ended").await?;
        }
        Ok(())
    }

    /// The clients that the broker counts now.
    pub(crate) async fn slots_in_use(&self) -> Outcome<u64> {
        let info = self.call("GET", "/api/info", b"", "The broker does not tell its state").await?;
        Ok(info.pointer("/redis/streaming_in_use").and_then(Value::as_u64).unwrap_or_default())
    }

    async fn call(&self, method: &str, path: &str, body: &[u8], what: &'static str) -> Outcome<Value> {
        let mut connection = Connection::open(self.address, None).await?;
        let mut request = self.head(method, path, &format!("Content-Length: {}\r\n", body.len())).into_bytes();
        request.extend_from_slice(body);
        connection.send(&request).await?;
        let body = connection.answer().await?.good(what)?;
        serde_json::from_slice(&body).map_err(|error| Problem::Other(format!("{what}: {error}")))
    }

    /// A request's head, up to and with the empty line.
    fn head(&self, method: &str, path: &str, headers: &str) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n{headers}", self.address);
        if let Some(key) = &self.api_key {
            let _ = write!(head, "X-API-KEY: {key}\r\n");
        }
        head.push_str("\r\n");
        head
    }

    /// The path at which a client follows a stream, from behind an id if there is one.
    pub(crate) fn follow_path(&self, stream: &Stream, transport: Transport, after: Option<Id>) -> String {
        let key = utf8_percent_encode(&stream.key, NON_ALPHANUMERIC);
        if self.is_floor() {
            return format!("/sse?key={key}");
        }
        let transport = if transport == Transport::Sse { "sse" } else { "ws" };
        let mut path = format!("/api/client/{transport}?key={key}&token={}", stream.token);
        if let Some(Id { milliseconds, number }) = after {
            let _ = write!(path, "&last_event_id={milliseconds}-{number}");
        }
        path
    }

    /// The request of an SSE client.
    pub(crate) fn follow(&self, stream: &Stream, after: Option<Id>) -> String {
        let path = self.follow_path(stream, Transport::Sse, after);
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAccept: text/event-stream\r\n\r\n", self.address)
    }

    /// The request that writes a batch at once, stamped with the time now.
    pub(crate) fn batch(&self, stream: &Stream, events: usize, payload: usize) -> Vec<u8> {
        let mut body = Vec::with_capacity(64 + events * (payload + 32));
        let path = if self.is_floor() {
            for _ in 0..events {
                clock::put_stamp(&mut body, payload);
                body.push(b'\n');
            }
            format!("/publish?key={}", stream.key)
        } else {
            body.extend_from_slice(format!("{{\"key\":\"{}\",\"events\":[", stream.key).as_bytes());
            for event in 0..events {
                body.extend_from_slice(if event == 0 { b"" } else { b"," });
                put_event(&mut body, payload);
            }
            body.extend_from_slice(b"]}");
            "/api/event/add".to_owned()
        };
        let mut request =
            self.head("POST", &path, &format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len())).into_bytes();
        request.append(&mut body);
        request
    }

    /// The head of an upload without end.
    pub(crate) fn upload(&self, stream: &Stream) -> String {
        let path = if self.is_floor() { "/upload?key=" } else { "/api/event/add/json-stream?key=" };
        self.head("POST", &format!("{path}{}", stream.key), "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n")
    }

    /// A line of an upload, as a chunk, stamped with the time now.
    pub(crate) fn line(&self, payload: usize) -> Vec<u8> {
        let mut line = Vec::with_capacity(payload + 32);
        if self.is_floor() {
            clock::put_stamp(&mut line, payload);
        } else {
            put_event(&mut line, payload);
        }
        line.push(b'\n');
        let mut chunk = format!("{:x}\r\n", line.len()).into_bytes();
        chunk.append(&mut line);
        chunk.extend_from_slice(b"\r\n");
        chunk
    }
}

/// The name of every event written here.
pub(crate) const EVENT: &[u8] = b"n";

fn put_event(out: &mut Vec<u8>, payload: usize) {
    out.extend_from_slice(b"{\"event\":\"n\",\"data\":\"");
    clock::put_stamp(out, payload);
    out.extend_from_slice(b"\"}");
}

/// How many events the stream holds after a batch: one more than the last id's number; the floor says so itself.
pub(crate) fn events_after(answer: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(answer).ok()?;
    if let Ok(next) = text.parse() {
        return Some(next);
    }
    let ids = text.split_once("\"ids\":[")?.1.split_once(']')?.0;
    let number = ids.trim_end_matches('"').rsplit('-').next()?;
    Some(number.parse::<u64>().ok()? + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_the_stream_is_read_from_either_answer() {
        assert_eq!(events_after(b"7"), Some(7));
        assert_eq!(events_after(br#"{"ids":["1700-7","1700-8"],"num_events":2}"#), Some(9));
        assert_eq!(events_after(br#"{"code":"x"}"#), None);
    }
}
