//! The result of a run: named numbers, for people, for programs, and for the report.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::{
    delivery_check::Faults,
    recorder::Recording,
    target::{Cpu, Target},
};

pub(crate) const DELIVERIES: &str = "deliveries/s";
pub(crate) const EVENTS: &str = "events/s";
pub(crate) const P50: &str = "p50 ms";
pub(crate) const P99: &str = "p99 ms";
pub(crate) const MAX: &str = "max ms";
pub(crate) const CPU: &str = "broker CPU µs/event";
pub(crate) const REDIS_CPU: &str = "redis CPU µs/event";
pub(crate) const FAULTS: [&str; 5] = ["lost", "repeated", "out of order", "gap notices", "closed"];

/// The numbers of one run, in the order of the output.
#[derive(Clone, Debug, Default)]
pub(crate) struct RunResult {
    pub(crate) title: String,
    numbers: Vec<(&'static str, f64)>,
}

impl RunResult {
    pub(crate) fn new(title: String) -> Self {
        Self {
            title,
            numbers: Vec::new(),
        }
    }

    pub(crate) fn put(&mut self, name: &'static str, value: f64) {
        self.numbers.push((name, value));
    }

    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        self.numbers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| *value)
    }

    /// Adds throughput, latencies and processor time of an interval.
    pub(crate) fn put_interval(&mut self, rate: &'static str, interval: &Interval) {
        let events = interval.counted.events as f64;
        self.put(rate, events / interval.seconds);
        self.put_latency(&interval.counted.latency);
        if let (Some(cpu), true) = (interval.cpu, interval.counted.events > 0) {
            self.put(CPU, cpu.broker / events);
            if interval.has_redis {
                self.put(REDIS_CPU, cpu.redis / events);
            }
        }
    }

    pub(crate) fn put_latency(&mut self, microseconds: &hdrhistogram::Histogram<u64>) {
        for (name, quantile) in [(P50, 0.5), (P99, 0.99), (MAX, 1.0)] {
            self.put(
                name,
                microseconds.value_at_quantile(quantile) as f64 / 1_000.0,
            );
        }
    }

    pub(crate) fn put_faults(&mut self, faults: Faults) {
        let Faults {
            lost,
            repeated,
            out_of_order,
            gap_notices,
            closed,
        } = faults;
        for (name, count) in
            FAULTS
                .into_iter()
                .zip([lost, repeated, out_of_order, gap_notices, closed])
        {
            self.put(name, count as f64);
        }
    }

    /// The sum of all faults.
    pub(crate) fn faults(&self) -> f64 {
        FAULTS.iter().filter_map(|name| self.get(name)).sum()
    }

    /// The median of each number. Faults are added up, as every single one matters.
    pub(crate) fn median(runs: &[Self]) -> Self {
        let Some(first) = runs.first() else {
            return Self::default();
        };
        let mut median = Self::new(first.title.clone());
        for (name, _) in &first.numbers {
            let mut values: Vec<f64> = runs.iter().filter_map(|run| run.get(name)).collect();
            values.sort_by(f64::total_cmp);
            let value = if FAULTS.contains(name) {
                values.iter().sum()
            } else {
                values[values.len() / 2]
            };
            median.put(name, value);
        }
        median
    }

    pub(crate) fn text(&self) -> String {
        let width = self
            .numbers
            .iter()
            .map(|(name, _)| name.chars().count())
            .max()
            .unwrap_or_default();
        let mut text = format!("{}\n", self.title);
        for (name, value) in &self.numbers {
            // Writing to memory does not fail.
            let _ = writeln!(text, "  {name:width$}  {:>12}", format_number(*value));
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let numbers: Map<String, Value> = self
            .numbers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        json!({"title": self.title, "numbers": numbers})
    }
}

/// Formats a number with its significant digits.
pub(crate) fn format_number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => grouped(value),
        size if size >= 10.0 => format!("{value:.1}"),
        _ if value.fract().abs() < f64::EPSILON => format!("{value}"),
        // Not -0.00.
        size if size < 0.005 => "0.00".to_owned(),
        _ => format!("{value:.2}"),
    }
}

/// `1234567` as `1,234,567`.
fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A measured interval.
pub(crate) struct Interval {
    pub(crate) seconds: f64,
    pub(crate) counted: Recording,
    /// None where the processes run on another machine.
    pub(crate) cpu: Option<Cpu>,
    pub(crate) has_redis: bool,
}

impl Interval {
    /// Measures for this long.
    pub(crate) async fn measure(
        target: &Target,
        recorder: &crate::recorder::Recorder,
        length: std::time::Duration,
    ) -> crate::error::Outcome<Self> {
        recorder.take()?;
        let (start, before) = (std::time::Instant::now(), target.cpu());
        tokio::time::sleep(length).await;
        let counted = recorder.take()?;
        let (seconds, after) = (start.elapsed().as_secs_f64(), target.cpu());
        let cpu = Cpu {
            broker: after.broker - before.broker,
            redis: after.redis - before.redis,
        };
        Ok(Self {
            seconds,
            counted,
            cpu: target.is_local().then_some(cpu),
            has_redis: target.has_redis(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_with_their_significant_digits() {
        assert_eq!(
            [1_234_567.8, 100.4, 12.34, 1.234, 2.0, 0.0, -0.001].map(format_number),
            ["1,234,568", "100", "12.3", "1.23", "2", "0", "0.00"]
        );
    }

    #[test]
    fn medians_are_taken_and_faults_are_added() {
        let runs = [1.0, 9.0, 2.0].map(|value| {
            let mut run = RunResult::new("run".to_owned());
            run.put(P50, value);
            run.put(FAULTS[0], value);
            run
        });
        let median = RunResult::median(&runs);
        assert_eq!((median.get(P50), median.faults()), (Some(2.0), 12.0));
    }
}
