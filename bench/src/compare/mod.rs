//! Compares two builds of the broker: both get the same load, in turn, in one run.

mod plan;
mod ratio;

use std::{
    fmt::Write,
    io::IsTerminal,
    path::{Path, PathBuf},
    time::Duration,
};

use self::{
    plan::{ComparedScenario, Metric, plan},
    ratio::{Ratio, Verdict},
};
use crate::{
    error::Outcome,
    result::{RunResult, format_number},
    scenario::{Common, Scenario},
    target::Selection,
};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Compare {
    /// The program to compare with. `--broker` names the new build
    #[arg(long, value_name = "PROGRAM")]
    base: PathBuf,
    /// The name of the base, such as its commit
    #[arg(long, default_value = "base")]
    base_name: String,
    /// The name of the new build
    #[arg(long, default_value = "new")]
    name: String,
    /// How often each build is measured; the median of the ratios counts
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Three rounds of half a second: shows whether everything works, and differences of a third
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
}

/// The results of one scenario in all rounds: pairs of the base's and the new build's.
struct ScenarioComparison {
    row: &'static str,
    metrics: &'static [Metric],
    pairs: Vec<(RunResult, RunResult)>,
}

impl Compare {
    /// Prints the report. Returns whether every subscriber of both builds received every event once
    /// and in order.
    ///
    /// Fails when a program can't be started, or a run fails. An interrupt drops this future, which
    /// stops the processes.
    pub(crate) async fn run(&self, common: &Common, selection: &Selection) -> Outcome<bool> {
        let rounds = if self.quick { 3 } else { self.rounds };
        println!(
            "{} compared with {}, {rounds} rounds in turn. {}",
            self.name,
            self.base_name,
            load()
        );
        let mut good = true;
        let mut text = String::new();
        for row in plan(self.quick) {
            let compared = self.row(&row, rounds, common, selection).await?;
            good &= compared.is_whole();
            // Writing to memory does not fail.
            let _ = write!(text, "{}", compared.text());
            if std::io::stderr().is_terminal() {
                eprint!("\r\x1b[K");
            }
        }
        print!("{}{text}", header(&self.base_name, &self.name));
        println!("{LEGEND}{}", load());
        Ok(good)
    }

    async fn row(
        &self,
        row: &ComparedScenario,
        rounds: u32,
        common: &Common,
        selection: &Selection,
    ) -> Outcome<ScenarioComparison> {
        let seconds = Duration::from_secs_f64(if self.quick { 0.5 } else { row.seconds });
        let common = Common {
            seconds,
            warm_up: Duration::from_millis(500),
            ..common.clone()
        };
        let mut new = selection.of(row.target);
        if matches!(row.scenario, Scenario::Idle(_)) {
            // The time until a broker notices that subscribers left is a setting. The default would
            // only make the run longer.
            new.set("HEARTBEAT=2");
        }
        let base = new.with_broker(&self.base);
        let mut pairs = Vec::new();
        for round in 0..rounds {
            if std::io::stderr().is_terminal() {
                eprint!("\r\x1b[K{}, round {} of {rounds}", row.name, round + 1);
            }
            // The builds take turns in coming first, so that a machine that becomes slower or
            // faster favours neither.
            pairs.push(if round % 2 == 0 {
                let base = row.scenario.run(&common, &base).await?;
                (base, row.scenario.run(&common, &new).await?)
            } else {
                let new = row.scenario.run(&common, &new).await?;
                (row.scenario.run(&common, &base).await?, new)
            });
        }
        Ok(ScenarioComparison {
            row: row.name,
            metrics: row.metrics,
            pairs,
        })
    }
}

impl ScenarioComparison {
    /// Whether no event was lost, repeated or out of order.
    fn is_whole(&self) -> bool {
        self.pairs
            .iter()
            .all(|(base, new)| base.faults() == 0.0 && new.faults() == 0.0)
    }

    /// A line per metric, and a line about faults if there were any.
    fn text(&self) -> String {
        let mut text = String::new();
        for metric in self.metrics {
            let values: Vec<(f64, f64)> = self
                .pairs
                .iter()
                .filter_map(|(base, new)| Some((metric.of(base)?, metric.of(new)?)))
                .collect();
            let Some(ratio) = Ratio::of(&values) else {
                continue;
            };
            let verdict = match ratio.verdict(metric.more_is_better) {
                Verdict::Same => "same",
                Verdict::Better => "better",
                Verdict::Worse => "WORSE",
            };
            let _ = writeln!(
                text,
                "{:<34} {:<18} {:>10} {:>10}   {:>5.2}  {:>5.2}–{:<5.2} {verdict}",
                self.row,
                metric.name,
                format_number(median(values.iter().map(|(base, _)| *base))),
                format_number(median(values.iter().map(|(_, new)| *new))),
                ratio.median,
                ratio.least,
                ratio.most,
            );
        }
        for (build, lost) in [
            ("base", self.faults(|(base, _)| base)),
            ("new", self.faults(|(_, new)| new)),
        ] {
            if lost > 0.0 {
                let _ = writeln!(
                    text,
                    "{:<34} {build}: {lost} events \
                     lost, repeated, out of order or reported as missed",
                    self.row
                );
            }
        }
        text
    }

    fn faults(&self, of: impl Fn(&(RunResult, RunResult)) -> &RunResult) -> f64 {
        self.pairs.iter().map(|pair| of(pair).faults()).sum()
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn header(base: &str, new: &str) -> String {
    let short = |name: &str| name.chars().take(10).collect::<String>();
    format!(
        "\n{:<34} {:<18} {:>10} {:>10}   ratio  range\n",
        "",
        "",
        short(base),
        short(new)
    )
}

const LEGEND: &str = "
ratio: the new build's metric divided by the base's, the median over the rounds.
range: the smallest and the largest ratio of a round.
same: the rounds do not agree on which is more, or the median is less than 3 % away from 1.
CPU is that of the broker and Redis together.
";

/// The load of the machine, which shows how reliable the metrics are.
fn load() -> String {
    let load = std::fs::read_to_string(Path::new("/proc/loadavg")).unwrap_or_default();
    load.split_whitespace()
        .next()
        .map_or_else(String::new, |minute| {
            format!("Load average over the last minute: {minute}.")
        })
}

#[cfg(test)]
mod tests {
    use super::{plan::METRICS, *};
    use crate::result::{CPU, DELIVERIES, FAULTS, REDIS_CPU};

    fn run(deliveries: f64, cpu: f64, lost: f64) -> RunResult {
        let mut run = RunResult::new("run".to_owned());
        for (name, value) in [
            (DELIVERIES, deliveries),
            (CPU, cpu),
            (REDIS_CPU, 1.0),
            (FAULTS[0], lost),
        ] {
            run.put(name, value);
        }
        run
    }

    #[test]
    fn a_scenario_shows_ratios_and_lost_events() {
        let pairs = [(100.0, 50.0), (102.0, 51.0), (98.0, 49.0)]
            .map(|(base, new)| (run(base, 9.0, 0.0), run(new, 9.0, 0.0)));
        let row = ScenarioComparison {
            row: "fan-out",
            metrics: &METRICS.fanout,
            pairs: pairs.to_vec(),
        };
        let text = row.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0].contains(DELIVERIES)
                && lines[0].contains(" 0.50 ")
                && lines[0].ends_with("WORSE"),
            "{text}"
        );
        assert!(
            lines[1].contains("CPU") && lines[1].contains(" 1.00 ") && lines[1].ends_with("same"),
            "{text}"
        );
        assert!(row.is_whole());

        let lossy = ScenarioComparison {
            row: "fan-out",
            metrics: &METRICS.fanout,
            pairs: vec![(run(1.0, 1.0, 0.0), run(1.0, 1.0, 2.0))],
        };
        assert!(
            !lossy.is_whole() && lossy.text().contains("new: 2 events lost"),
            "{}",
            lossy.text()
        );
    }
}
