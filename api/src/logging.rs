//! What is logged, and how: one line per event on standard error. Queries are never logged: they may hold tokens. Rocket's own
//! log, which shows them, is off.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging.
pub fn init(filter: &str) {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours).with_target(false).init();
}
