//! A subscriber of one or many streams over any transport. It resumes where it was cut off, as
//! client libraries for that transport do.

mod parse;

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    time::Duration,
};

use futures::{Stream, TryStreamExt};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Error;

use super::{Broker, within, ws::Ws};

/// The transport of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transport {
    Sse,
    Ws,
    Ndjson,
    Poll,
}

impl Transport {
    pub(crate) const ALL: [Self; 4] = [Self::Sse, Self::Ws, Self::Ndjson, Self::Poll];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sse => "sse",
            Self::Ws => "ws",
            Self::Ndjson => "ndjson",
            Self::Poll => "poll",
        }
    }
}

/// One update of a stream as a subscriber received it: an event, `missedevents`, or a position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) key: String,
    /// None in `missedevents`.
    pub(crate) id: Option<String>,
    /// None where only the position is sent.
    pub(crate) event: Option<String>,
    /// Empty where there is no data. Some transports do not tell these apart.
    pub(crate) data: String,
}

impl Update {
    /// The data of a `missedevents`.
    pub(crate) fn missed(&self) -> Value {
        assert_eq!(self.event.as_deref(), Some("missedevents"), "{self:?}");
        serde_json::from_str(&self.data).expect("JSON")
    }

    pub(crate) fn is(&self, event: &str) -> bool {
        self.event.as_deref() == Some(event)
    }
}

/// The next outcome on a subscriber's connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Outcome {
    Update(Update),
    /// The connection ended, with the close code of a WebSocket; of a poll, its response ended. The
    /// subscriber may resume.
    Disconnected(Option<u16>),
    /// There will be no further update.
    Complete,
    Refused(u16, Value),
}

/// A subscriber, connected or not.
pub(crate) struct Subscriber {
    pub(crate) url: String,
    pub(crate) transport: Transport,
    pub(crate) keys: Vec<String>,
    pub(crate) token: String,
    /// Further parameters: `&name=value`.
    pub(crate) more: String,
    /// How often a broker admitted it, or answered that there is nothing more.
    pub(crate) connections: u32,
    /// The connection counts as lost after this silence without a heartbeat.
    pub(crate) silence: Duration,
    /// The cursor to resume from: over SSE the last id parsed, over polls the cursor of the last
    /// response, else the initial cursor.
    pub(crate) cursor: String,
    /// Over the other transports, the last id of each stream since then.
    pub(crate) positions: BTreeMap<String, String>,
    connection: Option<Connection>,
    /// Each with the id of its SSE block.
    received: VecDeque<(Update, Option<String>)>,
}

enum Connection {
    Bytes(
        Pin<Box<dyn Stream<Item = reqwest::Result<Vec<u8>>> + Send>>,
        Vec<u8>,
    ),
    Ws(Box<Ws>),
    Answered {
        is_active: bool,
    },
}

/// Encodes a parameter's value, or a key in a cursor, at least as strictly as `encodeURIComponent`.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// Issues a token for this request.
pub(crate) async fn token(broker: &Broker, wanted: Value) -> String {
    let (status, access) = broker.post("/api/stream/token", wanted).await;
    assert_eq!(status, 200, "{access}");
    access["token"].as_str().expect("a token").to_owned()
}

/// The stored events of a stream.
pub(crate) async fn stored(broker: &Broker, key: &str) -> Vec<Update> {
    let url = format!("/api/stream/events?key={}", encoded(key));
    let (_, events) = broker.get(&url).await;
    let text = |event: &Value, name: &str| event[name].as_str().map(ToOwned::to_owned);
    let update = |event| Update {
        key: key.to_owned(),
        id: text(event, "id"),
        event: text(event, "event"),
        data: text(event, "data").unwrap_or_default(),
    };
    events
        .as_array()
        .expect("events")
        .iter()
        .map(update)
        .collect()
}

/// The keys as parameters.
pub(crate) fn with_keys<K: AsRef<str>>(keys: &[K]) -> String {
    keys.iter()
        .flat_map(|key| ["&key=".to_owned(), encoded(key.as_ref())])
        .collect()
}

impl Subscriber {
    pub(crate) fn new<K: ToString>(
        broker: &Broker,
        transport: Transport,
        keys: impl IntoIterator<Item = K>,
        token: &str,
    ) -> Self {
        Self::at(&broker.url, transport, keys, token)
    }

    /// A subscriber of the broker at this URL.
    pub(crate) fn at<K: ToString>(
        url: &str,
        transport: Transport,
        keys: impl IntoIterator<Item = K>,
        token: &str,
    ) -> Self {
        Self {
            url: url.to_owned(),
            transport,
            keys: keys.into_iter().map(|key| key.to_string()).collect(),
            token: token.to_owned(),
            more: String::new(),
            connections: 0,
            silence: Duration::MAX,
            cursor: String::new(),
            positions: BTreeMap::new(),
            connection: None,
            received: VecDeque::new(),
        }
    }

    /// Adds further parameters: `&name=value`.
    pub(crate) fn with(mut self, more: impl Into<String>) -> Self {
        self.more = more.into();
        self
    }

    /// Resumes from this cursor.
    pub(crate) fn after(mut self, cursor: impl Into<String>) -> Self {
        self.cursor = cursor.into();
        self
    }

    /// Disconnects and drops what it has not read. It resumes from its position. A response to a
    /// poll is kept whole.
    pub(crate) fn cut(&mut self) {
        if self.transport != Transport::Poll {
            self.connection = None;
            self.received.clear();
        }
    }

    /// The cursor to resume from.
    pub(crate) fn resume(&self) -> String {
        if let ([_], Some(id)) = (&self.keys[..], self.positions.values().next()) {
            return id.clone();
        }
        let begun = (!self.cursor.is_empty()).then(|| self.cursor.clone());
        let since = self
            .positions
            .iter()
            .map(|(key, id)| format!("{}:{id}", encoded(key)));
        begun.into_iter().chain(since).collect::<Vec<_>>().join(",")
    }

    pub(crate) async fn next(&mut self) -> Outcome {
        within(self.next_outcome()).await
    }

    /// The next update on this connection, or over polls in any response.
    pub(crate) async fn update(&mut self) -> Update {
        loop {
            match self.next().await {
                Outcome::Update(update) => return update,
                Outcome::Disconnected(_) if self.transport == Transport::Poll => {}
                other => panic!("{:?} receives an update, not {other:?}", self.transport),
            }
        }
    }

    /// All updates until there is nothing more, over as many connections as that needs.
    pub(crate) async fn rest(&mut self) -> Vec<Update> {
        let mut all = Vec::new();
        loop {
            match self.next().await {
                Outcome::Update(update) => all.push(update),
                Outcome::Disconnected(_) => {}
                Outcome::Complete => return all,
                refused @ Outcome::Refused(..) => panic!("{:?}: {refused:?}", self.transport),
            }
            assert!(all.len() < 1_000_000, "a stream that repeats itself");
        }
    }

    /// The status and code of the refusal.
    pub(crate) async fn refused(&mut self) -> (u16, String) {
        match self.next().await {
            Outcome::Refused(status, error) => {
                (status, error["code"].as_str().expect("a code").to_owned())
            }
            other => panic!("{:?} is refused, not {other:?}", self.transport),
        }
    }

    /// The next outcome, without a time limit.
    pub(crate) async fn next_outcome(&mut self) -> Outcome {
        let silence = self.silence;
        loop {
            if let Some((update, cursor)) = self.received.pop_front() {
                self.note(&update, cursor);
                return Outcome::Update(update);
            }
            match &mut self.connection {
                None => match timeout(silence, self.connect()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(outcome)) => return outcome,
                    Err(_) => return Outcome::Disconnected(None),
                },
                Some(Connection::Answered { is_active }) => {
                    let outcome = if *is_active {
                        Outcome::Disconnected(None)
                    } else {
                        Outcome::Complete
                    };
                    self.connection = None;
                    return outcome;
                }
                Some(Connection::Ws(socket)) => match socket.next_unless_silent(silence).await {
                    Ok(Value::Array(objects)) => self.take(&objects),
                    Ok(object) => self.take(&[object]),
                    Err(frame) => {
                        self.connection = None;
                        let code = frame.map(|frame| u16::from(frame.code));
                        return if code == Some(1000) {
                            Outcome::Complete
                        } else {
                            Outcome::Disconnected(code)
                        };
                    }
                },
                Some(Connection::Bytes(bytes, unread)) => {
                    // An incomplete last frame or line does not count.
                    let Ok(Ok(Some(more))) = timeout(silence, bytes.try_next()).await else {
                        self.connection = None;
                        return Outcome::Disconnected(None);
                    };
                    unread.extend(more);
                    self.read().await;
                }
            }
        }
    }

    async fn connect(&mut self) -> Result<(), Outcome> {
        let keys = with_keys(&self.keys);
        let Self {
            url, token, more, ..
        } = self;
        let url = format!(
            "{url}/api/client/{}?token={token}{keys}{more}",
            self.transport.name()
        );
        let resume = self.resume();
        let after = if resume.is_empty() {
            String::new()
        } else {
            format!("&after={}", encoded(&resume))
        };
        if self.transport == Transport::Ws {
            let url = format!("{}{after}", url.replacen("http", "ws", 1));
            return match tokio_tungstenite::connect_async(url).await {
                Ok((socket, _)) => {
                    self.connections += 1;
                    self.connection = Some(Connection::Ws(Box::new(Ws(socket))));
                    Ok(())
                }
                Err(Error::Http(response)) => {
                    let body = response.body().as_deref().unwrap_or_default();
                    // The library may have received only the head of a response that was cut off.
                    Err(Outcome::Refused(
                        response.status().as_u16(),
                        serde_json::from_slice(body).unwrap_or_default(),
                    ))
                }
                Err(_) => Err(Outcome::Disconnected(None)),
            };
        }
        // Each request uses a new connection, because a broken one must not come from a pool.
        let http = super::http_client_builder()
            .pool_max_idle_per_host(0)
            .build()
            .expect("a subscriber");
        let request = match self.transport {
            Transport::Sse if !resume.is_empty() => http.get(url).header("Last-Event-ID", resume),
            _ => http.get(format!("{url}{after}")),
        };
        let Ok(response) = request.send().await else {
            return Err(Outcome::Disconnected(None));
        };
        match (response.status().as_u16(), self.transport) {
            (204, _) => {
                self.connections += 1;
                Err(Outcome::Complete)
            }
            (200, Transport::Poll) => {
                let Ok(answer) = response.json::<Value>().await else {
                    return Err(Outcome::Disconnected(None));
                };
                self.connections += 1;
                self.take(answer["events"].as_array().expect("events"));
                answer["cursor"]
                    .as_str()
                    .unwrap_or_default()
                    .clone_into(&mut self.cursor);
                self.connection = Some(Connection::Answered {
                    is_active: answer["status"] == "active",
                });
                Ok(())
            }
            (200, _) => {
                self.connections += 1;
                let bytes = response.bytes_stream().map_ok(|bytes| bytes.to_vec());
                self.connection = Some(Connection::Bytes(Box::pin(bytes), Vec::new()));
                Ok(())
            }
            (status, _) => match response.json().await {
                Ok(error) => Err(Outcome::Refused(status, error)),
                Err(_) => Err(Outcome::Disconnected(None)),
            },
        }
    }
}
