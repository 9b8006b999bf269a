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
    common::{
        broker::API_KEY,
        follower::{Follower, Heard, Told, Transport},
        number,
    },
    course::Way,
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
pub(crate) enum Fate {
    /// The subscriber received all of it.
    Complete,
    /// The stream was deleted.
    Gone,
}

/// What a subscriber received of a stream.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// From number 0 on, without a hole or a repeat.
    pub(crate) events: Vec<Seen>,
    pub(crate) fate: Option<Fate>,
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

pub(crate) struct Client {
    ways: Vec<Way>,
    http: reqwest::Client,
    follower: Follower,
    /// The number of received events of each stream, for other tasks to watch.
    progress: Vec<Arc<AtomicU64>>,
    record: Record,
}

impl Client {
    /// A subscriber of these streams. It stores its progress in each of them.
    pub(crate) fn new(transport: Transport, ways: Vec<Way>, progress: Vec<Arc<AtomicU64>>) -> Self {
        let mut follower = Follower::at("", transport, ways.iter().map(|way| &way.key), "");
        follower.silence = SILENCE;
        if transport == Transport::Poll {
            // A poll's response that comes later counts as lost.
            follower = follower.with(format!("&wait={}", SILENCE.as_secs() / 2));
        }
        let record = Record {
            transport,
            streams: ways.iter().map(|_| History::default()).collect(),
            visits: 0,
        };
        Self {
            ways,
            http: reqwest::Client::new(),
            follower,
            progress,
            record,
        }
    }

    /// Follows to the end through all faults. `turn` selects the first node.
    pub(crate) async fn follow(mut self, mut turn: usize) -> Record {
        let mut answered = 0;
        let fate = loop {
            self.follower.url = self.ways[0].node(turn);
            match self.hear().await {
                Heard::Told(told) => {
                    self.take(told);
                    continue;
                }
                Heard::Over => break Fate::Complete,
                Heard::Cut(Some(1011)) | Heard::Refused(403 | 404, _) => break Fate::Gone,
                Heard::Refused(401, _) => self.follower.token.clear(),
                Heard::Cut(_) | Heard::Refused(429 | 503, _) => {}
                Heard::Refused(status, error) => {
                    panic!("no answer for a good client: {status} {error}")
                }
            }
            // A subscriber that polls stays with a node that answers.
            if self.record.transport != Transport::Poll || self.follower.connections == answered {
                turn += 1;
            }
            answered = self.follower.connections;
            sleep(PAUSE.mul_f64(0.5 + fastrand::f64())).await;
        };
        for history in &mut self.record.streams {
            history.fate.get_or_insert(fate);
        }
        self.record
    }

    /// The next outcome. Requests a token for all known streams first.
    async fn hear(&mut self) -> Heard {
        if self.follower.token.is_empty()
            && let Err(heard) = self.ask_for_token().await
        {
            return heard;
        }
        let heard = self.follower.hear().await;
        // The answer to a reconnect may be that there is nothing more.
        if heard != Heard::Over {
            self.record.visits = self.follower.connections;
        }
        heard
    }

    /// Requests a token, as the subscriber's backend would.
    async fn ask_for_token(&mut self) -> Result<(), Heard> {
        // A deleted stream must not keep the subscriber from the other stream, nor from the
        // notification about the deleted one.
        let wait = self.record.visits > 0 && self.ways.len() > 1;
        let body =
            json!({"keys": self.follower.keys, "ttl": TOKEN_SECONDS, "wait": wait}).to_string();
        let request = self
            .http
            .post(format!("{}/api/stream/token", self.follower.url))
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
                    .clone_into(&mut self.follower.token);
                Ok(())
            }
            Ok(Ok((status, error))) => Err(Heard::Refused(status, error)),
            Ok(Err(_)) | Err(_) => Err(Heard::Cut(None)),
        }
    }

    /// Checks each update at once, because a subscriber that receives the same data for ever
    /// reaches no end.
    fn take(&mut self, told: Told) {
        let of = self
            .ways
            .iter()
            .position(|way| way.key == told.key)
            .expect("one of its streams");
        let history = &mut self.record.streams[of];
        assert_eq!(
            history.fate.filter(|_| !told.is("missedevents")),
            None,
            "nothing comes of a stream that is gone: {told:?}"
        );
        if told.is("missedevents") {
            assert!(
                told.missed()["first"].is_null(),
                "nothing is missed: {told:?}"
            );
            history.fate = Some(Fate::Gone);
            return;
        }
        let Told {
            id: Some(id),
            event: Some(event),
            data,
            ..
        } = told
        else {
            panic!("an event: {told:?}")
        };
        let next = history.events.len() as u64;
        assert_eq!(
            number(&id),
            next,
            "a {:?} client of {} streams is told what follows",
            self.record.transport,
            self.ways.len()
        );
        self.progress[of].store(next + 1, Ordering::Relaxed);
        history.events.push(Seen { id, event, data });
    }
}

/// Whether no subscriber over a lasting connection was cut off, closed or refused. Polls are left
/// out.
pub(crate) fn nobody_was_closed(records: &[Record]) -> bool {
    records
        .iter()
        .all(|record| record.visits == 1 || record.transport == Transport::Poll)
}
