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
    client::{Client, Record},
    common::{
        Broker, Kind, broker,
        broker::Setup,
        follower::Transport::{self, Ndjson, Poll, Sse, Ws},
    },
    course::{Course, Way},
    writer::Written,
};

/// The timeout of waits that would never end. It is longer than any fault here and the recovery
/// from it on any machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(150);

/// The pause after each batch of events of a fleet's stream, and of its companion.
const PAUSES: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(150)];

/// The transports of subscribers, in turn, and how many streams they follow. Of eight subscribers
/// two have each of the first kinds, and one has each of the others.
const CLIENTS: [(Transport, usize); 6] =
    [(Sse, 1), (Ws, 1), (Sse, 2), (Ws, 2), (Ndjson, 2), (Poll, 2)];

/// The settings of a fleet.
pub(crate) struct Plan {
    way: Way,
    clients: usize,
    /// The index in [`SUBSCRIBERS`] of the first subscriber.
    first: usize,
    event_bytes: usize,
    ttl: u64,
}

/// A stream and its companion, each with its writers, and their subscribers.
pub(crate) struct Fleet {
    stream: Course,
    companion: Course,
    clients: Vec<JoinHandle<Record>>,
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
    let way = Way {
        key: "chat".to_owned(),
        nodes: Arc::new(RwLock::new(nodes)),
    };
    Plan {
        way,
        clients: 8,
        first: 0,
        event_bytes: 20,
        ttl: 600,
    }
}

impl Plan {
    pub(crate) fn key(mut self, key: &str) -> Self {
        key.clone_into(&mut self.way.key);
        self
    }

    pub(crate) fn clients(self, clients: usize) -> Self {
        Self { clients, ..self }
    }

    /// Selects the kind of the first subscriber, where there are few.
    pub(crate) fn beginning_with(self, first: usize) -> Self {
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
        let companion = Way {
            key: format!("{}:b", self.way.key),
            ..self.way.clone()
        };
        let mut stream = Course::start(self.way, self.ttl, self.event_bytes, PAUSES[0]).await;
        let mut companion = Course::start(companion, self.ttl, 20, PAUSES[1]).await;
        let clients = (0..self.clients).map(|turn| {
            let (transport, streams) = CLIENTS[(self.first + turn) % CLIENTS.len()];
            let courses = [&mut stream, &mut companion].into_iter().take(streams);
            let (ways, progress) = courses
                .map(|course| (course.way.clone(), course.watch()))
                .unzip();
            // Distributes the subscribers of each kind over the nodes. Of kinds with one
            // subscriber, some begin at each node.
            tokio::spawn(
                Client::new(transport, ways, progress)
                    .follow(turn / CLIENTS.len() + turn % CLIENTS.len() / 2),
            )
        });
        let clients = clients.collect();
        let fleet = Fleet {
            stream,
            companion,
            clients,
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
            .way
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
                "the writer was never told that its stream is no more"
            );
            assert!(is_ended, "the stream is there to be ended");
        }
        let records = all(self.clients).await;
        judge(&records, &ended);
        records
    }

    /// Waits until the writer and every subscriber have learned that the stream was deleted. Checks
    /// that each subscriber received a prefix of the stream until then. The companion may or may
    /// not exist.
    pub(crate) async fn end_lost(self) -> Vec<Record> {
        let written = timeout(DEADLINE, self.stream.writer.lost())
            .await
            .expect("the writer is told");
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
        let records = all(self.clients).await;
        judge(&records, &ended);
        records
    }

    /// [`Fleet::end_whole`] or, where a stream was lost, as [`Fleet::end_lost`]. Returns whether
    /// the first stream was whole.
    pub(crate) async fn end_whole_or_lost(self) -> bool {
        let ended = [self.stream.end().await, self.companion.end().await];
        judge(&all(self.clients).await, &ended);
        ended[0].1
    }
}

/// Checks that every subscriber received what was written to each ended stream, and learned of the
/// deletion of each other one.
fn judge(records: &[Record], ended: &[(Written, bool); 2]) {
    for record in records {
        let who = format!(
            "{:?} client of {} streams after {} visits",
            record.transport,
            record.streams.len(),
            record.visits
        );
        for (history, (written, is_ended)) in record.streams.iter().zip(ended) {
            if *is_ended {
                history.assert_whole(&who, written);
            } else {
                history.assert_gone(&who);
            }
        }
    }
}

async fn all(clients: Vec<JoinHandle<Record>>) -> Vec<Record> {
    let all = timeout(DEADLINE, futures::future::join_all(clients))
        .await
        .expect("every client comes to an end");
    all.into_iter()
        .map(|record| record.expect("a client that did not panic"))
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
