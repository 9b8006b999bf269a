//! A stream with writers and subscribers under load while faults happen. At the end the ids show
//! whether anything was lost.
//!
//! A second stream, the companion, receives events now and then. Keyed subscribers follow both
//! streams over one connection.

use std::{
    sync::{Arc, RwLock},
    time::Duration,
};

use tokio::{
    sync::OwnedMutexGuard,
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::{
    active_stream::{ActiveStream, Endpoint},
    common::{
        Broker, Kind, broker,
        broker::Setup,
        subscriber::Transport::{self, Ndjson, Poll, Sse, Ws},
    },
    fleet_subscriber::{FleetSubscriber, Record},
    writer::Written,
};

/// The timeout of waits that would never end. It is longer than any fault here and the recovery
/// from it on any machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(150);

/// The pause after each batch of events of a fleet's stream, and of its companion.
const PAUSES: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(150)];

/// The transports of subscribers, in turn, and how many streams they follow. Of eight subscribers
/// two have each of the first kinds, and one has each of the others.
const SUBSCRIBERS: [(Transport, usize); 6] =
    [(Sse, 1), (Ws, 1), (Sse, 2), (Ws, 2), (Ndjson, 2), (Poll, 2)];

/// The settings of a fleet.
pub(crate) struct Plan {
    endpoint: Endpoint,
    subscribers: usize,
    /// The index in [`SUBSCRIBERS`] of the first subscriber.
    first: usize,
    event_bytes: usize,
    ttl: u64,
}

/// A stream and its companion, each with its writers, and their subscribers.
pub(crate) struct Fleet {
    stream: ActiveStream,
    companion: ActiveStream,
    subscribers: Vec<JoinHandle<Record>>,
}

/// A broker with a heartbeat every second, so that subscribers detect lost connections soon.
pub(crate) fn node(kind: Kind) -> Setup {
    broker(kind)
        .set("HEARTBEAT", 1)
        .set("SHUTDOWN_GRACE", 3)
        .set("MAX_CLIENTS", 100)
}

/// A fleet of eight subscribers on these nodes.
pub(crate) fn fleet(nodes: &[&str]) -> Plan {
    let nodes = nodes.iter().map(|&url| url.to_owned()).collect();
    let endpoint = Endpoint {
        key: "chat".to_owned(),
        nodes: Arc::new(RwLock::new(nodes)),
    };
    Plan {
        endpoint,
        subscribers: 8,
        first: 0,
        event_bytes: 20,
        ttl: 600,
    }
}

impl Plan {
    pub(crate) fn key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.endpoint.key);
        self
    }

    pub(crate) fn subscribers(self, subscribers: usize) -> Self {
        Self {
            subscribers,
            ..self
        }
    }

    /// Selects the kind of the first subscriber, where there are few.
    pub(crate) fn first_kind(self, first: usize) -> Self {
        Self { first, ..self }
    }

    pub(crate) fn event_bytes(self, event_bytes: usize) -> Self {
        Self {
            event_bytes,
            ..self
        }
    }

    /// Seconds that the stream exists after its last event.
    pub(crate) fn ttl(self, ttl: u64) -> Self {
        Self { ttl, ..self }
    }

    /// Creates the streams, starts writers and subscribers, and waits until events flow.
    pub(crate) async fn start(self) -> Fleet {
        let companion = Endpoint {
            key: format!("{}:b", self.endpoint.key),
            ..self.endpoint.clone()
        };
        let mut stream =
            ActiveStream::start(self.endpoint, self.ttl, self.event_bytes, PAUSES[0]).await;
        let mut companion = ActiveStream::start(companion, self.ttl, 20, PAUSES[1]).await;
        let subscribers = (0..self.subscribers).map(|turn| {
            let (transport, streams) = SUBSCRIBERS[(self.first + turn) % SUBSCRIBERS.len()];
            let active_streams = [&mut stream, &mut companion].into_iter().take(streams);
            let (endpoints, progress) = active_streams
                .map(|active_stream| (active_stream.endpoint.clone(), active_stream.watch()))
                .unzip();
            // Distributes the subscribers of each kind over the nodes. Of kinds with one
            // subscriber, some begin at each node.
            tokio::spawn(
                FleetSubscriber::new(transport, endpoints, progress)
                    .follow(turn / SUBSCRIBERS.len() + turn % SUBSCRIBERS.len() / 2),
            )
        });
        let subscribers = subscribers.collect();
        let fleet = Fleet {
            stream,
            companion,
            subscribers,
        };
        fleet.flows().await;
        fleet
    }
}

impl Fleet {
    /// Waits until new events are acknowledged and have reached every subscriber.
    pub(crate) async fn flows(&self) {
        tokio::join!(self.stream.flows(10), self.companion.flows(1));
    }

    /// Waits until the writer receives this many more refusals.
    pub(crate) async fn is_refused(&self, times: u64) {
        let refused = self.stream.writer.refused() + times;
        eventually("writes are refused", || {
            self.stream.writer.refused() >= refused
        })
        .await;
    }

    /// How many writes were acknowledged.
    pub(crate) fn confirmed(&self) -> u64 {
        self.stream.writer.confirmed()
    }

    /// Pauses the writers while the guards are held.
    pub(crate) async fn pause(&self) -> [[OwnedMutexGuard<()>; 2]; 2] {
        [self.stream.pause().await, self.companion.pause().await]
    }

    /// From now on the fleet uses these nodes.
    pub(crate) fn go_to(&self, nodes: &[&str]) {
        *self
            .stream
            .endpoint
            .nodes
            .write()
            .expect("no panic under the lock") = nodes.iter().map(|&url| url.to_owned()).collect();
    }

    /// Ends the streams. Checks that every subscriber received each of them exactly once, with
    /// every acknowledged event in them and none twice. Returns what each received.
    pub(crate) async fn end_whole(self) -> Vec<Record> {
        let ended = [self.stream.end().await, self.companion.end().await];
        for (written, is_ended) in &ended {
            assert_eq!(
                written.lost, None,
                "the writer never learned that its stream was deleted"
            );
            assert!(is_ended, "the stream exists until it is ended");
        }
        let records = all(self.subscribers).await;
        verify(&records, &ended);
        records
    }

    /// Waits until the writer and every subscriber have learned that the stream was deleted. Checks
    /// that each subscriber received a prefix of the stream until then. The companion may or may
    /// not exist.
    pub(crate) async fn end_lost(self) -> Vec<Record> {
        let written = timeout(DEADLINE, self.stream.writer.lost())
            .await
            .expect("the writer learns it");
        assert!(
            matches!(
                written.lost.as_deref(),
                Some("no-active-stream" | "sequence-gap")
            ),
            "{:?}",
            written.lost
        );
        self.companion.is_answered().await;
        let ended = [(written, false), self.companion.end().await];
        let records = all(self.subscribers).await;
        verify(&records, &ended);
        records
    }

    /// [`Fleet::end_whole`] or, where a stream was lost, as [`Fleet::end_lost`]. Returns whether
    /// the first stream was whole.
    pub(crate) async fn end_whole_or_lost(self) -> bool {
        let ended = [self.stream.end().await, self.companion.end().await];
        verify(&all(self.subscribers).await, &ended);
        ended[0].1
    }
}

/// Checks that every subscriber received what was written to each ended stream, and learned of the
/// deletion of each other one.
fn verify(records: &[Record], ended: &[(Written, bool); 2]) {
    for record in records {
        let name = format!(
            "{:?} subscriber of {} streams after {} visits",
            record.transport,
            record.streams.len(),
            record.visits
        );
        for (history, (written, is_ended)) in record.streams.iter().zip(ended) {
            if *is_ended {
                history.assert_whole(&name, written);
            } else {
                history.assert_deleted(&name);
            }
        }
    }
}

async fn all(subscribers: Vec<JoinHandle<Record>>) -> Vec<Record> {
    let all = timeout(DEADLINE, futures::future::join_all(subscribers))
        .await
        .expect("every subscriber reaches an end");
    all.into_iter()
        .map(|record| record.expect("a subscriber that did not panic"))
        .collect()
}

/// Waits until the condition holds.
pub(crate) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let waiting = async {
        while !is_so() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(DEADLINE, waiting)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"));
}

/// The URLs of the brokers.
pub(crate) fn urls(brokers: &[Broker]) -> Vec<&str> {
    brokers.iter().map(|broker| broker.url.as_str()).collect()
}
