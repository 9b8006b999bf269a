//! Two builds of the broker under the same load, in turn, in one run: what one costs in terms of
//! the other.

mod plan;
mod ratio;

use std::{
    fmt::Write,
    io::IsTerminal,
    path::{Path, PathBuf},
    time::Duration,
};

use self::{
    plan::{Figure, Row, plan},
    ratio::{Ratio, Verdict},
};
use crate::{
    problem::Outcome,
    result::{Findings, shown},
    scenario::{Common, Scenario},
    target::Selection,
};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Compare {
    /// The program to compare with; `--broker` names the one that is looked at
    #[arg(long, value_name = "PROGRAM")]
    base: PathBuf,
    /// What the base is called, such as its commit
    #[arg(long, default_value = "base")]
    base_name: String,
    /// What the other is called
    #[arg(long, default_value = "new")]
    name: String,
    /// How often each of the two is measured; the median of the ratios counts
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// Three rounds of half a second: whether everything works, and differences of a third
    #[arg(long, conflicts_with = "rounds")]
    quick: bool,
}

/// What one row came to in all rounds: pairs of the base's and the new build's.
struct Compared {
    row: &'static str,
    figures: &'static [Figure],
    pairs: Vec<(Findings, Findings)>,
}

impl Compare {
    /// Prints the report. Whether every subscriber of both builds got what it should.
    ///
    /// Errors: a program can't be started, or a run fails. Interrupted, it falls out of the run,
    /// and with it go the processes.
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
        row: &Row,
        rounds: u32,
        common: &Common,
        selection: &Selection,
    ) -> Outcome<Compared> {
        let seconds = Duration::from_secs_f64(if self.quick { 0.5 } else { row.seconds });
        let common = Common {
            seconds,
            warm_up: Duration::from_millis(500),
            ..common.clone()
        };
        let mut new = selection.of(row.target);
        if matches!(row.scenario, Scenario::Idle(_)) {
            // How long a silent broker takes to miss its subscribers is a setting, and no need to
            // wait for.
            new.set("HEARTBEAT=2");
        }
        let base = new.with_broker(&self.base);
        let mut pairs = Vec::new();
        for round in 0..rounds {
            if std::io::stderr().is_terminal() {
                eprint!("\r\x1b[K{}, round {} of {rounds}", row.name, round + 1);
            }
            // Who comes first takes turns: a machine that grows slower or faster meanwhile favours
            // neither.
            pairs.push(if round % 2 == 0 {
                let base = row.scenario.run(&common, &base).await?;
                (base, row.scenario.run(&common, &new).await?)
            } else {
                let new = row.scenario.run(&common, &new).await?;
                (row.scenario.run(&common, &base).await?, new)
            });
        }
        Ok(Compared {
            row: row.name,
            figures: row.figures,
            pairs,
        })
    }
}

impl Compared {
    /// Whether no event was lost, repeated or out of order.
    fn is_whole(&self) -> bool {
        self.pairs
            .iter()
            .all(|(base, new)| base.faults() == 0.0 && new.faults() == 0.0)
    }

    /// A line per figure, and one about faults if there were any.
    fn text(&self) -> String {
        let mut text = String::new();
        for figure in self.figures {
            let values: Vec<(f64, f64)> = self
                .pairs
                .iter()
                .filter_map(|(base, new)| Some((figure.of(base)?, figure.of(new)?)))
                .collect();
            let Some(ratio) = Ratio::of(&values) else {
                continue;
            };
            let verdict = match ratio.verdict(figure.more_is_better) {
                Verdict::Same => "same",
                Verdict::Better => "better",
                Verdict::Worse => "WORSE",
            };
            let _ = writeln!(
                text,
                "{:<34} {:<18} {:>10} {:>10}   {:>5.2}  {:>5.2}–{:<5.2} {verdict}",
                self.row,
                figure.name,
                shown(median(values.iter().map(|(base, _)| *base))),
                shown(median(values.iter().map(|(_, new)| *new))),
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
                    "{:<34} {build}: {lost} events lost, repeated, out of order or reported as missed",
                    self.row
                );
            }
        }
        text
    }

    fn faults(&self, of: impl Fn(&(Findings, Findings)) -> &Findings) -> f64 {
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
ratio: the new build's figure by the base's, the median over the rounds. range: the least and the greatest ratio of a round.
same: the rounds do not agree on which is more, or the median is less than 3 % away from 1. CPU is the broker's and Redis' together.
";

/// How busy the machine is, which says how much the figures mean.
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
    use super::{plan::FIGURES, *};
    use crate::result::{CPU, DELIVERIES, FAULTS, REDIS_CPU};

    fn run(deliveries: f64, cpu: f64, lost: f64) -> Findings {
        let mut run = Findings::new("run".to_owned());
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
    fn a_row_shows_ratios_and_says_when_an_event_was_lost() {
        let pairs = [(100.0, 50.0), (102.0, 51.0), (98.0, 49.0)]
            .map(|(base, new)| (run(base, 9.0, 0.0), run(new, 9.0, 0.0)));
        let row = Compared {
            row: "fan-out",
            figures: &FIGURES.fanout,
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

        let lossy = Compared {
            row: "fan-out",
            figures: &FIGURES.fanout,
            pairs: vec![(run(1.0, 1.0, 0.0), run(1.0, 1.0, 2.0))],
        };
        assert!(
            !lossy.is_whole() && lossy.text().contains("new: 2 events lost"),
            "{}",
            lossy.text()
        );
    }
}
