//! Sets of runs on all targets in turn, so that what else the machine does hits all alike, written
//! down as pages.

mod page;
mod peers;
mod plan;
mod plot;
mod table;
mod versions;

use std::{collections::BTreeMap, io::IsTerminal, path::PathBuf, time::Duration};

pub(crate) use self::peers::Peers;
use self::plan::{Row, plan};
use crate::{
    problem::{Outcome, Problem},
    result::Findings,
    scenario::{Common, Scenario},
    target::{Kind, Selection},
};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Report {
    /// One short run of each, to see that everything works; its numbers mean little
    #[arg(long)]
    quick: bool,
    /// The folder of performance.md and of its images
    #[arg(long, default_value = "docs")]
    folder: PathBuf,
}

/// What was found, by row and target. A row that could not be run is not there.
pub(crate) type Results = BTreeMap<(&'static str, Kind), Findings>;

impl Report {
    /// Whether every client got what it should.
    pub(crate) async fn run(&self, common: &Common, selection: &Selection) -> Outcome<bool> {
        let found = Found::of(&plan(), self.quick, common, selection).await;
        let images = self.folder.join("images");
        std::fs::create_dir_all(&images)
            .map_err(|error| Problem::System(images.display().to_string(), error))?;
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

/// What came of a set of runs.
#[derive(Default)]
struct Found {
    results: Results,
    /// What could not be run, and why.
    skipped: Vec<String>,
}

impl Found {
    async fn of(rows: &[Row], quick: bool, common: &Common, selection: &Selection) -> Self {
        let mut found = Self::default();
        for row in rows {
            found.row(row, quick, common, selection).await;
        }
        found
    }

    /// Whether everything was run, and every client got what it should.
    fn is_good(&self) -> bool {
        self.skipped.is_empty() && self.results.values().all(|found| found.faults() == 0.0)
    }

    /// Runs a row on each of its targets in turn, and that as often as it says.
    async fn row(&mut self, row: &Row, quick: bool, common: &Common, selection: &Selection) {
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
            // How long a silent broker takes to miss its clients is a setting, and no need to wait
            // for.
            selection.set("HEARTBEAT=2");
        }
        let mut runs: BTreeMap<Kind, Vec<Findings>> = BTreeMap::new();
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
                    // One that can't be run, for want of files perhaps, does not spoil the others.
                    Err(problem) => {
                        self.skipped
                            .push(format!("{} on {}: {problem}", row.name, target.name()));
                    }
                }
            }
        }
        for (target, runs) in runs {
            let median = Findings::median(&runs);
            print!("{}", median.text());
            self.results.insert((row.name, target), median);
        }
    }
}

fn write(path: &std::path::Path, text: &str) -> Outcome<()> {
    std::fs::write(path, text).map_err(|error| Problem::System(path.display().to_string(), error))
}
