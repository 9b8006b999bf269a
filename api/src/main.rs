//! The program `tinistreamer`. Its commands are in `cli.rs`.

use std::process::ExitCode;

mod cli;
mod dev;
mod env_file;
mod environment;
mod failure;
mod scripts;
mod serve;
mod setup;
mod stop_signals;
mod tinysse_arguments;
mod tinysse_cli;
mod tinysse_units;

fn main() -> ExitCode {
    cli::run()
}
