//! The tables of a page.

use std::fmt::Write;

use super::results::Results;
use crate::{
    result::{CPU, FAULTS, REDIS_CPU, RunResult, format_number},
    target::Kind,
};

/// A line of the table of ratios: a row, a number of it, and its label.
pub(super) type RatioRow = (&'static str, &'static str, &'static str);

/// A table of absolute numbers: a heading, the rows, and the columns.
pub(super) type Table = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

/// Not a number of a run: the sum of broker and Redis.
pub(super) const ALL_CPU: &str = "CPU µs/event";

fn header(page: &mut String, columns: impl Iterator<Item = impl std::fmt::Display>) {
    let mut rule = String::new();
    page.push('\n');
    for column in columns {
        let _ = write!(page, "| {column} ");
        rule.push_str("|---");
    }
    let _ = writeln!(page, "|\n{rule}|");
}

/// Writes the table of ratios to the baseline.
pub(super) fn ratios(page: &mut String, results: &Results, targets: &[Kind], ratios: &[RatioRow]) {
    header(
        page,
        ["", "number"]
            .into_iter()
            .chain(targets.iter().map(|target| target.name())),
    );
    for (row, number, called) in ratios {
        let value = |target| {
            results
                .get(&(*row, target))
                .and_then(|found| number_of(found, number))
        };
        let Some(baseline) = value(Kind::Baseline).filter(|baseline| *baseline > 0.0) else {
            continue;
        };
        let _ = write!(page, "| {row} | {called} ");
        for target in targets {
            let _ = write!(
                page,
                "| {} ",
                value(*target).map_or_else(
                    || "–".to_owned(),
                    |value| format!("{:.2}", value / baseline)
                )
            );
        }
        page.push_str("|\n");
    }
}

fn number_of(found: &RunResult, number: &str) -> Option<f64> {
    match number {
        ALL_CPU => Some(found.get(CPU)? + found.get(REDIS_CPU).unwrap_or_default()),
        number => found.get(number),
    }
}

/// Writes a table of absolute numbers.
pub(super) fn absolute(
    page: &mut String,
    results: &Results,
    targets: &[Kind],
    heading: &str,
    rows: &[&'static str],
    columns: &[&str],
) {
    let _ = writeln!(page, "\n### {heading}");
    header(
        page,
        ["", "target"].into_iter().chain(columns.iter().copied()),
    );
    for row in rows {
        for target in targets {
            let Some(found) = results.get(&(*row, *target)) else {
                continue;
            };
            let _ = write!(page, "| {row} | {} ", target.name());
            for column in columns {
                let _ = write!(
                    page,
                    "| {} ",
                    number_of(found, column).map_or_else(|| "–".to_owned(), format_number)
                );
            }
            page.push_str("|\n");
        }
    }
}

/// Writes the faults. Every run checks the events of every subscriber by the numbers in them.
pub(super) fn faults(page: &mut String, results: &Results, numbers_in: &str) {
    page.push_str("\n## Faults\n\n");
    let mut any = false;
    for ((row, target), found) in results.iter().filter(|(_, found)| found.faults() > 0.0) {
        any = true;
        let counts: Vec<_> = FAULTS
            .iter()
            .filter_map(|name| Some((name, found.get(name)?)))
            .filter(|(_, count)| *count > 0.0)
            .map(|(name, count)| format!("{} {name}", format_number(count)))
            .collect();
        let _ = writeln!(page, "- {row}, {}: {}", target.name(), counts.join(", "));
    }
    if !any {
        let _ = writeln!(
            page,
            "None: every subscriber in every run received every event once and in order, \
             as the numbers in the {numbers_in} show."
        );
    }
}

/// Writes the rows that could not be run.
pub(super) fn skipped(page: &mut String, lines: &[String]) {
    for line in lines {
        let _ = writeln!(page, "\nNot run: {line}");
    }
}
