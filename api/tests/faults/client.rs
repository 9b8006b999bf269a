//! A client that behaves as a good one does: it follows, comes back with the last id wherever it was cut off or refused, and stops when it
//! is told that there is nothing more.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use eventsource_stream::Eventsource;
use futures::{Stream, StreamExt, stream};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::{
    common::{broker::API_KEY, number},
    fleet::Way,
};

/// Silence after which a connection counts as lost. The brokers of these tests break it every second.
const SILENCE: Duration = Duration::from_secs(12);

/// How long a token is good: short, so that clients that come back late need another one.
const TOKEN_SECONDS: u64 = 20;

/// The wait before a client comes back.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Sse,
    Ws,
}

/// An event as a client was given it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: String,
}

/// What a client saw.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) transport: Transport,
    pub(crate) events: Vec<Seen>,
    /// The data of every `missedevents`.
    pub(crate) told: Vec<Value>,
    /// How often it followed: once, unless it was cut off or closed.
    pub(crate) visits: u64,
    /// Whether it was told that it has it all; if not, that the stream is gone.
    pub(crate) complete: bool,
}

pub(crate) struct Client {
    way: Way,
    http: reqwest::Client,
    token: Option<String>,
    /// Events seen, for others to watch.
    progress: Arc<AtomicU64>,
    record: Record,
}

/// How a visit to a broker ended.
enum Left {
    /// Cut, closed, or refused for now.
    ComeBack,
    Complete,
    Gone,
}

impl Client {
    pub(crate) fn new(transport: Transport, way: Way, progress: Arc<AtomicU64>) -> Self {
        let record = Record { transport, events: Vec::new(), told: Vec::new(), visits: 0, complete: false };
        Self { way, http: reqwest::Client::new(), token: None, progress, record }
    }

    /// Follows to the end, whatever it takes; `turn` says at which node to begin.
    pub(crate) async fn follow(mut self, turn: usize) -> Record {
        for turn in turn.. {
            let node = self.way.node(turn);
            let left = match self.record.transport {
                Transport::Sse => self.over_sse(&node).await,
                Transport::Ws => self.over_ws(&node).await,
            };
            match left {
                Left::ComeBack => sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await,
                Left::Complete => {
                    self.record.complete = true;
                    break;
                }
                Left::Gone => break,
            }
        }
        self.record
    }

    async fn over_sse(&mut self, node: &str) -> Left {
        let url = match self.url(node, "sse").await {
            Ok(url) => url,
            Err(left) => return left,
        };
        let Ok(Ok(response)) = timeout(SILENCE, self.http.get(url).send()).await else { return Left::ComeBack };
        if response.status() != 200 {
            return self.refused(response.status().as_u16());
        }
        self.record.visits += 1;
        let mut events = pin!(unless_silent(response).eventsource());
        while let Some(Ok(event)) = events.next().await {
            self.take(Seen { id: event.id, event: event.event, data: event.data });
        }
        // Also after the last event: the answer to coming back with its id is 204.
        Left::ComeBack
    }

    async fn over_ws(&mut self, node: &str) -> Left {
        let url = match self.url(node, "ws").await {
            Ok(url) => url.replacen("http", "ws", 1),
            Err(left) => return left,
        };
        let mut socket = match timeout(SILENCE, tokio_tungstenite::connect_async(url)).await {
            Ok(Ok((socket, _))) => socket,
            Ok(Err(Error::Http(response))) => return self.refused(response.status().as_u16()),
            _ => return Left::ComeBack,
        };
        self.record.visits += 1;
        while let Ok(Some(Ok(message))) = timeout(SILENCE, socket.next()).await {
            match message {
                Message::Text(text) => match serde_json::from_str(&text).expect("JSON") {
                    Value::Array(events) => events.iter().for_each(|event| self.take_json(event)),
                    event => self.take_json(&event),
                },
                Message::Close(frame) => {
                    return match frame.map(|frame| u16::from(frame.code)) {
                        Some(1000) => Left::Complete,
                        Some(1011) => Left::Gone,
                        _ => Left::ComeBack,
                    };
                }
                _ => {}
            }
        }
        Left::ComeBack
    }

    /// Where to follow from what was seen last, with a token that is good for all that is known.
    async fn url(&mut self, node: &str, transport: &str) -> Result<String, Left> {
        if self.token.is_none() {
            self.token = Some(self.ask_for_token(node).await?);
        }
        let (key, token) = (&self.way.key, self.token.as_deref().unwrap_or_default());
        let after = self.record.events.last().map(|seen| format!("&last_event_id={}", seen.id)).unwrap_or_default();
        Ok(format!("{node}/api/client/{transport}?key={key}&token={token}{after}"))
    }

    /// What the client's backend would do for it.
    async fn ask_for_token(&mut self, node: &str) -> Result<String, Left> {
        let body = json!({"key": self.way.key, "ttl": TOKEN_SECONDS}).to_string();
        let request = self.http.post(format!("{node}/api/stream/token")).header("X-API-KEY", API_KEY).body(body);
        let Ok(Ok(response)) = timeout(SILENCE, request.send()).await else { return Err(Left::ComeBack) };
        match response.status().as_u16() {
            200 => {
                let Ok(Ok(access)) = timeout(SILENCE, response.json::<Value>()).await else { return Err(Left::ComeBack) };
                Ok(access["token"].as_str().expect("a token").to_owned())
            }
            status => Err(self.refused(status)),
        }
    }

    fn refused(&mut self, status: u16) -> Left {
        match status {
            204 => Left::Complete,
            401 => {
                self.token = None;
                Left::ComeBack
            }
            429 | 503 => Left::ComeBack,
            403 | 404 => Left::Gone,
            status => panic!("no answer for a good client: {status}"),
        }
    }

    fn take_json(&mut self, event: &Value) {
        let text = |name: &str| match &event[name] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        self.take(Seen { id: text("id"), event: text("event"), data: text("data") });
    }

    fn take(&mut self, seen: Seen) {
        if seen.event == "missedevents" {
            self.record.told.push(serde_json::from_str(&seen.data).expect("JSON"));
            return;
        }
        self.progress.store(number(&seen.id) + 1, Ordering::Relaxed);
        self.record.events.push(seen);
    }
}

/// The body, until it ends or says nothing for too long.
fn unless_silent(response: reqwest::Response) -> impl Stream<Item = reqwest::Result<Bytes>> {
    stream::unfold(response, |mut response| async {
        let chunk = timeout(SILENCE, response.chunk()).await.ok()?.transpose()?;
        Some((chunk, response))
    })
}
