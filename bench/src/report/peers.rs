//! The broker among its neighbours: all under the same load, on one machine, in one run.

use std::{fmt::Write, path::PathBuf};

use super::{
    Found,
    plan::Row,
    table::{self, ALL_CPU, Ratio, Table},
    versions::{measured_at, versions},
    write,
};
use crate::{
    problem::Outcome,
    result::{CPU, DELIVERIES, EVENTS, MAX, P50, P99, REDIS_CPU},
    scenario::{
        Common, Fanout, Idle, Ingest, MEMORY, MEMORY_AGAIN, REDIS_CONNECTIONS, REDIS_MEMORY,
        Scenario, Streams,
    },
    target::{Kind, Selection},
};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Peers {
    /// One short run of each, to see that everything works; its numbers mean little
    #[arg(long)]
    quick: bool,
    /// Where the page goes
    #[arg(long, default_value = "docs/peers.md")]
    file: PathBuf,
}

/// The floor first: others are told in terms of it.
const TARGETS: [Kind; 7] = [
    Kind::Floor,
    Kind::Exclusive,
    Kind::Shared,
    Kind::Memory,
    Kind::Nchan,
    Kind::DurableStreams,
    Kind::DurableStreamsMemory,
];

/// Those that take uploads.
const UPLOADING: [Kind; 4] = [Kind::Floor, Kind::Exclusive, Kind::Shared, Kind::Memory];

const FAST: &str = "100 clients, as fast as it goes";
const PACED: &str = "100 clients, 50 events/s";
const UPLOADS: &str = "200 streams × 20 events/s, an upload each";
const REQUESTS: &str = "200 streams × 20 events/s, a request per event";
const INGEST: &str = "8 writers, 1 event a request";
const IDLE: &str = "1,000 idle clients";

const RATIOS: [Ratio; 10] = [
    (FAST, DELIVERIES, "deliveries/s"),
    (FAST, ALL_CPU, "CPU per event, Redis included"),
    (PACED, P99, "p99"),
    (PACED, ALL_CPU, "CPU per event, Redis included"),
    (UPLOADS, P99, "p99"),
    (UPLOADS, ALL_CPU, "CPU per event, Redis included"),
    (REQUESTS, P99, "p99"),
    (REQUESTS, ALL_CPU, "CPU per event, Redis included"),
    (INGEST, EVENTS, "events/s"),
    (IDLE, MEMORY, "memory per client"),
];

const TABLES: [Table; 5] = [
    (
        "One stream, as fast as the clients take it",
        &[FAST],
        &[DELIVERIES, P50, P99, CPU, REDIS_CPU, ALL_CPU],
    ),
    (
        "One stream, paced",
        &[PACED],
        &[DELIVERIES, P50, P99, MAX, CPU, REDIS_CPU, ALL_CPU],
    ),
    (
        "Many streams, a writer and a client each",
        &[UPLOADS, REQUESTS],
        &[EVENTS, P50, P99, MAX, CPU, REDIS_CPU, ALL_CPU],
    ),
    (
        "Ingest, closed loop; times are those of requests",
        &[INGEST],
        &[EVENTS, P50, P99, CPU, REDIS_CPU, ALL_CPU],
    ),
    (
        "Idle clients",
        &[IDLE],
        &[MEMORY, MEMORY_AGAIN, REDIS_MEMORY, REDIS_CONNECTIONS],
    ),
];

impl Peers {
    /// Whether every client got what it should.
    pub(crate) async fn run(&self, common: &Common, selection: &Selection) -> Outcome<bool> {
        // nchan knows no other way, and it costs.
        let mut selection = selection.clone();
        selection.redis_tcp = true;
        let found = Found::of(&plan(), self.quick, common, &selection).await;
        write(&self.file, &page(&found, &versions(&selection)))?;
        Ok(found.is_good())
    }
}

fn plan() -> Vec<Row> {
    let row = |name, scenario, targets: &[Kind], seconds| Row {
        name,
        scenario,
        targets: targets.to_vec(),
        seconds,
        times: 3,
    };
    let fanout = |rate| {
        Scenario::Fanout(Fanout {
            clients: 100,
            batch: 1,
            rate,
            window: 2000,
        })
    };
    let streams = |requests| Scenario::Streams(Streams::alone(200, 20.0, requests));
    vec![
        row(FAST, fanout(None), &TARGETS, 2.0),
        // Long enough for the kernel's hundredths of a second to mean something.
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
                clients: 1000,
                rounds: 2,
            }),
            &TARGETS,
            2.0,
        ),
    ]
}

fn page(found: &Found, versions: &[(&str, String)]) -> String {
    let mut page = INTRODUCTION.replacen("\n\n", &format!("\n{}\n", measured_at()), 1);
    table::ratios(&mut page, &found.results, &TARGETS, &RATIOS);
    page.push_str("\n## Absolute numbers\n\nOf this run, on a machine that is shared and noisy: for orders of magnitude. \"broker\" stands for whichever server is measured.\n");
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

const INTRODUCTION: &str = "# Peers\n
Written by `tinistreamer-bench peers` ([how](../bench/README.md)); do not edit. `make bench-peers` repeats it. Everything, load, server and
Redis, shares the cores of one machine, over loopback, with events of 100 bytes. Where a row was run several times, in turn with the others,
the median counts. *floor*, *exclusive*, *shared* and *memory* are those of [performance](performance.md). *nchan* is nginx with that module,
over Redis. *durable-streams* is the server of the crate of that name, which keeps streams in files of its own.\n
## In terms of the floor\n
Rates: more is better. Times, CPU and memory: less is better. CPU is that of all processes, Redis included.\n";

const CONFIGURATION: &str = "\n## How each is configured\n
The load is the same program for all: the same clients of server-sent events, the same writers with one request in flight, the same checks of
every event. Each writes an event as its server takes it: to the broker as JSON, to nchan as a POST's body, to durable-streams as a line
of a text stream, which the server need neither parse nor encode.\n
- **History**: the broker and nchan keep 20,000 events a stream; durable-streams keeps all, in files. The floor keeps none.
- **Redis**: one of its own for each run, reached over TCP by broker and nchan alike (nchan knows no Unix sockets), keeping nothing on disk.
- **Durability**: as it is by default, durable-streams confirms an event once it is on the disk, which no other here does. With
  `--durability memory` (the last column) it does not wait for that, and promises as much as a Redis that keeps nothing on disk. Its
  files are in the system's folder for temporary files; what the system caches of them is not in its memory here.
- **nginx**: one worker per core (`worker_processes auto`), no access log; nchan in its default mode over Redis, `distributed`, in which any
  number of nodes see all events. The whole of it is [bench/peers/nginx.conf](../bench/peers/nginx.conf).
- **Processes**: CPU and memory are those of all processes of a server, so with nginx of master and workers. A page that several of them
  share counts once. nginx has the table of its connections from the start on, so that it is not in the memory per client.
- **Authentication**: the broker checks a key with each publication and a token with each client. The others have none.
- **Batches**: one event a request throughout, but for the row with uploads (NDJSON), which only the broker and the floor take.
  durable-streams and the broker may send what has gathered for a client in one piece.\n";
