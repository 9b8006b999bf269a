//! Load for a broker, and what it makes of it. See the README beside this for what each scenario is
//! for.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program whose output is what it is for"
)]
#![allow(
    clippy::cast_precision_loss,
    reason = "counts that become rates stay far below 2^52"
)]

mod api;
mod chunked;
mod client;
mod clock;
mod compare;
mod dialect;
mod fleet;
mod frame;
mod http;
mod meter;
mod problem;
mod process;
mod publisher;
mod report;
mod result;
mod scenario;
mod target;
mod track;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    problem::{Outcome, Problem},
    scenario::{Common, Scenario},
    target::Selection,
};

/// Measures a tinistreamer: deliveries, latencies, processor time, memory, and whether every client
/// got every event once and in order.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    selection: Selection,
    /// Print one JSON object in place of a table
    #[arg(long, global = true)]
    json: bool,
    /// Threads of the load
    #[arg(long, global = true, default_value = "2")]
    threads: usize,
}

#[derive(clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Scenario(Scenario),
    /// The standard set on all targets, written to docs/performance.md
    Report(report::Report),
    /// Two builds of the broker under the same load, in turn: ratios, and whether they differ by
    /// more than the noise
    Compare(compare::Compare),
    /// The broker, the floor and the peers under the same load, written to docs/peers.md
    Peers(report::Peers),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(arguments.threads.max(1))
        .enable_all()
        .build();
    let done = match runtime {
        Ok(runtime) => runtime.block_on(async {
            // Interrupted, it falls out of here, and with it go the processes that it started.
            tokio::select! {
                done = run(&arguments) => done,
                interrupted = interruption() => Err(interrupted),
            }
        }),
        Err(error) => Err(error.into()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("Clients did not get every event once and in order.");
            ExitCode::FAILURE
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for SIGINT or SIGTERM.
async fn interruption() -> Problem {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return Problem::Other("signals can't be received".to_owned());
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Problem::Other("interrupted".to_owned())
}

/// Whether every client got what it should.
async fn run(arguments: &Arguments) -> Outcome<bool> {
    match &arguments.command {
        Command::Scenario(scenario) => {
            let found = scenario
                .run(&arguments.common, &arguments.selection)
                .await?;
            if arguments.json {
                println!("{}", found.json());
            } else {
                print!("{}", found.text());
            }
            Ok(found.faults() == 0.0)
        }
        Command::Report(report) => report.run(&arguments.common, &arguments.selection).await,
        Command::Compare(compare) => compare.run(&arguments.common, &arguments.selection).await,
        Command::Peers(peers) => peers.run(&arguments.common, &arguments.selection).await,
    }
}
