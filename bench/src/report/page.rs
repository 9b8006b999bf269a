//! The report as a page of Markdown: ratios to the floor of the same run first, as they hold on
//! other machines too.

use super::{
    Results,
    plan::{BATCHED, CHURN, CROWD, FAST, IDLE, MANY, PACED, SINGLE, SLOW, STREAMS, TARGETS},
    table::{self, ALL_CPU, Ratio, Table},
    versions::measured_at,
};
use crate::{
    result::{CPU, DELIVERIES, EVENTS, MAX, P50, P99, REDIS_CPU},
    scenario::{MEMORY, MEMORY_AGAIN, PEAK, REDIS_CONNECTIONS, REDIS_MEMORY, RESUMES},
};

const RATIOS: [Ratio; 9] = [
    (FAST[1], DELIVERIES, "deliveries/s"),
    (BATCHED, DELIVERIES, "deliveries/s"),
    (FAST[2], DELIVERIES, "deliveries/s"),
    (PACED[1], P99, "p99"),
    (STREAMS, P99, "p99"),
    (STREAMS, ALL_CPU, "CPU per event, Redis included"),
    (SINGLE, EVENTS, "events/s"),
    (MANY, EVENTS, "events/s"),
    (IDLE[2], MEMORY, "memory per client"),
];

const TABLES: [Table; 6] = [
    (
        "One stream, as fast as the clients take it",
        &[FAST[0], FAST[1], FAST[2], BATCHED],
        &[DELIVERIES, P50, P99, CPU, REDIS_CPU],
    ),
    (
        "One stream, paced",
        &[PACED[0], PACED[1], PACED[2], CROWD],
        &[DELIVERIES, P50, P99, MAX, CPU, REDIS_CPU],
    ),
    (
        "Many streams, an NDJSON upload and a client each",
        &[STREAMS],
        &[EVENTS, P50, P99, MAX, CPU, REDIS_CPU],
    ),
    (
        "Ingest, closed loop; times are those of requests",
        &[SINGLE, MANY],
        &[EVENTS, P50, P99, CPU, REDIS_CPU],
    ),
    (
        "Idle clients",
        &[IDLE[1], IDLE[2]],
        &[MEMORY, MEMORY_AGAIN, REDIS_MEMORY, REDIS_CONNECTIONS],
    ),
    (
        "Clients that leave and resume; times are from connecting to the first event",
        &[CHURN],
        &[RESUMES, P50, P99, MAX],
    ),
];

const SLOW_COLUMNS: [&str; 6] = [
    DELIVERIES,
    P99,
    "broker MB before",
    PEAK,
    "broker MB afterwards",
    "broker MB after all have read and left",
];

/// The whole page.
pub(super) fn page(results: &Results, skipped: &[String]) -> String {
    let mut page = INTRODUCTION.replacen("\n\n", &format!("\n{}\n", measured_at()), 1);
    table::ratios(&mut page, results, &TARGETS, &RATIOS);
    page.push_str(IMAGES);
    page.push_str("\n## Absolute numbers\n\nOf this run, on a machine that is shared and noisy: for orders of magnitude. Latency as fast as it\ngoes is that of a full window. The kernel counts CPU in hundredths of a second, so that with 10 clients a step is some 7 µs/event; Redis\nunder few writes is below what it can tell.\n");
    for (heading, rows, columns) in TABLES {
        table::absolute(&mut page, results, &TARGETS, heading, rows, columns);
    }
    table::absolute(
        &mut page,
        results,
        &TARGETS,
        "Clients that stop reading; deliveries and times are the others'",
        &[SLOW],
        &SLOW_COLUMNS,
    );
    page.push_str("\nThe embedded store holds the 30 MB themselves, in the broker's memory.\n");
    page.push_str(TOGETHER);
    table::faults(&mut page, results, "ids");
    table::skipped(&mut page, skipped);
    page
}

/// Measured apart from the others: it is of one commit, which it says.
const TOGETHER: &str = include_str!("together.md");

const INTRODUCTION: &str = "# Performance\n
Written by `tinistreamer-bench report` ([how](../bench/README.md)); do not edit. Everything, load, broker and Redis, shares the cores of one
machine, over loopback, with events of 100 bytes. Where a row was run several times, in turn with the others, the median counts.
*floor* is the smallest Rocket program that broadcasts ready bytes from memory: no store, no authentication, no history. It hands each
publication to each client as a piece of its own. *exclusive*, *shared* and *memory* are the broker with either delivery over Redis and with the embedded store.\n
## In terms of the floor\n
Rates: more is better. Times, CPU and memory: less is better. As fast as it goes, the broker can come out above the floor: a client
that lags is given several events in one write, which the floor does not do. That is no claim to cost less than the framework. A
server's share of two cores that it contends for with the load is in these numbers, too.\n";

const IMAGES: &str = "\n![Deliveries a second over the number of clients](images/deliveries.svg)
![99th percentile of latency over the number of clients](images/latency.svg)
![Memory of the broker over the number of clients](images/memory.svg)\n";
