//! The report as a page of Markdown. Ratios to the baseline come first, as they hold on other
//! machines, too.

use super::{
    plan::{BATCHED, CHURN, CROWD, FAST, IDLE, MANY, PACED, SINGLE, SLOW, STREAMS, TARGETS},
    results::Results,
    table::{self, ALL_CPU, RatioRow, Table},
    versions::with_commit,
};
use crate::{
    result::{CPU, DELIVERIES, EVENTS, MAX, P50, P99, REDIS_CPU},
    scenario::{MEMORY, MEMORY_AGAIN, PEAK, REDIS_CONNECTIONS, REDIS_MEMORY, RESUMES},
};

const RATIOS: [RatioRow; 9] = [
    (FAST[1], DELIVERIES, "deliveries/s"),
    (BATCHED, DELIVERIES, "deliveries/s"),
    (FAST[2], DELIVERIES, "deliveries/s"),
    (PACED[1], P99, "p99"),
    (STREAMS, P99, "p99"),
    (STREAMS, ALL_CPU, "CPU per event, Redis included"),
    (SINGLE, EVENTS, "events/s"),
    (MANY, EVENTS, "events/s"),
    (IDLE[2], MEMORY, "memory per subscriber"),
];

const TABLES: [Table; 6] = [
    (
        "One stream, at full speed",
        &[FAST[0], FAST[1], FAST[2], BATCHED],
        &[DELIVERIES, P50, P99, CPU, REDIS_CPU],
    ),
    (
        "One stream, paced",
        &[PACED[0], PACED[1], PACED[2], CROWD],
        &[DELIVERIES, P50, P99, MAX, CPU, REDIS_CPU],
    ),
    (
        "Many streams, an NDJSON upload and a subscriber each",
        &[STREAMS],
        &[EVENTS, P50, P99, MAX, CPU, REDIS_CPU],
    ),
    (
        "Ingest, closed loop; times are those of requests",
        &[SINGLE, MANY],
        &[EVENTS, P50, P99, CPU, REDIS_CPU],
    ),
    (
        "Idle subscribers",
        &[IDLE[1], IDLE[2]],
        &[MEMORY, MEMORY_AGAIN, REDIS_MEMORY, REDIS_CONNECTIONS],
    ),
    (
        "Subscribers that disconnect and resume; times are from connecting to the first event",
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
    let mut page = with_commit(INTRODUCTION);
    table::ratios(&mut page, results, &TARGETS, &RATIOS);
    page.push_str(IMAGES);
    for (heading, rows, columns) in TABLES {
        table::absolute(&mut page, results, &TARGETS, heading, rows, columns);
    }
    table::absolute(
        &mut page,
        results,
        &TARGETS,
        "Subscribers that stop reading; deliveries and times are those of the others",
        &[SLOW],
        &SLOW_COLUMNS,
    );
    page.push_str("\nThe embedded store holds the 30 MB in the broker's memory.\n");
    page.push_str(MANY_STREAMS);
    table::faults(&mut page, results, "ids");
    table::skipped(&mut page, skipped);
    page
}

const INTRODUCTION: &str = include_str!("text/performance_introduction.md");

/// The images, and the introduction of the absolute numbers.
const IMAGES: &str = include_str!("text/performance_images.md");

/// Measured separately, at one commit, which the text names.
const MANY_STREAMS: &str = include_str!("text/performance_many_streams.md");
