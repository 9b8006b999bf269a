//! A load generator, which measures a broker. Its README describes the scenarios.

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
mod clock;
mod compare;
mod delivery_check;
mod error;
mod frame;
mod http;
mod process;
mod protocol;
mod publisher;
mod recorder;
mod report;
mod result;
mod scenario;
mod stream;
mod subscriber_connection;
mod subscribers;
mod target;

use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    error::{Error, Outcome},
    scenario::{Common, Scenario},
    target::Selection,
};

/// Measures tinistreamer: throughput, latency, processor time, memory, and whether every subscriber
/// received every event once and in order.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    selection: Selection,
    /// Print one JSON object instead of a table
    #[arg(long, global = true)]
    json: bool,
    /// Threads of the load generator
    #[arg(long, global = true, default_value = "2")]
    threads: usize,
}

#[derive(clap::Subcommand)]
enum Command {
    #[command(flatten)]
    Scenario(Scenario),
    /// Run the standard set on all targets, and write docs/operations/performance.md
    Report(report::Report),
    /// Measure two builds of the broker under the same load, in turn: ratios, and whether the
    /// difference is larger than the noise
    Compare(compare::Compare),
    /// Measure the broker, the baseline and the peers under the same load, and write
    /// docs/operations/comparison.md
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
            // An interrupt drops the run, which stops the processes that it started.
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
            eprintln!("Subscribers did not receive every event once and in order.");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Waits for SIGINT or SIGTERM.
async fn interruption() -> Error {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return Error::Other("signals can't be received".to_owned());
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Error::Other("interrupted".to_owned())
}

/// Returns whether every subscriber received every event once and in order.
async fn run(arguments: &Arguments) -> Outcome<bool> {
    match &arguments.command {
        Command::Scenario(scenario) => {
            let result = scenario
                .run(&arguments.common, &arguments.selection)
                .await?;
            if arguments.json {
                println!("{}", result.json());
            } else {
                print!("{}", result.text());
            }
            Ok(result.faults() == 0.0)
        }
        Command::Report(report) => report.run(&arguments.common, &arguments.selection).await,
        Command::Compare(compare) => compare.run(&arguments.common, &arguments.selection).await,
        Command::Peers(peers) => peers.run(&arguments.common, &arguments.selection).await,
    }
}
