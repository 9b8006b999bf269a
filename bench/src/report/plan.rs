//! What a report runs.

use crate::{
    scenario::{Churn, Fanout, Idle, Ingest, Scenario, Slow, Streams},
    target::Kind,
};

/// The floor first: others are told in terms of it.
pub(super) const TARGETS: [Kind; 4] = [Kind::Floor, Kind::Exclusive, Kind::Shared, Kind::Memory];

/// Without the floor, which keeps nothing to resume from.
const BROKERS: [Kind; 3] = [Kind::Exclusive, Kind::Shared, Kind::Memory];

/// The numbers of clients in the plots.
pub(super) const CLIENTS: [usize; 3] = [10, 100, 1000];

pub(super) const FAST: [&str; 3] = [
    "10 clients, as fast as it goes",
    "100 clients, as fast as it goes",
    "1,000 clients, as fast as it goes",
];
pub(super) const PACED: [&str; 3] = [
    "10 clients, 50 events/s",
    "100 clients, 50 events/s",
    "1,000 clients, 10 events/s",
];
pub(super) const IDLE: [&str; 3] = ["10 idle clients", "100 idle clients", "1,000 idle clients"];
pub(super) const BATCHED: &str = "100 clients, 50 events a batch, as fast as it goes";
pub(super) const STREAMS: &str = "200 streams × 20 events/s";
pub(super) const SINGLE: &str = "8 writers, 1 event a request";
pub(super) const MANY: &str = "8 writers, 50 events a request";
pub(super) const CHURN: &str = "200 clients that come and go, 100 events/s";
pub(super) const SLOW: &str = "20 clients of which 10 stall, 30 MB";
pub(super) const CROWD: &str = "10,000 clients, 10 events/s";

/// A scenario with its figures.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) scenario: Scenario,
    pub(super) targets: Vec<Kind>,
    pub(super) seconds: f64,
    /// How often it is run; the median counts.
    pub(super) times: usize,
}

/// The standard set.
pub(super) fn plan() -> Vec<Row> {
    let row = |name, scenario, times| Row {
        name,
        scenario,
        targets: TARGETS.to_vec(),
        seconds: 1.5,
        times,
    };
    let fanout = |clients, batch, rate| {
        Scenario::Fanout(Fanout {
            clients,
            batch,
            rate,
            window: 2000,
        })
    };
    let mut rows = Vec::new();
    for (place, clients) in CLIENTS.into_iter().enumerate() {
        // The rows of the comparison with others are run three times, the ends of the curves once.
        let times = if clients == 100 { 3 } else { 1 };
        // 1,000 clients at 50 events/s are beyond a connection each on two cores.
        let rate = if clients == 1000 { 10.0 } else { 50.0 };
        rows.push(row(FAST[place], fanout(clients, 1, None), times));
        // Long enough for the kernel's hundredths of a second to mean something.
        rows.push(Row {
            seconds: 3.0,
            ..row(PACED[place], fanout(clients, 1, Some(rate)), times)
        });
        rows.push(row(
            IDLE[place],
            Scenario::Idle(Idle { clients, rounds: 2 }),
            1,
        ));
    }
    rows.push(row(BATCHED, fanout(100, 50, None), 3));
    rows.push(row(
        STREAMS,
        Scenario::Streams(Streams::alone(200, 20.0, false)),
        3,
    ));
    rows.push(row(
        SINGLE,
        Scenario::Ingest(Ingest {
            publishers: 8,
            batch: 1,
        }),
        3,
    ));
    rows.push(row(
        MANY,
        Scenario::Ingest(Ingest {
            publishers: 8,
            batch: 50,
        }),
        3,
    ));
    let churn = Scenario::Churn(Churn {
        clients: 200,
        rate: 100.0,
    });
    rows.push(Row {
        targets: BROKERS.to_vec(),
        seconds: 3.0,
        ..row(CHURN, churn, 1)
    });
    let slow = Scenario::Slow(Slow {
        clients: 20,
        stalled: 50,
        megabytes: 30,
        size: 1000,
    });
    rows.push(Row {
        targets: BROKERS.to_vec(),
        seconds: 3.0,
        ..row(SLOW, slow, 1)
    });
    rows.push(Row {
        targets: vec![Kind::Shared],
        seconds: 5.0,
        ..row(CROWD, fanout(10_000, 1, Some(10.0)), 1)
    });
    rows
}
