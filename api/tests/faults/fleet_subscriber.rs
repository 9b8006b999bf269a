//! A subscriber that behaves well and checks what it receives. It follows, and resumes from its
//! position wherever it was cut off or refused. It stops when there is nothing more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    active_stream::Endpoint,
    common::{
        broker::API_KEY,
        http_client, number,
        subscriber::{Outcome, Subscriber, Transport, Update},
    },
};

/// The connection counts as lost after this silence. The brokers of these tests send a heartbeat
/// every second.
const SILENCE: Duration = Duration::from_secs(12);

/// The lifetime of a token. It is short, so that subscribers that reconnect late need another one.
const TOKEN_SECONDS: u64 = 20;

/// The pause before a subscriber reconnects.
const PAUSE: Duration = Duration::from_millis(50);

/// An event as a subscriber received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: String,
    pub(crate) event: String,
    pub(crate) data: String,
}

/// How a stream ended for a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The subscriber received all of it.
    Complete,
    /// The stream was deleted.
    Deleted,
}

/// What a subscriber received of a stream.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// From number 0 on, without a hole or a repeat.
    pub(crate) events: Vec<Seen>,
    pub(crate) ending: Option<Ending>,
}

/// Everything that a subscriber received.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) transport: Transport,
    /// The fleet's stream and, for a keyed subscriber, its companion.
    pub(crate) streams: Vec<History>,
    /// How often it connected: once, unless it was cut off or closed. For polls, the number of
    /// responses.
    pub(crate) visits: u32,
}

pub(crate) struct FleetSubscriber {
    endpoints: Vec<Endpoint>,
    http: reqwest::Client,
    subscriber: Subscriber,
    /// The number of received events of each stream, for other tasks to watch.
    progress: Vec<Arc<AtomicU64>>,
    record: Record,
}

impl FleetSubscriber {
    /// A subscriber of these streams. It stores its progress in each of them.
    pub(crate) fn new(
        transport: Transport,
        endpoints: Vec<Endpoint>,
        progress: Vec<Arc<AtomicU64>>,
    ) -> Self {
        let mut subscriber = Subscriber::at(
            "",
            transport,
            endpoints.iter().map(|endpoint| &endpoint.key),
            "",
        );
        subscriber.silence = SILENCE;
        if transport == Transport::Poll {
            // A poll's response that comes later counts as lost.
            subscriber = subscriber.with(format!("&wait={}", SILENCE.as_secs() / 2));
        }
        let record = Record {
            transport,
            streams: endpoints.iter().map(|_| History::default()).collect(),
            visits: 0,
        };
        Self {
            endpoints,
            http: http_client(),
            subscriber,
            progress,
            record,
        }
    }

    /// Follows to the end through all faults. `turn` selects the first node.
    pub(crate) async fn follow(mut self, mut turn: usize) -> Record {
        let mut answered = 0;
        let ending = loop {
            self.subscriber.url = self.endpoints[0].node(turn);
            match self.next_outcome().await {
                Outcome::Update(update) => {
                    self.take(update);
                    continue;
                }
                Outcome::Complete => break Ending::Complete,
                Outcome::Disconnected(Some(1011)) | Outcome::Refused(403 | 404, _) => {
                    break Ending::Deleted;
                }
                Outcome::Refused(401, _) => self.subscriber.token.clear(),
                Outcome::Disconnected(_) | Outcome::Refused(429 | 503, _) => {}
                Outcome::Refused(status, error) => {
                    panic!("no good subscriber receives: {status} {error}")
                }
            }
            // A subscriber that polls stays with a node that answers.
            if self.record.transport != Transport::Poll || self.subscriber.connections == answered {
                turn += 1;
            }
            answered = self.subscriber.connections;
            sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
        };
        for history in &mut self.record.streams {
            history.ending.get_or_insert(ending);
        }
        self.record
    }

    /// The next outcome. Requests a token for all known streams first.
    async fn next_outcome(&mut self) -> Outcome {
        if self.subscriber.token.is_empty()
            && let Err(outcome) = self.request_token().await
        {
            return outcome;
        }
        let outcome = self.subscriber.next_outcome().await;
        // The answer to a reconnect may be that there is nothing more.
        if outcome != Outcome::Complete {
            self.record.visits = self.subscriber.connections;
        }
        outcome
    }

    /// Requests a token, as the subscriber's backend would.
    async fn request_token(&mut self) -> Result<(), Outcome> {
        // A deleted stream must not keep the subscriber from the other stream, nor from the
        // notification about the deleted one.
        let wait = self.record.visits > 0 && self.endpoints.len() > 1;
        let body =
            json!({"keys": self.subscriber.keys, "ttl": TOKEN_SECONDS, "wait": wait}).to_string();
        let request = self
            .http
            .post(format!("{}/api/stream/token", self.subscriber.url))
            .header("X-API-KEY", API_KEY)
            .body(body);
        let asking = async {
            let response = request.send().await?;
            Ok::<_, reqwest::Error>((response.status().as_u16(), response.json::<Value>().await?))
        };
        match timeout(SILENCE, asking).await {
            Ok(Ok((200, access))) => {
                access["token"]
                    .as_str()
                    .expect("a token")
                    .clone_into(&mut self.subscriber.token);
                Ok(())
            }
            Ok(Ok((status, error))) => Err(Outcome::Refused(status, error)),
            Ok(Err(_)) | Err(_) => Err(Outcome::Disconnected(None)),
        }
    }

    /// Checks each update at once, because a subscriber that receives the same data for ever
    /// reaches no end.
    fn take(&mut self, update: Update) {
        let of = self
            .endpoints
            .iter()
            .position(|endpoint| endpoint.key == update.key)
            .expect("one of its streams");
        let history = &mut self.record.streams[of];
        assert_eq!(
            history.ending.filter(|_| !update.is("missedevents")),
            None,
            "nothing arrives from a deleted stream: {update:?}"
        );
        if update.is("missedevents") {
            assert!(
                update.missed()["first"].is_null(),
                "no event is missed: {update:?}"
            );
            history.ending = Some(Ending::Deleted);
            return;
        }
        let Update {
            id: Some(id),
            event: Some(event),
            data,
            ..
        } = update
        else {
            panic!("an event: {update:?}")
        };
        let next = history.events.len() as u64;
        assert_eq!(
            number(&id),
            next,
            "a {:?} subscriber of {} streams receives the next event",
            self.record.transport,
            self.endpoints.len()
        );
        self.progress[of].store(next + 1, Ordering::Relaxed);
        history.events.push(Seen { id, event, data });
    }
}

/// Whether no subscriber over a lasting connection was cut off, closed or refused. Polls are left
/// out.
pub(crate) fn no_subscriber_was_closed(records: &[Record]) -> bool {
    records
        .iter()
        .all(|record| record.visits == 1 || record.transport == Transport::Poll)
}
