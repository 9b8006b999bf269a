//! The tables of a page.

use std::fmt::Write;

use super::Results;
use crate::{
    result::{CPU, FAULTS, Findings, REDIS_CPU, shown},
    target::Kind,
};

/// A line of the table of ratios: a row, a number of it, and how that is called.
pub(super) type Ratio = (&'static str, &'static str, &'static str);

/// A table of absolute numbers: a heading, the rows, and the columns.
pub(super) type Table = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

/// Not a number of a run: broker and Redis together.
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

/// The table of numbers in terms of the floor's.
pub(super) fn ratios(page: &mut String, results: &Results, targets: &[Kind], ratios: &[Ratio]) {
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
        let Some(floor) = value(Kind::Floor).filter(|floor| *floor > 0.0) else {
            continue;
        };
        let _ = write!(page, "| {row} | {called} ");
        for target in targets {
            let _ = write!(
                page,
                "| {} ",
                value(*target)
                    .map_or_else(|| "–".to_owned(), |value| format!("{:.2}", value / floor))
            );
        }
        page.push_str("|\n");
    }
}

fn number_of(found: &Findings, number: &str) -> Option<f64> {
    match number {
        ALL_CPU => Some(found.get(CPU)? + found.get(REDIS_CPU).unwrap_or_default()),
        number => found.get(number),
    }
}

/// A table of the numbers themselves.
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
                    number_of(found, column).map_or_else(|| "–".to_owned(), shown)
                );
            }
            page.push_str("|\n");
        }
    }
}

/// Every client's events were checked in every run, by the numbers in what is called so.
pub(super) fn faults(page: &mut String, results: &Results, numbers_in: &str) {
    page.push_str("\n## Faults\n\n");
    let mut any = false;
    for ((row, target), found) in results.iter().filter(|(_, found)| found.faults() > 0.0) {
        any = true;
        let counts: Vec<_> = FAULTS
            .iter()
            .filter_map(|name| Some((name, found.get(name)?)))
            .filter(|(_, count)| *count > 0.0)
            .map(|(name, count)| format!("{} {name}", shown(count)))
            .collect();
        let _ = writeln!(page, "- {row}, {}: {}", target.name(), counts.join(", "));
    }
    if !any {
        let _ = writeln!(
            page,
            "None: every client in every run received every event once and in order, as the numbers in the {numbers_in} show."
        );
    }
}

/// What could not be run.
pub(super) fn skipped(page: &mut String, lines: &[String]) {
    for line in lines {
        let _ = writeln!(page, "\nNot run: {line}");
    }
}
