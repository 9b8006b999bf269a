//! A stream with a writer and clients, all at work while things break, and the judgement at the
//! end, by the ids.
//!
//! Beside it is a second stream, its companion, which is written to now and then: keyed clients
//! follow both over one connection.

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

/// For waits that would never end: longer than any fault here lasts and any machine takes to get
/// over it.
pub(crate) const DEADLINE: Duration = Duration::from_secs(150);

/// The pause after each batch of events of a fleet's stream, and of its companion.
const PAUSES: [Duration; 2] = [Duration::from_millis(25), Duration::from_millis(150)];

/// How clients follow, in turn, and how many streams: of eight clients there are two of each of the
/// first and one of each of the others.
const CLIENTS: [(Transport, usize); 6] =
    [(Sse, 1), (Ws, 1), (Sse, 2), (Ws, 2), (Ndjson, 2), (Poll, 2)];

/// What a fleet is to be.
pub(crate) struct Plan {
    way: Way,
    clients: usize,
    /// The place among [`CLIENTS`] of the first.
    first: usize,
    event_bytes: usize,
    ttl: u64,
}

/// A stream and its companion, each with its writers, and their clients.
pub(crate) struct Fleet {
    stream: Course,
    companion: Course,
    clients: Vec<JoinHandle<Record>>,
}

/// A broker that breaks silence every second, so that clients notice lost connections soon.
pub(crate) fn node(kind: Kind) -> Setup {
    broker(kind)
        .set("HEARTBEAT", 1)
        .set("SHUTDOWN_GRACE", 3)
        .set("MAX_CLIENTS", 100)
}

/// A fleet on these nodes, of eight clients.
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

    /// Where there are few of them: the kind of the first.
    pub(crate) fn beginning_with(self, first: usize) -> Self {
        Self { first, ..self }
    }

    pub(crate) fn event_bytes(self, event_bytes: usize) -> Self {
        Self {
            event_bytes,
            ..self
        }
    }

    /// Seconds that the stream lives after its last event.
    pub(crate) fn ttl(self, ttl: u64) -> Self {
        Self { ttl, ..self }
    }

    /// Creates the streams, sends writers and clients on their way, and waits until events flow.
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
            // Of each kind, some begin at each node, and of those of a kind alone, some kinds.
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
    /// Waits until events that are written from now on are acknowledged and have come to every
    /// client.
    pub(crate) async fn flows(&self) {
        tokio::join!(self.stream.flows(10), self.companion.flows(1));
    }

    /// Waits until the writer was refused, so often from now on.
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

    /// Lets the writers rest while the guards are held.
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

    /// Ends the streams, and checks that every client has all of them exactly once, with every
    /// acknowledged event in them and none twice; what each saw.
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

    /// Waits until the writer and every client were told that the stream is no more, and checks
    /// that what each client saw until then is its beginning. The companion may be gone or not.
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

    /// [`Fleet::end_whole`] or, where a stream was lost, as [`Fleet::end_lost`]. Whether the first
    /// was whole.
    pub(crate) async fn end_whole_or_lost(self) -> bool {
        let ended = [self.stream.end().await, self.companion.end().await];
        judge(&all(self.clients).await, &ended);
        ended[0].1
    }
}

/// Checks that every client has what was written to each stream, or was told that the stream is no
/// more, where it was not ended.
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

/// Waits until it is so.
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
