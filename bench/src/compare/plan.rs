//! The scenarios and metrics of a comparison.

use crate::{
    result::{CPU, DELIVERIES, EVENTS, P99, REDIS_CPU, RunResult},
    scenario::{Fanout, Idle, Ingest, MEMORY, MEMORY_AGAIN, Scenario, Streams},
    target::Kind,
};

/// A metric that two builds are compared by.
pub(super) struct Metric {
    /// The name of the metric.
    pub(super) name: &'static str,
    pub(super) more_is_better: bool,
    value: fn(&RunResult) -> Option<f64>,
}

impl Metric {
    /// The value of the metric in a run. None where it was not measured.
    pub(super) fn of(&self, run: &RunResult) -> Option<f64> {
        (self.value)(run)
    }
}

/// A scenario, and the metrics of it to compare.
pub(super) struct ComparedScenario {
    pub(super) name: &'static str,
    pub(super) scenario: Scenario,
    pub(super) target: Kind,
    pub(super) metrics: &'static [Metric],
    pub(super) seconds: f64,
}

const RATE: Metric = Metric {
    name: DELIVERIES,
    more_is_better: true,
    value: |run| run.get(DELIVERIES),
};
const WRITES: Metric = Metric {
    name: EVENTS,
    more_is_better: true,
    value: |run| run.get(EVENTS),
};
const LATENCY: Metric = Metric {
    name: P99,
    more_is_better: false,
    value: |run| run.get(P99),
};
const ALL_CPU: Metric = Metric {
    name: "CPU µs/event",
    more_is_better: false,
    value: |run| Some(run.get(CPU)? + run.get(REDIS_CPU).unwrap_or_default()),
};
const ONE: Metric = Metric {
    name: MEMORY,
    more_is_better: false,
    value: |run| run.get(MEMORY),
};
/// Memory that the broker does not free when subscribers leave shows in the last round.
const GROWTH: Metric = Metric {
    name: "last round / first",
    more_is_better: false,
    value: |run| Some(run.get(MEMORY_AGAIN)? / run.get(MEMORY)?),
};

/// The metrics of each kind of scenario.
pub(super) struct Metrics {
    pub(super) fanout: [Metric; 2],
    paced: [Metric; 2],
    ingest: [Metric; 2],
    idle: [Metric; 2],
}

pub(super) const METRICS: &Metrics = &Metrics {
    fanout: [RATE, ALL_CPU],
    paced: [ALL_CPU, LATENCY],
    ingest: [WRITES, ALL_CPU],
    idle: [ONE, GROWTH],
};

/// The scenarios, in the order of their measurement; with fewer subscribers for a quick run.
pub(super) fn plan(quick: bool) -> Vec<ComparedScenario> {
    let fanout = |rate| {
        Scenario::Fanout(Fanout {
            subscribers: 100,
            batch: 1,
            rate,
            window: 2000,
        })
    };
    let ingest = |batch| {
        Scenario::Ingest(Ingest {
            publishers: 8,
            batch,
        })
    };
    let idle = if quick {
        Idle {
            subscribers: 200,
            rounds: 2,
        }
    } else {
        Idle {
            subscribers: 1000,
            rounds: 4,
        }
    };
    let row = |name, scenario, metrics, seconds| ComparedScenario {
        name,
        scenario,
        target: Kind::Shared,
        metrics,
        seconds,
    };
    vec![
        row("fan-out to 100", fanout(None), &METRICS.fanout, 3.0),
        ComparedScenario {
            target: Kind::Exclusive,
            ..row(
                "fan-out to 100, exclusive",
                fanout(None),
                &METRICS.fanout,
                3.0,
            )
        },
        // Long enough for a clock that counts hundredths of a second.
        row(
            "50 events/s to 100",
            fanout(Some(50.0)),
            &METRICS.paced,
            5.0,
        ),
        row(
            "200 streams × 20 events/s",
            Scenario::Streams(Streams::alone(200, 20.0, false)),
            &METRICS.paced,
            3.0,
        ),
        row(
            "8 publishers, 1 event per request",
            ingest(1),
            &METRICS.ingest,
            2.0,
        ),
        row(
            "8 publishers, 50 events per request",
            ingest(50),
            &METRICS.ingest,
            2.0,
        ),
        row(
            "1,000 idle subscribers",
            Scenario::Idle(idle),
            &METRICS.idle,
            0.0,
        ),
    ]
}
