//! Runs sets of scenarios, and writes the results as pages. The targets take turns, so that other
//! load on the machine affects all of them.

mod page;
mod peers;
mod plan;
mod plot;
mod results;
mod table;
mod versions;

use std::{collections::BTreeMap, io::IsTerminal, path::PathBuf, time::Duration};

pub(crate) use self::peers::Peers;
use self::{
    plan::{ReportRow, plan},
    results::Results,
};
use crate::{
    error::{Error, Outcome},
    result::RunResult,
    scenario::{Common, Scenario},
    target::{Kind, Selection},
};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Report {
    /// One short run of each, to see that everything works; the numbers mean little
    #[arg(long)]
    quick: bool,
    /// The folder of performance.md and of its images
    #[arg(long, default_value = "docs/operations")]
    folder: PathBuf,
}

impl Report {
    /// Returns whether every subscriber received every event once and in order.
    pub(crate) async fn run(&self, common: &Common, selection: &Selection) -> Outcome<bool> {
        let found = ReportResults::of(&plan(), self.quick, common, selection).await;
        let images = self.folder.join("images");
        std::fs::create_dir_all(&images)
            .map_err(|error| Error::System(images.display().to_string(), error))?;
        for (name, image) in plot::images(&found.results) {
            write(&images.join(name), &image)?;
        }
        write(
            &self.folder.join("performance.md"),
            &page::page(&found.results, &found.skipped),
        )?;
        Ok(found.is_good())
    }
}

/// The results of a set of runs.
#[derive(Default)]
struct ReportResults {
    results: Results,
    /// The rows that could not be run, with the reasons.
    skipped: Vec<String>,
}

impl ReportResults {
    async fn of(rows: &[ReportRow], quick: bool, common: &Common, selection: &Selection) -> Self {
        let mut found = Self::default();
        for row in rows {
            found.row(row, quick, common, selection).await;
        }
        found
    }

    /// Whether everything was run, and every subscriber received every event once and in order.
    fn is_good(&self) -> bool {
        self.skipped.is_empty() && self.results.values().all(|found| found.faults() == 0.0)
    }

    /// Runs a row on each of its targets in turn, as often as the row says.
    async fn row(&mut self, row: &ReportRow, quick: bool, common: &Common, selection: &Selection) {
        let (seconds, warm_up, times) = if quick {
            (0.5, 0.2, 1)
        } else {
            (row.seconds, 0.5, row.times)
        };
        let common = Common {
            seconds: Duration::from_secs_f64(seconds),
            warm_up: Duration::from_secs_f64(warm_up),
            ..common.clone()
        };
        let mut selection = selection.clone();
        if matches!(row.scenario, Scenario::Idle(_)) {
            // The time until a broker notices that subscribers left is a setting. The default would
            // only make the run longer.
            selection.set("HEARTBEAT=2");
        }
        let mut runs: BTreeMap<Kind, Vec<RunResult>> = BTreeMap::new();
        for time in 1..=times {
            for target in &row.targets {
                if std::io::stderr().is_terminal() {
                    eprint!(
                        "\r\x1b[K{} on {}, {time} of {times}",
                        row.name,
                        target.name()
                    );
                }
                match row.scenario.run(&common, &selection.of(*target)).await {
                    Ok(found) => runs.entry(*target).or_default().push(found),
                    // A row that can't be run, for example because too few files may be open, does
                    // not affect the others.
                    Err(error) => {
                        self.skipped
                            .push(format!("{} on {}: {error}", row.name, target.name()));
                    }
                }
            }
        }
        for (target, runs) in runs {
            let median = RunResult::median(&runs);
            print!("{}", median.text());
            self.results.insert((row.name, target), median);
        }
    }
}

fn write(path: &std::path::Path, text: &str) -> Outcome<()> {
    std::fs::write(path, text).map_err(|error| Error::System(path.display().to_string(), error))
}
