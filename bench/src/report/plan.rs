//! The scenarios of the report.

use crate::{
    scenario::{Churn, Fanout, Idle, Ingest, Scenario, Slow, Streams},
    target::Kind,
};

/// The baseline comes first: the ratios of the others refer to it.
pub(super) const TARGETS: [Kind; 4] = [Kind::Baseline, Kind::Exclusive, Kind::Shared, Kind::Memory];

/// Without the baseline, which has no history to resume from.
const BROKERS: [Kind; 3] = [Kind::Exclusive, Kind::Shared, Kind::Memory];

/// The numbers of subscribers in the plots.
pub(super) const SUBSCRIBERS: [usize; 3] = [10, 100, 1000];

pub(super) const FAST: [&str; 3] = [
    "10 subscribers, at full speed",
    "100 subscribers, at full speed",
    "1,000 subscribers, at full speed",
];
pub(super) const PACED: [&str; 3] = [
    "10 subscribers, 50 events/s",
    "100 subscribers, 50 events/s",
    "1,000 subscribers, 10 events/s",
];
pub(super) const IDLE: [&str; 3] = [
    "10 idle subscribers",
    "100 idle subscribers",
    "1,000 idle subscribers",
];
pub(super) const BATCHED: &str = "100 subscribers, 50 events per batch, at full speed";
pub(super) const STREAMS: &str = "200 streams × 20 events/s";
pub(super) const SINGLE: &str = "8 publishers, 1 event per request";
pub(super) const MANY: &str = "8 publishers, 50 events per request";
pub(super) const CHURN: &str = "200 subscribers that disconnect and resume, 100 events/s";
pub(super) const SLOW: &str = "20 subscribers, 10 stalled, 30 MB";
pub(super) const CROWD: &str = "10,000 subscribers, 10 events/s";

/// A scenario with its numbers.
pub(super) struct ReportRow {
    pub(super) name: &'static str,
    pub(super) scenario: Scenario,
    pub(super) targets: Vec<Kind>,
    pub(super) seconds: f64,
    /// How often it is run; the median counts.
    pub(super) times: usize,
}

/// The standard set.
pub(super) fn plan() -> Vec<ReportRow> {
    let row = |name, scenario, times| ReportRow {
        name,
        scenario,
        targets: TARGETS.to_vec(),
        seconds: 1.5,
        times,
    };
    let fanout = |subscribers, batch, rate| {
        Scenario::Fanout(Fanout {
            subscribers,
            batch,
            rate,
            window: 2000,
        })
    };
    let mut rows = Vec::new();
    for (place, subscribers) in SUBSCRIBERS.into_iter().enumerate() {
        // The rows that are compared with others are run three times, the ends of the curves once.
        let times = if subscribers == 100 { 3 } else { 1 };
        // With a connection each on two cores, 1,000 subscribers at 50 events/s are too many.
        let rate = if subscribers == 1000 { 10.0 } else { 50.0 };
        rows.push(row(FAST[place], fanout(subscribers, 1, None), times));
        // Long enough for a clock that counts hundredths of a second.
        rows.push(ReportRow {
            seconds: 3.0,
            ..row(PACED[place], fanout(subscribers, 1, Some(rate)), times)
        });
        rows.push(row(
            IDLE[place],
            Scenario::Idle(Idle {
                subscribers,
                rounds: 2,
            }),
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
        subscribers: 200,
        rate: 100.0,
    });
    rows.push(ReportRow {
        targets: BROKERS.to_vec(),
        seconds: 3.0,
        ..row(CHURN, churn, 1)
    });
    let slow = Scenario::Slow(Slow {
        subscribers: 20,
        stalled: 50,
        megabytes: 30,
        size: 1000,
    });
    rows.push(ReportRow {
        targets: BROKERS.to_vec(),
        seconds: 3.0,
        ..row(SLOW, slow, 1)
    });
    rows.push(ReportRow {
        targets: vec![Kind::Shared],
        seconds: 5.0,
        ..row(CROWD, fanout(10_000, 1, Some(10.0)), 1)
    });
    rows
}
