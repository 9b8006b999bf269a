//! What a comparison measures.

use crate::{
    result::{CPU, DELIVERIES, EVENTS, Findings, P99, REDIS_CPU},
    scenario::{Fanout, Idle, Ingest, MEMORY, MEMORY_AGAIN, Scenario, Streams},
    target::Kind,
};

/// A figure that two builds are compared by.
pub(super) struct Figure {
    /// What it is called.
    pub(super) name: &'static str,
    pub(super) more_is_better: bool,
    value: fn(&Findings) -> Option<f64>,
}

impl Figure {
    /// Its value in a run; none where it was not measured.
    pub(super) fn of(&self, found: &Findings) -> Option<f64> {
        (self.value)(found)
    }
}

/// A scenario, and the figures of it that are compared.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) scenario: Scenario,
    pub(super) target: Kind,
    pub(super) figures: &'static [Figure],
    pub(super) seconds: f64,
}

const RATE: Figure = Figure {
    name: DELIVERIES,
    more_is_better: true,
    value: |found| found.get(DELIVERIES),
};
const WRITES: Figure = Figure {
    name: EVENTS,
    more_is_better: true,
    value: |found| found.get(EVENTS),
};
const LATENCY: Figure = Figure {
    name: P99,
    more_is_better: false,
    value: |found| found.get(P99),
};
const ALL_CPU: Figure = Figure {
    name: "CPU µs/event",
    more_is_better: false,
    value: |found| Some(found.get(CPU)? + found.get(REDIS_CPU).unwrap_or_default()),
};
const ONE: Figure = Figure {
    name: MEMORY,
    more_is_better: false,
    value: |found| found.get(MEMORY),
};
/// What is not given back when subscribers leave shows in the last round.
const GROWTH: Figure = Figure {
    name: "last round / first",
    more_is_better: false,
    value: |found| Some(found.get(MEMORY_AGAIN)? / found.get(MEMORY)?),
};

/// The figures of each kind of scenario.
pub(super) struct Figures {
    pub(super) fanout: [Figure; 2],
    paced: [Figure; 2],
    ingest: [Figure; 2],
    idle: [Figure; 2],
}

pub(super) const FIGURES: &Figures = &Figures {
    fanout: [RATE, ALL_CPU],
    paced: [ALL_CPU, LATENCY],
    ingest: [WRITES, ALL_CPU],
    idle: [ONE, GROWTH],
};

/// The rows, in the order in which they are measured; with fewer clients for a quick look.
pub(super) fn plan(quick: bool) -> Vec<Row> {
    let fanout = |rate| {
        Scenario::Fanout(Fanout {
            clients: 100,
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
            clients: 200,
            rounds: 2,
        }
    } else {
        Idle {
            clients: 1000,
            rounds: 4,
        }
    };
    let row = |name, scenario, figures, seconds| Row {
        name,
        scenario,
        target: Kind::Shared,
        figures,
        seconds,
    };
    vec![
        row("fan-out to 100", fanout(None), &FIGURES.fanout, 3.0),
        Row {
            target: Kind::Exclusive,
            ..row(
                "fan-out to 100, exclusive",
                fanout(None),
                &FIGURES.fanout,
                3.0,
            )
        },
        // Long enough for the kernel's hundredths of a second to mean something.
        row(
            "50 events/s to 100",
            fanout(Some(50.0)),
            &FIGURES.paced,
            5.0,
        ),
        row(
            "200 streams × 20 events/s",
            Scenario::Streams(Streams::alone(200, 20.0, false)),
            &FIGURES.paced,
            3.0,
        ),
        row(
            "8 writers, 1 event a request",
            ingest(1),
            &FIGURES.ingest,
            2.0,
        ),
        row(
            "8 writers, 50 events a request",
            ingest(50),
            &FIGURES.ingest,
            2.0,
        ),
        row(
            "1,000 idle subscribers",
            Scenario::Idle(idle),
            &FIGURES.idle,
            0.0,
        ),
    ]
}
