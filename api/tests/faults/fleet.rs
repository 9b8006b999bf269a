//! A stream with a writer and clients, all at work while things break, and the judgement at the end, by the ids.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{
    sync::OwnedMutexGuard,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    client::{Client, Record, Transport},
    common::{
        Broker, Kind, assert_contiguous, broker,
        broker::{API_KEY, Setup},
    },
    writer::{Writer, Written},
};

/// For waits that would never end: longer than any fault here lasts and any machine takes to get over it.
const DEADLINE: Duration = Duration::from_secs(150);

/// Where a stream is to be had: the key, and the URLs of nodes, or of ways to them, which may change.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) key: String,
    nodes: Arc<RwLock<Vec<String>>>,
}

impl Way {
    /// One of the nodes, in turn.
    pub(crate) fn node(&self, turn: usize) -> String {
        let nodes = self.nodes.read().expect("no panic under the lock");
        nodes[turn % nodes.len()].clone()
    }
}

/// What a fleet is to be.
pub(crate) struct Plan {
    way: Way,
    clients: usize,
    event_bytes: usize,
    ttl: u64,
}

/// A stream with its writers and its clients.
pub(crate) struct Fleet {
    way: Way,
    writer: Writer,
    clients: Vec<JoinHandle<Record>>,
    progress: Vec<Arc<AtomicU64>>,
}

/// A broker that breaks silence every second, so that clients notice lost connections soon.
pub(crate) fn node(kind: Kind) -> Setup {
    broker(kind).set("HEARTBEAT", 1).set("SHUTDOWN_GRACE", 3).set("MAX_CLIENTS", 100)
}

/// A fleet on these nodes: eight clients, half of them over SSE and half over WebSocket.
pub(crate) fn fleet(nodes: &[&str]) -> Plan {
    let nodes = nodes.iter().map(|&url| url.to_owned()).collect();
    let way = Way { key: "chat".to_owned(), nodes: Arc::new(RwLock::new(nodes)) };
    Plan { way, clients: 8, event_bytes: 20, ttl: 600 }
}

impl Plan {
    pub(crate) fn key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.way.key);
        self
    }

    pub(crate) fn clients(self, clients: usize) -> Self {
        Self { clients, ..self }
    }

    pub(crate) fn event_bytes(self, event_bytes: usize) -> Self {
        Self { event_bytes, ..self }
    }

    /// Seconds that the stream lives after its last event.
    pub(crate) fn ttl(self, ttl: u64) -> Self {
        Self { ttl, ..self }
    }

    /// Creates the stream, sends writer and clients on their way, and waits until events flow.
    pub(crate) async fn start(self) -> Fleet {
        let way = self.way;
        // Nothing is ever trimmed: what is missing was lost.
        let stream = json!({"key": way.key, "ttl": self.ttl, "max_events": 1_000_000});
        let (status, answer) = post(&way.node(0), "/api/stream/", &stream).await.expect("an answer");
        assert_eq!(status, 200, "{answer}");
        let progress: Vec<_> = (0..self.clients).map(|_| Arc::new(AtomicU64::new(0))).collect();
        let clients = progress.iter().enumerate().map(|(turn, progress)| {
            let transport = if turn % 2 == 0 { Transport::Sse } else { Transport::Ws };
            // Of each transport, some begin at each node.
            tokio::spawn(Client::new(transport, way.clone(), Arc::clone(progress)).follow(turn / 2))
        });
        let fleet = Fleet { clients: clients.collect(), writer: Writer::start(way.clone(), self.event_bytes), way, progress };
        fleet.flows().await;
        fleet
    }
}

impl Fleet {
    /// Waits until events that are written from now on are acknowledged and have come to every client.
    pub(crate) async fn flows(&self) {
        let confirmed = self.writer.confirmed() + 10;
        eventually("events are acknowledged", || self.writer.confirmed() >= confirmed).await;
        let length = self.writer.length();
        eventually("they come to every client", || self.seen_by_all() >= length).await;
    }

    /// Waits until the writer was refused, so often from now on.
    pub(crate) async fn is_refused(&self, times: u64) {
        let refused = self.writer.refused() + times;
        eventually("writes are refused", || self.writer.refused() >= refused).await;
    }

    /// The events that each of the clients has seen at the least.
    pub(crate) fn seen_by_all(&self) -> u64 {
        self.progress.iter().map(|seen| seen.load(Ordering::Relaxed)).min().unwrap_or(u64::MAX)
    }

    /// How many writes were acknowledged.
    pub(crate) fn confirmed(&self) -> u64 {
        self.writer.confirmed()
    }

    /// Lets the writers rest while the guards are held.
    pub(crate) async fn pause(&self) -> [OwnedMutexGuard<()>; 2] {
        self.writer.pause().await
    }

    /// From now on the fleet uses these nodes.
    pub(crate) fn go_to(&self, nodes: &[&str]) {
        *self.way.nodes.write().expect("no panic under the lock") = nodes.iter().map(|&url| url.to_owned()).collect();
    }

    /// Ends the stream, and checks that every client has all of it exactly once, with every acknowledged event in it and none twice; what each saw.
    pub(crate) async fn end_whole(self) -> Vec<Record> {
        let written = self.writer.stop().await;
        assert_eq!(written.lost, None, "the writer was never told that its stream is no more");
        eventually_ended(&self.way).await;
        let records = all(self.clients).await;
        for record in &records {
            assert!(record.complete, "told that it has it all: {}", told(record));
            assert!(record.told.is_empty(), "nothing was missed: {}", told(record));
            assert_contiguous(record.events.iter().map(|seen| seen.id.as_str()), 0);
            assert_eq!(record.events.last().map(|seen| seen.event.as_str()), Some("end"), "{}", told(record));
            assert_holds(record, &written);
        }
        records
    }

    /// Waits until the writer and every client were told that the stream is no more, and checks that what each client saw
    /// until then is its beginning.
    pub(crate) async fn end_lost(self) -> Vec<Record> {
        let written = timeout(DEADLINE, self.writer.lost()).await.expect("the writer is told");
        assert!(matches!(written.lost.as_deref(), Some("no-active-stream" | "sequence-gap")), "{:?}", written.lost);
        let records = all(self.clients).await;
        for record in &records {
            assert!(!record.complete && record.told.is_empty(), "{}", told(record));
            assert_contiguous(record.events.iter().map(|seen| seen.id.as_str()), 0);
            assert!(record.events.iter().all(|seen| seen.event != "end"));
        }
        records
    }

    /// [`Fleet::end_whole`] or, where the stream was lost, [`Fleet::end_lost`]. Whether it was whole.
    pub(crate) async fn end_whole_or_lost(self) -> bool {
        let written = self.writer.stop().await;
        let ended = written.lost.is_none() && end(&self.way).await;
        let records = all(self.clients).await;
        for record in &records {
            assert_eq!((record.complete, record.told.len()), (ended, 0), "{}", told(record));
            assert_contiguous(record.events.iter().map(|seen| seen.id.as_str()), 0);
            if ended {
                assert_holds(record, &written);
            }
        }
        ended
    }
}

/// Checks that the client has every acknowledged event, under the id that was given for it, and the writer's events in order.
fn assert_holds(record: &Record, written: &Written) {
    let by_id: HashMap<&str, &str> = record.events.iter().map(|seen| (seen.id.as_str(), seen.data.as_str())).collect();
    for event in written.acknowledged.iter().chain(&written.once) {
        if let Some(id) = &event.id {
            assert_eq!(by_id.get(id.as_str()), Some(&event.data.as_str()), "{id}");
        }
    }
    let times = record.events.iter().map(|seen| seen.id.split_once('-').map(|(ms, _)| ms.parse::<u64>().expect("a time")));
    assert!(times.is_sorted(), "ids do not go back");
    let of = |name: &str| -> Vec<&str> { record.events.iter().filter(|seen| seen.event == name).map(|seen| seen.data.as_str()).collect() };
    let seen = of("n");
    let wanted: Vec<&str> = written.acknowledged.iter().map(|event| event.data.as_str()).collect();
    assert!(seen == wanted, "{} events of the writer were seen, of {}", seen.len(), wanted.len());
    // What was not confirmed may be there, but not twice.
    let once = of("once");
    assert_eq!(once.iter().collect::<HashSet<_>>().len(), once.len(), "sent once, and there twice: {once:?}");
}

fn told(record: &Record) -> String {
    let last = record.events.last();
    format!("{:?}: {} events, the last {last:?}, {:?} after {} visits", record.transport, record.events.len(), record.told, record.visits)
}

async fn all(clients: Vec<JoinHandle<Record>>) -> Vec<Record> {
    let all = timeout(DEADLINE, futures::future::join_all(clients)).await.expect("every client comes to an end");
    all.into_iter().map(|record| record.expect("a client that did not panic")).collect()
}

/// Waits until it is so.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

async fn eventually_ended(way: &Way) {
    assert!(end(way).await, "the stream is there to be ended");
}

/// Ends the stream, at whichever node does it. Whether there was one.
async fn end(way: &Way) -> bool {
    let trying = async {
        let mut unconfirmed = false;
        for turn in 0.. {
            match post(&way.node(turn), "/api/stream/end", &json!({"key": way.key})).await {
                Some((200, _)) => return true,
                // An attempt that was not confirmed may have done it.
                Some((404, _)) => return unconfirmed,
                Some((503, _)) | None => unconfirmed = true,
                Some((status, answer)) => panic!("{status}: {answer}"),
            }
            sleep(Duration::from_millis(50)).await;
        }
        false
    };
    timeout(DEADLINE, trying).await.expect("the stream is ended")
}

/// A backend's request; nothing where it was not answered.
pub(crate) async fn post(node: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
    let request = reqwest::Client::new().post(format!("{node}{path}")).header("X-API-KEY", API_KEY).body(body.to_string());
    let asking = async {
        let response = request.send().await.ok()?;
        Some((response.status().as_u16(), response.json().await.ok()?))
    };
    timeout(Duration::from_secs(10), asking).await.ok()?
}

/// The URLs of the brokers.
pub(crate) fn urls(brokers: &[Broker]) -> Vec<&str> {
    brokers.iter().map(|broker| broker.url.as_str()).collect()
}
