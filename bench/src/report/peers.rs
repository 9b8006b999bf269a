//! Compares the broker with its peers: all under the same load, on one machine, in one run.

use std::{fmt::Write, path::PathBuf};

use super::{
    ReportResults,
    plan::ReportRow,
    table::{self, ALL_CPU, RatioRow, Table},
    versions::{versions, with_commit},
    write,
};
use crate::{
    error::Outcome,
    result::{CPU, DELIVERIES, EVENTS, MAX, P50, P99, REDIS_CPU},
    scenario::{
        Common, Fanout, Idle, Ingest, MEMORY, MEMORY_AGAIN, REDIS_CONNECTIONS, REDIS_MEMORY,
        Scenario, Streams,
    },
    target::{Kind, Selection},
};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Peers {
    /// One short run of each, to see that everything works; the numbers mean little
    #[arg(long)]
    quick: bool,
    /// The file to write
    #[arg(long, default_value = "docs/operations/comparison.md")]
    file: PathBuf,
}

/// The baseline comes first: the ratios of the others refer to it.
const TARGETS: [Kind; 7] = [
    Kind::Baseline,
    Kind::Exclusive,
    Kind::Shared,
    Kind::Memory,
    Kind::Nchan,
    Kind::DurableStreams,
    Kind::DurableStreamsMemory,
];

/// The targets that take uploads.
const UPLOADING: [Kind; 4] = [Kind::Baseline, Kind::Exclusive, Kind::Shared, Kind::Memory];

const FAST: &str = "100 subscribers, at full speed";
const PACED: &str = "100 subscribers, 50 events/s";
const UPLOADS: &str = "200 streams × 20 events/s, an upload each";
const REQUESTS: &str = "200 streams × 20 events/s, a request per event";
const INGEST: &str = "8 publishers, 1 event per request";
const IDLE: &str = "1,000 idle subscribers";

const RATIOS: [RatioRow; 10] = [
    (FAST, DELIVERIES, "deliveries/s"),
    (FAST, ALL_CPU, "CPU per event, Redis included"),
    (PACED, P99, "p99"),
    (PACED, ALL_CPU, "CPU per event, Redis included"),
    (UPLOADS, P99, "p99"),
    (UPLOADS, ALL_CPU, "CPU per event, Redis included"),
    (REQUESTS, P99, "p99"),
    (REQUESTS, ALL_CPU, "CPU per event, Redis included"),
    (INGEST, EVENTS, "events/s"),
    (IDLE, MEMORY, "memory per subscriber"),
];

const TABLES: [Table; 5] = [
    (
        "One stream, at full speed",
        &[FAST],
        &[DELIVERIES, P50, P99, CPU, REDIS_CPU, ALL_CPU],
    ),
    (
        "One stream, paced",
        &[PACED],
        &[DELIVERIES, P50, P99, MAX, CPU, REDIS_CPU, ALL_CPU],
    ),
    (
        "Many streams, a publisher and a subscriber each",
        &[UPLOADS, REQUESTS],
        &[EVENTS, P50, P99, MAX, CPU, REDIS_CPU, ALL_CPU],
    ),
    (
        "Ingest, closed loop; times are those of requests",
        &[INGEST],
        &[EVENTS, P50, P99, CPU, REDIS_CPU, ALL_CPU],
    ),
    (
        "Idle subscribers",
        &[IDLE],
        &[MEMORY, MEMORY_AGAIN, REDIS_MEMORY, REDIS_CONNECTIONS],
    ),
];

impl Peers {
    /// Returns whether every subscriber received every event once and in order.
    pub(crate) async fn run(&self, common: &Common, selection: &Selection) -> Outcome<bool> {
        // nchan can reach Redis only over TCP, which is slower.
        let mut selection = selection.clone();
        selection.redis_tcp = true;
        let found = ReportResults::of(&plan(), self.quick, common, &selection).await;
        write(&self.file, &page(&found, &versions(&selection)))?;
        Ok(found.is_good())
    }
}

fn plan() -> Vec<ReportRow> {
    let row = |name, scenario, targets: &[Kind], seconds| ReportRow {
        name,
        scenario,
        targets: targets.to_vec(),
        seconds,
        times: 3,
    };
    let fanout = |rate| {
        Scenario::Fanout(Fanout {
            subscribers: 100,
            batch: 1,
            rate,
            window: 2000,
        })
    };
    let streams = |requests| Scenario::Streams(Streams::alone(200, 20.0, requests));
    vec![
        row(FAST, fanout(None), &TARGETS, 2.0),
        // Long enough for a clock that counts hundredths of a second.
        row(PACED, fanout(Some(50.0)), &TARGETS, 4.0),
        row(UPLOADS, streams(false), &UPLOADING, 2.0),
        row(REQUESTS, streams(true), &TARGETS, 2.0),
        row(
            INGEST,
            Scenario::Ingest(Ingest {
                publishers: 8,
                batch: 1,
            }),
            &TARGETS,
            2.0,
        ),
        row(
            IDLE,
            Scenario::Idle(Idle {
                subscribers: 1000,
                rounds: 2,
            }),
            &TARGETS,
            2.0,
        ),
    ]
}

fn page(found: &ReportResults, versions: &[(&str, String)]) -> String {
    let mut page = with_commit(INTRODUCTION);
    table::ratios(&mut page, &found.results, &TARGETS, &RATIOS);
    page.push_str(ABSOLUTE);
    for (heading, rows, columns) in TABLES {
        table::absolute(&mut page, &found.results, &TARGETS, heading, rows, columns);
    }
    page.push_str(CONFIGURATION);
    page.push_str("\n## Versions\n\n");
    for (name, version) in versions {
        // Writing to memory does not fail.
        let _ = writeln!(page, "- {name}: {version}");
    }
    table::faults(&mut page, &found.results, "events");
    table::skipped(&mut page, &found.skipped);
    page
}

const INTRODUCTION: &str = include_str!("text/peers_introduction.md");

/// The introduction of the absolute numbers.
const ABSOLUTE: &str = include_str!("text/peers_absolute.md");

const CONFIGURATION: &str = include_str!("text/peers_configuration.md");
